"""What the parts of a paper are: title, headings, and where references and appendix begin.

It reads lines and their type; it never changes them.
"""

import re

from app.papers.clean import Line
from app.papers.layout import CAPTION, Measures
from app.papers.records import Part

NUMBER = r"(?:\d{1,2}(?:\.\d{1,2}){0,3}|[A-Z](?:\.\d{1,2}){0,3}|[IVX]{1,4})"
NUMBERED = re.compile(rf"^({NUMBER})\.?\s+(?=[A-Z“\"¿]|[a-z]?[A-Z])(.{{2,}})$")
KNOWN = re.compile(
    r"^(?:abstract|introduction|background|related works?|methods?|materials and methods|experiments?"
    r"|results?(?: and discussion)?|discussions?|conclusions?(?: and future work)?|limitations"
    r"|broader impacts?|ethics statement|acknowledge?ments?|references(?: and notes)?|bibliography"
    r"|literature cited|contents|table of contents|append(?:ix|ices)(?: [a-z])?|supplementary materials?"
    r"|resumen|introducci[oó]n|metodolog[ií]a|resultados|discusi[oó]n|conclusi[oó]n(?:es)?|referencias)$",
    re.IGNORECASE,
)
REFERENCES = re.compile(
    r"^(?:references(?: and notes)?|bibliography|literature cited|referencias)$", re.I
)
APPENDIX = re.compile(r"^(?:append(?:ix|ices)\b|supplementary\b|appendix for\b)", re.I)


def plain(title: str) -> str:
    """A heading's letters and digits without its number, for comparison."""
    title = re.sub(rf"^(?:appendix\s+)?{NUMBER}[.:]?\s+(?=\S)", "", title, flags=re.I)
    return re.sub(r"[\W_]+", "", title).lower()


def unspace_capitals(text: str) -> str:
    """Small capitals come as "I NTRODUCTION": put the first letter back."""
    return re.sub(r"\b([A-Z]) ([A-Z]{2,})\b", r"\1\2", text)


def find_title(lines: list[list[Line]], metadata: str, stem: str) -> str:
    """Title by the largest type on the first page that has text; metadata where it stands there too."""
    first_pages = [page for page in lines[:2] if page]
    for page in first_pages:
        text = " ".join(line.text for line in page)
        if len(plain(metadata)) > 8 and plain(metadata) in plain(text):
            return metadata.strip()
    candidates = [_largest(page) for page in first_pages]
    best = max(candidates, key=lambda c: c[0], default=(0.0, ""))
    return unspace_capitals(best[1]) or metadata.strip() or stem


def _largest(page: list[Line]) -> tuple[float, str]:
    """The first run of lines in the largest type that reads like a title, with its size."""
    upright = [line for line in page if not line.turned]
    for size in sorted({line.size for line in upright if len(line.text) > 3}, reverse=True):
        run: list[str] = []
        for line in upright:
            if abs(line.size - size) <= 0.11 * size and (run or len(line.text) > 3):
                run.append(line.text)
            elif run:
                break
        title = run[0] if run else ""
        for text in run[1:]:
            title = title[:-1] + text if title.endswith("-") else f"{title} {text}"
        if len(re.findall(r"[^\W\d_]{2,}", title)) >= 2 or len(title) > 12:
            return size, title
    return 0.0, ""


def find_headings(
    pages: list[list[Line]], outline: list[tuple[int, str, int]], usual: Measures
) -> list[dict[int, tuple[int, str]]]:
    """For each page, index of a heading's first line -> (number of lines, title)."""
    wanted: dict[int, set[str]] = {}
    for _, title, page in outline:
        wanted.setdefault(page, set()).add(plain(title))
    found = []
    for number, lines in enumerate(pages, 1):
        here: dict[int, tuple[int, str]] = {}
        for i, line in enumerate(lines):
            if any(i < start + count for start, (count, _) in here.items()):
                continue
            size = _heading_lines(lines, i, wanted.get(number, set()), bool(outline), usual)
            if size:
                text = " ".join(each.text for each in lines[i : i + size])
                here[i] = size, unspace_capitals(text).strip(" .:")
        found.append(here)
    return found


def _heading_lines(
    lines: list[Line], i: int, wanted: set[str], outlined: bool, usual: Measures
) -> int:
    """How many lines from `i` on form a heading; 0 for none."""
    line = lines[i]
    text = unspace_capitals(line.text)
    if len(text) > 120 or CAPTION.match(text) or line.turned:
        return 0
    if plain(text) in wanted:
        return 1
    if i + 1 < len(lines) and plain(f"{text} {lines[i + 1].text}") in wanted:
        return 2
    if KNOWN.match(re.sub(rf"^{NUMBER}\.?\s+", "", text).strip(" .:")):
        return 1
    stands_out = line.size > usual.size + 0.5 or (line.bold and line.size > usual.size - 0.6)
    if not stands_out or text.endswith((",", ";")) or len(text.split()) > 14:
        return 0
    match = NUMBERED.match(text)
    letters = re.findall(r"[^\W\d_]{3,}", text)
    if match and letters and not re.search(r"\d\s+\d|=", text):
        return 1
    larger = line.size > usual.size + 0.8 and line.bold
    return int(larger and bool(letters) and text[:1].isupper() and not outlined)


def divide(headings: list[tuple[int, str]], page_count: int) -> list[Part]:
    """Part of each heading, given as (page, title) in reading order.

    References begin at their heading; the appendix at a heading that says so, or at the heading
    "A ..." that follows the references and the letters after it in alphabetical order.
    """
    parts: list[Part] = []
    part: Part = "main"
    letter = ""
    for i, (_, title) in enumerate(headings):
        bare = re.sub(rf"^{NUMBER}\.?\s+", "", title).strip(" .:")
        if REFERENCES.match(bare):
            part = "references"
        elif APPENDIX.match(bare):
            part = "appendix"
        elif part == "references":
            mark = re.match(r"([A-Z])(?:\.\d+)*\.?\s", title)
            contents = re.match(r"(?:table of )?contents$", bare, re.I)
            if contents or (mark and (mark[1] == "A" or letter)):
                part, letter = "appendix", mark[1] if mark else ""
        parts.append(part)
    return parts

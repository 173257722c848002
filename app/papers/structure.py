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
    r"^(?:abstract|introduction|background|related works?|methods?|materials and methods"
    r"|experiments?|results?(?: and discussion)?|discussions?|conclusions?(?: and future work)?"
    r"|limitations|broader impacts?|ethics statement|acknowledge?ments?|references(?: and notes)?"
    r"|bibliography|literature cited|contents|table of contents|append(?:ix|ices)"
    r"|supplementary materials?|resumen|introducci[oó]n|metodolog[ií]a|resultados|discusi[oó]n"
    r"|conclusi[oó]n(?:es)?|referencias)$",
    re.IGNORECASE,
)
REFERENCES = re.compile(
    r"^(?:references(?: and notes)?|bibliography|literature cited|referencias)$", re.I
)
CONTENTS = re.compile(r"^(?:table of )?contents$", re.I)
OPENING = re.compile(r"^(?:\d\.? |I\. )?(?:abstract|summary|resumen|introduction)\b", re.I)
APPENDIX = re.compile(r"^(?:append(?:ix|ices)\b|supplementary\b|appendix for\b)", re.I)


def plain(title: str) -> str:
    """A heading's letters and digits without its number, for comparison."""
    title = re.sub(rf"^(?:appendix\s+)?{NUMBER}[.:]?\s+(?=\S)", "", title, flags=re.I)
    return re.sub(r"[\W_]+", "", title).lower()


def unspace_capitals(text: str) -> str:
    """Small capitals may come as "A BSTRACT": put the first letter of a usual name back."""
    joined = re.sub(r"\b([A-Z]) ([A-Z]{2,})", r"\1\2", text)
    return joined if KNOWN.match(_bare(joined)) else text


def find_title(pages: list[list[Line]], metadata: str, stem: str) -> tuple[str, int]:
    """Title by the largest type above the abstract on the first pages; metadata where it agrees.

    A cover sheet repeats the title in smaller type than the paper, so the largest of two pages
    wins. The number is that of the title's page, from 1.
    """
    best, best_size, number = metadata.strip() or stem, 0.0, 1
    for i, page in enumerate(pages[:2], 1):
        if not page:
            continue
        if len(plain(metadata)) > 8 and plain(metadata) in plain(" ".join(e.text for e in page)):
            return metadata.strip(), i
        size, title = _largest(page)
        if size > best_size:
            best, best_size, number = title, size, i
    return best, number


def _largest(page: list[Line]) -> tuple[float, str]:
    """Type size and text of the first run of lines in the largest type that reads like a title."""
    abstract = next((i for i, line in enumerate(page) if OPENING.match(line.text)), len(page))
    upright = [line for line in page[: max(1, abstract)] if not line.turned]
    top, bottom = max(line.y for line in page), min(line.y for line in page)
    upright = [line for line in upright if line.y > top - 0.5 * (top - bottom)]
    for size in sorted({line.size for line in upright if len(line.text) > 3})[:-21:-1]:
        run: list[Line] = []
        for line in upright:
            near = not run or run[-1].y - line.y < 2 * size
            if near and abs(line.size - size) <= 0.11 * size and len(run) < 4:
                run.append(line)
            elif run:
                break
        title = ""
        for line in run:
            title = f"{title} {line.text}" if title[-1:] != "-" else title[:-1] + line.text
        if len(re.findall(r"[^\W\d_]{2,}", title)) >= 2 or len(title) > 12:
            return size, title.strip()
    return 0.0, ""


def find_headings(
    pages: list[list[Line]],
    outline: list[tuple[int, str, int]],
    usual: Measures,
    title: tuple[str, int],
) -> list[dict[int, tuple[int, str]]]:
    """For each page, index of a heading's first line -> (number of lines, title).

    Lines that the outline names, that carry a section number in a type that stands out, or that
    consist of a usual name ("References"). Headings without a number count only where the paper has
    no outline and numbers none.
    """
    wanted: dict[int, set[str]] = {}
    for _, title, page in outline:
        wanted.setdefault(page, set()).add(plain(title))
    found = [
        _page_headings(page, wanted.get(number, set()), usual)
        for number, page in enumerate(pages, 1)
    ]
    numbered = sum(bool(NUMBERED.match(title)) for here in found for _, title in here.values())
    if not outline and numbered < 3:
        for page, here in zip(pages, found):
            for i, line in enumerate(page):
                if i not in here and _is_bare_heading(page, i, usual):
                    here[i] = 1, line.text.strip(" .:")
        for here in found[: title[1] - 1]:
            here.clear()  # a cover sheet
    _drop_title_block(pages, found, title[0])
    if not any(REFERENCES.match(_bare(title)) for here in found for _, title in here.values()):
        _mark_numbered_list(pages, found)
    return [dict(sorted(here.items())) for here in found]


def _bare(title: str) -> str:
    """A heading without its number."""
    return re.sub(rf"^{NUMBER}\.?\s+", "", title).strip(" .:")


def _page_headings(
    lines: list[Line], wanted: set[str], usual: Measures
) -> dict[int, tuple[int, str]]:
    here: dict[int, tuple[int, str]] = {}
    by_name: dict[str, int] = {}
    contents = any(CONTENTS.match(line.text) for line in lines)
    skip = 0
    for i, line in enumerate(lines):
        if i < skip or (contents and re.search(r"\d$", line.text)):
            continue
        count = _heading_lines(lines, i, wanted, usual)
        if not count:
            continue
        skip = i + count
        title = ""
        for each in lines[i:skip]:
            title = title[:-1] + each.text if title[-1:] == "-" else f"{title} {each.text}"
        title = unspace_capitals(title).strip(" .:")
        other = by_name.get(plain(title))
        if other is not None:  # figure labels repeat headings; the numbered or bold one is real
            if NUMBERED.match(here[other][1]) or not (NUMBERED.match(title) or line.bold):
                continue
            del here[other]
        by_name[plain(title)] = i
        here[i] = count, title
    return here


def _heading_lines(lines: list[Line], i: int, wanted: set[str], usual: Measures) -> int:
    """How many lines from `i` on form a heading that is named or numbered; 0 for none."""
    line = lines[i]
    text = unspace_capitals(line.text)
    if len(text) > 120 or CAPTION.match(text) or line.turned:
        return 0
    if plain(text) in wanted:
        return 1
    if i + 1 < len(lines) and plain(f"{text} {lines[i + 1].text}") in wanted:
        return 2
    if KNOWN.match(_bare(text)) and not text[0].islower():
        above = lines[i - 1].y - line.y if i else 99.0
        apart = above > 1.4 * usual.leading or above < 0
        marked = line.bold or line.size > usual.size + 0.5 or text.isupper() or text != _bare(text)
        return int(marked or (apart and line.size > usual.size - 1))
    return _numbered_lines(lines, i, text, usual)


def _numbered_lines(lines: list[Line], i: int, text: str, usual: Measures) -> int:
    """How many lines a heading with a section number takes; 0 where line `i` is none."""
    line = lines[i]
    match = NUMBERED.match(text)
    letters = re.findall(r"[^\W\d_]", match[2]) if match else []
    if len(letters) < 3 or text.endswith((",", ";")) or re.search(r"\d\s+\d|=", text):
        return 0
    capitals = sum(letter.isupper() for letter in letters) > 0.8 * len(letters) >= 4
    capitals = capitals and bool(re.search(r"[A-Z]{4}", text))
    larger = line.size > usual.size + 0.5
    if not (larger or (line.bold and line.size > usual.size - 0.6) or capitals):
        return 0
    count = 1
    while i + count < len(lines) and count < 3 and len(text) > 18:
        following = lines[i + count]
        close = 0 < lines[i + count - 1].y - following.y < 1.5 * line.size
        alike = following.size == line.size and following.bold == line.bold and following.bold
        if not (close and alike) or NUMBERED.match(following.text):
            break
        count += 1
    return count


def _is_bare_heading(lines: list[Line], i: int, usual: Measures) -> bool:
    """Whether a line without a number is a heading by its type and the space above it."""
    line = lines[i]
    if not (line.bold and line.size > usual.size + 0.4 and line.text[:1].isupper()):
        return False
    if len(line.text.split()) > 12 or line.text.endswith((".", ",")) or CAPTION.match(line.text):
        return False
    above = lines[i - 1].y - line.y if i else 99.0
    letters = re.findall(r"[^\W\d_]{3,}", line.text)
    return bool(letters) and (above > 1.3 * usual.leading or above < 0)


def _drop_title_block(
    pages: list[list[Line]], found: list[dict[int, tuple[int, str]]], title: str
) -> None:
    """Title and authors are no sections: on the first pages nothing above the abstract counts."""
    for here in found[:2]:
        for i in [i for i, (_, name) in here.items() if plain(name) == plain(title)]:
            del here[i]
    for lines, here in list(zip(pages, found))[:2]:
        opening = next((i for i, line in enumerate(lines) if OPENING.match(line.text)), None)
        if opening is not None:
            for i in [i for i in here if i < opening]:
                del here[i]
            return


def _mark_numbered_list(pages: list[list[Line]], found: list[dict[int, tuple[int, str]]]) -> None:
    """References without a heading: where "1." to "10." open lines in turn near the end."""
    marks = [
        (page, i, int(match[1]))
        for page, lines in enumerate(pages)
        for i, line in enumerate(lines)
        if page * 2 >= len(pages) and (match := re.match(r"\[?(\d{1,2})[.\]]\s+[A-Z]", line.text))
    ]
    for start, (page, i, number) in enumerate(marks):
        if number == 1 and [mark[2] for mark in marks[start : start + 10]] == [*range(1, 11)]:
            found[page].setdefault(i, (0, "References"))
            return


def divide(titles: list[str]) -> list[Part]:
    """Part of each heading, given in reading order.

    References begin at their heading; the appendix at a heading that says so, or at the heading
    "A ..." that follows the references and the letters after it in alphabetical order.
    """
    parts: list[Part] = []
    part: Part = "main"
    letter = "A"
    for title in titles:
        bare = _bare(title)
        mark = re.match(r"([A-Z])(?:\.\d+)*\.?\s", title)
        if REFERENCES.match(bare):
            part = "references"
        elif APPENDIX.match(bare):
            part = "appendix"
        elif part == "references" and (
            CONTENTS.match(bare) or (mark and letter <= mark[1] <= chr(ord(letter) + 1))
        ):
            part, letter = "appendix", mark[1] if mark else letter
        parts.append(part)
    return parts

"""From a PDF file to a `Paper`: starts the child process, mends its lines, lays them out as pages.

It never opens the PDF in this process and never skips a page without saying so.
"""

import hashlib
import json
import queue
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.papers import clean, flow, layout, structure
from app.papers.records import Page, Paper, PaperError, Part, Section, Span, shown_name

SECONDS_PER_PAGE = 20.0
END_MARK_BYTES = 4096
COMMON_WORDS = frozenset(
    ("the", "of", "and", "to", "in", "a", "is", "for", "with", "de", "la", "el", "en", "y", "que")
    + ("der", "die", "und", "le", "les", "et", "des", "di", "il", "o", "da", "het", "och", "i")
)


def read_paper(path: Path | str, seconds_per_page: float = SECONDS_PER_PAGE) -> Paper:
    """Read a PDF.

    A page that raises or takes longer than `seconds_per_page` is skipped with a warning and listed
    in `Paper.skipped`. Raises PaperError where the file as a whole is of no use.
    """
    path = Path(path)
    data = check_file(path)
    header, raw, skipped = extract(path, seconds_per_page)
    for number, reason in skipped:
        warnings.warn(f"{path.name}: page {number} skipped: {reason}", stacklevel=2)
    check_text(path, raw, skipped)
    return build_paper(
        shown_name(path), hashlib.sha256(data).hexdigest(), header, raw, tuple(skipped)
    )


def check_file(path: Path) -> bytes:
    """Bytes of the file; raises PaperError for what is no whole PDF."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise PaperError(str(path), "no such file", "check the path") from None
    except IsADirectoryError:
        raise PaperError(str(path), "is a folder", "name a PDF in it") from None
    except OSError as problem:
        raise PaperError(
            str(path), f"cannot be read ({problem.strerror})", "check its rights"
        ) from None
    if not data:
        raise PaperError(path.name, "is empty (0 bytes)", "download it again")
    if b"%PDF-" not in data[:1024]:
        raise PaperError(path.name, "is not a PDF", "give the PDF itself, not a web page or a text")
    if b"%%EOF" not in data[-END_MARK_BYTES:]:
        raise PaperError(
            path.name, f"is cut off: no end mark after {len(data)} bytes", "download it again"
        )
    return data


def extract(
    path: Path, seconds_per_page: float
) -> tuple[dict[str, Any], list[list[clean.Line]], list[tuple[int, str]]]:
    """Header, lines of each page, and the skipped pages with the reason."""
    pages: list[list[clean.Line]] = []
    skipped: list[tuple[int, str]] = []
    header: dict[str, Any] = {}
    while not header or len(pages) < header["pages"]:
        for record in run_child(path, len(pages) + 1, seconds_per_page):
            if "page" not in record:
                header = check_header(path, record)
                continue
            if "error" in record:
                if record["error"].startswith("DependencyError"):
                    check_header(path, {"error": "cryptography"})
                skipped.append((record["page"], record["error"]))
            pages.append([clean.Line(*line) for line in record.get("lines", ())])
        if not header:
            reason = f"could not be opened: the PDF reader crashed or took {seconds_per_page:g} s"
            raise PaperError(path.name, reason, "save it anew as PDF")
        if len(pages) < header["pages"]:  # the child was stopped at this page, or died of it
            reason = f"took longer than {seconds_per_page:g} s, or the PDF reader crashed on it"
            skipped.append((len(pages) + 1, reason))
            pages.append([])
    return header, pages, skipped


def run_child(path: Path, first: int, seconds: float) -> Iterator[dict[str, Any]]:
    """Records that the child prints from page `first` on; it is stopped when one takes too long."""
    script = Path(__file__).with_name("extract.py")
    child = subprocess.Popen(
        [sys.executable, "-P", str(script), str(path), str(first)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
    )
    arrived: queue.SimpleQueue[str] = queue.SimpleQueue()

    def forward() -> None:
        for line in child.stdout:
            arrived.put(line)
        arrived.put("")

    reader = threading.Thread(target=forward, daemon=True)
    reader.start()
    try:
        while True:
            try:
                line = arrived.get(timeout=seconds)
            except queue.Empty:
                return
            if not line:
                return
            yield json.loads(line)
    finally:
        child.kill()
        child.wait()
        reader.join()
        child.stdout.close()


def check_header(path: Path, header: dict[str, Any]) -> dict[str, Any]:
    """The header; raises PaperError where it tells of an error or of no pages."""
    error = header.get("error")
    if error == "password":
        raise PaperError(path.name, "is encrypted with a password", "save a copy without one")
    if error == "cryptography":
        raise PaperError(
            path.name,
            "is encrypted (AES), which needs the cryptography package",
            "pip install cryptography, or save a copy without encryption",
        )
    if error:
        raise PaperError(path.name, f"is damaged ({header['detail']})", "download it again")
    if not header["pages"]:
        raise PaperError(path.name, "has no pages", "download it again")
    return header


def check_text(path: Path, pages: list[list[clean.Line]], skipped: list[tuple[int, str]]) -> None:
    """Raises PaperError for a scan and for fonts whose text is no text."""
    text = " ".join(line.text for lines in pages for line in lines)
    count = len(pages)
    if len(skipped) == count:
        reason = f"none of its {count} pages could be read: {skipped[0][1]}"
        raise PaperError(path.name, reason, "save it anew")
    if len(re.findall(r"[^\W\d_]", text)) < 20:
        raise PaperError(
            path.name, f"has no text layer: {count} pages of images", "run it through OCR first"
        )
    if is_garbled(text):
        raise PaperError(
            path.name,
            f"its fonts give no readable text ({count} pages)",
            "get another copy, or print it to images and run OCR",
        )


def is_garbled(text: str) -> bool:
    """Whether text comes from a broken encoding: few letters and blanks, or no common words."""
    good = sum(char.isalpha() or char == " " for char in text)
    tokens = re.findall(r"[^\W\d_]+", text.lower())
    share = sum(token in COMMON_WORDS for token in tokens) / max(1, len(tokens))
    return good < 0.6 * len(text) or (len(tokens) > 100 and share < 0.02)


def build_paper(
    file: str,
    sha256: str,
    header: dict[str, Any],
    raw: list[list[clean.Line]],
    skipped: tuple[tuple[int, str], ...],
) -> Paper:
    """Mend, divide and lay out the lines of all pages."""
    faults = clean.find_font_faults("\n".join(line.text for lines in raw for line in lines))
    mended = [
        [
            line._replace(text=text)
            for line in lines
            if (text := clean.mend_characters(line.text, faults))
        ]
        for lines in raw
    ]
    lines, furniture = clean.drop_page_furniture(mended)
    usual = layout.measure(lines)
    lines = [layout.merge_drop_capitals(page, usual) for page in lines]
    title = structure.find_title(lines, header["title"], Path(file).stem)
    headings = structure.find_headings(lines, header["outline"], usual, title)
    flat = [
        (n, i, title)
        for n, here in enumerate(headings, 1)
        for i, (_, title) in sorted(here.items())
    ]
    parts = structure.divide([title for _, _, title in flat])
    labels = printed_labels(header["labels"], furniture.printed)
    pages, sections, figures = lay_out(lines, headings, flat, parts, usual, labels)
    return Paper(
        file=file,
        sha256=sha256,
        title=title[0],
        arxiv_id=furniture.arxiv_id,
        pages=tuple(pages),
        sections=tuple(sections),
        skipped=skipped,
        figures=tuple(figures),
    )


def printed_labels(labels: list[str], printed: dict[int, int]) -> list[str]:
    """The file's page labels, or the numbers printed on the pages where the labels say nothing."""
    if labels != [str(n + 1) for n in range(len(labels))]:
        return labels
    first, last = min(printed, default=0), max(printed, default=0)
    shift = printed[first] - first if printed else 0
    return [str(n + shift) if first <= n <= last else str(n) for n in range(1, len(labels) + 1)]


def lay_out(
    lines: list[list[clean.Line]],
    headings: list[dict[int, tuple[int, str]]],
    flat: list[tuple[int, int, str]],
    parts: list[Part],
    usual: layout.Measures,
    labels: list[str],
) -> tuple[list[Page], list[Section], list[Span]]:
    """Lay out every page and bring together what page breaks cut; see `place_blocks`."""
    words = clean.vocabulary([line for page in lines for line in page])
    part_of = {(n, i): part for (n, i, _), part in zip(flat, parts)}
    blocks = []
    current: Part = "main"
    for number, (page, here) in enumerate(zip(lines, headings), 1):
        listed = [current, *(part_of[number, i] for i in here)]
        current = listed[-1]
        first = min(here, default=0) if number == 1 else 0
        found = layout.page_blocks(page, here, usual, words, "references" in listed, first)
        blocks.append(flow.finish_paragraphs(found, usual, words))
    flow.mend_page_breaks(blocks, words)
    return place_blocks(blocks, labels, parts)


def place_blocks(
    blocks: list[list[layout.Block]], labels: list[str], parts: list[Part]
) -> tuple[list[Page], list[Section], list[Span]]:
    """Pages of the blocks' texts, one a line; sections and figure runs with their place in them."""
    pages: list[Page] = []
    sections: list[Section] = []
    figures: list[Span] = []
    order = iter(parts)
    current: Part = "main"
    for number, (page, label) in enumerate(zip(blocks, labels), 1):
        page_part = current
        start = 0
        for block in page:
            span = Span(number, start, start + len(block.text))
            if block.heading:
                current = next(order)
                page_part = current if start == 0 else page_part
                end = span.end if block.kind == "heading" else start
                sections.append(Section(block.heading, current, span._replace(end=end)))
            if block.kind == "figure":
                figures.append(span)
            start = span.end + 1
        pages.append(Page(number, label, "\n".join(block.text for block in page), page_part))
    return pages, sections, figures

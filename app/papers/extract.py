"""The child process that opens a PDF: `extract.py FILE FIRST_PAGE` prints one JSON line a page.

It only measures and prints; what the text means is decided by those who read its output. It runs
apart from the program, so that a page that hangs or eats the memory costs that page alone.
"""

import json
import logging
import math
import sys
from typing import Any

MEMORY_BYTES = 3 << 30  # a page that needs more than this is not text
TYPE3_SIZE = 10.0  # bitmap fonts do not tell their size
# Large brackets of TeX's extension font, which has no names that pypdf could map. Only its control
# codes: blanks are pypdf's own, and the rest has names.
CMEX = {
    **dict.fromkeys(b"\x00\x10\x12", "("),
    **dict.fromkeys(b"\x01\x11\x13", ")"),
    **dict.fromkeys(b"\x02\x14", "["),
    **dict.fromkeys(b"\x03\x15", "]"),
    **dict.fromkeys(b"\x08\x1a", "{"),
    **dict.fromkeys(b"\x09\x1b", "}"),
    **dict.fromkeys(b"\x0c", "|"),
    **dict.fromkeys(b"\x0d", "‖"),
}


class LineBuilder:
    """Gathers pypdf's text pieces of one page into lines with place and type size.

    A line is `[text, x, y, size, bold, turned]`: left edge and base line in points (origin at the
    page's lower left), type size in points of most of its characters, whether most of them are
    bold, and whether the text runs up or down the page.
    """

    def __init__(self) -> None:
        self.lines: list[list[Any]] = []
        self.pieces: list[tuple[str, float, float, float, bool, bool]] = []

    def add(self, text: str, cm: list[float], tm: list[float], font: Any, size: float) -> None:
        """Take one piece as pypdf's `visitor_text` gives it."""
        if not text:
            return
        a = tm[0] * cm[0] + tm[1] * cm[2]
        b = tm[0] * cm[1] + tm[1] * cm[3]
        scale = math.hypot(tm[2] * cm[0] + tm[3] * cm[2], tm[2] * cm[1] + tm[3] * cm[3])
        x = tm[4] * cm[0] + tm[5] * cm[2] + cm[4]
        y = tm[4] * cm[1] + tm[5] * cm[3] + cm[5]
        font = font or {}
        name = str(font.get("/BaseFont", "")).lower()
        if font.get("/Subtype") == "/Type3":
            scale, size = 1.0, TYPE3_SIZE
        if "cmex" in name:
            text = text.translate(CMEX)
        bold = any(mark in name for mark in ("bold", "medi", "cmbx", "black", "heavy"))
        for i, part in enumerate(text.split("\n")):
            if i:
                self.end_line()
            if part:
                self.pieces.append((part, x, y, scale * size, bold, abs(b) > abs(a)))

    def end_line(self) -> None:
        """Close the line in hand; an empty one is kept out."""
        text = "".join(piece[0] for piece in self.pieces)
        inked = [piece for piece in self.pieces if piece[0].strip()]
        if inked:
            sizes: dict[float, int] = {}
            for piece in inked:
                size = round(piece[3], 1)
                sizes[size] = sizes.get(size, 0) + len(piece[0].strip())
            size = max(sizes, key=lambda s: (sizes[s], s))
            first = next(piece for piece in inked if round(piece[3], 1) == size)
            bold = sum(len(p[0].strip()) for p in inked if p[4]) * 2 > sum(sizes.values())
            x, y = round(inked[0][1], 1), round(first[2], 1)
            self.lines.append([text, x, y, size, bold, first[5]])
        self.pieces = []


def page_lines(page: Any) -> list[list[Any]]:
    """Lines of one pypdf page in reading order; see `LineBuilder`."""
    builder = LineBuilder()
    page.extract_text(visitor_text=builder.add)
    builder.end_line()
    return builder.lines


def outline_entries(reader: Any) -> list[tuple[int, str, int]]:
    """The outline as (level from 0, title, physical page from 1); empty where there is none."""
    found: list[tuple[int, str, int]] = []

    def walk(entries: list[Any], level: int) -> None:
        for entry in entries:
            if isinstance(entry, list):
                walk(entry, level + 1)
            else:
                page = reader.get_destination_page_number(entry)
                if page is not None and page >= 0:
                    found.append((level, str(entry.title), page + 1))

    walk(reader.outline, 0)
    return found


def attempt(action: Any, default: Any) -> Any:
    """Result of `action()`, or `default` where a damaged file makes it fail: these are extras."""
    try:
        return action()
    except Exception:
        return default


def open_reader(path: str) -> tuple[Any, dict[str, Any]]:
    """Open a PDF; gives the reader and a header that tells `error` where it cannot be read."""
    import pypdf
    from pypdf.errors import DependencyError

    try:
        reader = pypdf.PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            return None, {"error": "password"}
        pages = len(reader.pages)
    except DependencyError as problem:
        return None, {"error": "cryptography", "detail": str(problem)}
    except Exception as problem:
        return None, {"error": "damaged", "detail": f"{type(problem).__name__}: {problem}"}
    title = attempt(lambda: str((reader.metadata or {}).get("/Title") or ""), "")
    labels = attempt(lambda: [str(label) for label in reader.page_labels], [])
    return reader, {
        "pages": pages,
        "title": title,
        "labels": labels if len(labels) == pages else [str(n + 1) for n in range(pages)],
        "outline": attempt(lambda: outline_entries(reader), []),
    }


def limit_memory() -> None:
    """Bound this process's memory where the system can."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    except (ImportError, ValueError, OSError):
        return  # not every system can; the time limit still holds


def emit(record: dict[str, Any]) -> None:
    """Print one line of JSON; a lone surrogate, as in a title of broken UTF-16, becomes "?"."""
    line = json.dumps(record, ensure_ascii=False) + "\n"
    sys.stdout.buffer.write(line.encode("utf-8", "replace"))
    sys.stdout.buffer.flush()


def main(path: str, first: int) -> None:
    """Print the header, then one line a page from page `first` on."""
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # this process only
    limit_memory()
    reader, header = open_reader(path)
    emit(header)
    for number in range(first, header.get("pages", 0) + 1):
        try:
            record: dict[str, Any] = {"page": number, "lines": page_lines(reader.pages[number - 1])}
        except (Exception, RecursionError, MemoryError) as problem:
            record = {"page": number, "error": f"{type(problem).__name__}: {problem}"[:200]}
        emit(record)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

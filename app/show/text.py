"""Text for a terminal and for Markdown files, made inert: nothing in it can act as markup.

It never prints and knows nothing of papers.
"""

import re
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence

Spans = Iterable[tuple[int, int]]

_DIRECTION = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_MARKDOWN = re.compile(r"[\\`*_\[\]~^|$<>&]")
_LINE_START = re.compile(r"^(\s*)([#+=:-]|\d+[.)])")
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "|": "&#124;", "`": "&#96;"}


def plain(text: str) -> str:
    """The text without what a screen would obey: control characters and changes of direction.

    Each becomes one blank, so that offsets into the text stay right; line breaks and tabs too.
    """
    return "".join(" " if _acts(letter) else letter for letter in text)


def _acts(letter: str) -> bool:
    if " " <= letter <= "~":
        return False
    return unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") or letter in _DIRECTION


def merged(spans: Spans, length: int) -> list[tuple[int, int]]:
    """The spans in order, cut to 0..length, without empty ones; those that touch become one."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted((max(0, start), min(length, end)) for start, end in spans):
        if start >= end:
            continue
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def pieces(text: str, spans: Spans) -> list[tuple[str, bool]]:
    """The text cut at the spans' ends: each piece with whether it lies in a span."""
    cut, at = [], 0
    for start, end in merged(spans, len(text)):
        cut += [(text[at:start], False), (text[start:end], True)]
        at = end
    return [piece for piece in (*cut, (text[at:], False)) if piece[0]]


def excerpt(text: str, spans: Spans, width: int = 180) -> tuple[int, int]:
    """Start and end of a piece of about `width` characters that begins where the spans begin.

    The whole text where it is not much longer. Cut at blanks only.
    """
    found = merged(spans, len(text))
    if len(text) <= width * 1.2:
        return 0, len(text)
    start = found[0][0] if found else 0
    end = start + width
    for first, last in found:
        end = max(end, last) if first < end else end
    if end < len(text):
        blank = text.find(" ", end)
        end = len(text) if blank < 0 else blank
    return start, min(end, len(text))


def markdown(text: str) -> str:
    """Text as inline Markdown that shows exactly these characters, also in a table's cell.

    Dollar signs stand in a span of their own: renderers that typeset formulas skip them then.
    """
    safe = _MARKDOWN.sub(_escaped, plain(text))
    return _LINE_START.sub(lambda m: f"{m[1]}{m[2][:-1]}\\{m[2][-1]}", safe)


def _escaped(match: re.Match[str]) -> str:
    letter = match[0]
    if letter == "$":
        return "<span>$</span>"
    return _ENTITIES.get(letter, "\\" + letter)


def markdown_marked(text: str, spans: Spans) -> str:
    """Inline Markdown in which the spans are bold."""
    out = []
    for piece, inside in pieces(text, spans):
        bare = piece.strip() if inside else ""
        if not bare:
            out.append(markdown(piece) if not out else _inner(piece))
            continue
        lead = piece[: len(piece) - len(piece.lstrip())]
        tail = piece[len(piece.rstrip()) :]
        out.append(f"{lead}**{markdown(bare)}**{tail}")
    return "".join(out)


def _inner(piece: str) -> str:
    # not at a line's start: nothing to guard there
    return _MARKDOWN.sub(_escaped, plain(piece))


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A pipe table; the cells are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def wrapped(text: str, *, indent: str = "", first: str | None = None, width: int = 88) -> str:
    """Text broken into lines of at most `width`, each with `indent`, the first with `first`."""
    return textwrap.fill(
        plain(text),
        width,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def bar(value: float, largest: float, width: int = 20) -> str:
    """A bar of blocks: `width` of them for `largest`, at least one for anything above 0."""
    if value <= 0 or largest <= 0:
        return ""
    return "█" * max(1, round(width * min(value, largest) / largest))


def seconds(value: float) -> str:
    """A duration: milliseconds below a tenth of a second."""
    return f"{value * 1000:.0f} ms" if value < 0.1 else f"{value:.1f} s"


def count(number: int, noun: str) -> str:
    """The number with its noun, which takes an s where it is not one: `3 passages`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def pages(page: int, last_page: int, label: str = "") -> str:
    """How a place is cited: `p. 12`, `pp. 12-13`, with the printed number where it differs."""
    place = f"p. {page}" if last_page == page else f"pp. {page}-{last_page}"
    return f"{place} (printed {label})" if label and label != str(page) else place

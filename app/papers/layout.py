"""From lines with their place on a page to paragraphs, captions, table rows and figure labels.

Geometry and line shapes only; it knows nothing of sections and never looks at another page's text.
"""

import re
import statistics
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from app.papers.clean import LONGEST_HALF, Line, join_lines

Kind = Literal["prose", "heading", "caption", "row", "figure"]

CAPTION = re.compile(
    r"(?:Figure|Fig\.|FIGURE|Table|TABLE|Algorithm|Listing)\s+[A-Z]?\.?\d+\w?\s*[:.|]"
)
DOT = re.compile(r"[•●▪◦∙]\s")
BULLET = re.compile(r"[•●▪◦∙·■–*]\s|\(?(?:[ivx]{1,4}|\d{1,2}|[a-z])[.)]\s+[A-Z“\"]")
FOOTNOTE = re.compile(r"(?:\d{1,2}|[∗*†‡§])(?:[A-Z“]|https?:)")
REFERENCE_MARK = re.compile(r"\[\w{1,12}\]\s|\d{1,3}\.\s+[A-Z]")
NAME_FIRST = re.compile(r"\D*?[^\W\d_]{2}")
NUMBER = re.compile(r"[-+−]?\d[\d.,]*%?")
FIGURE_RUN, FIGURE_WORDS = 8, 4  # so many lines of fewer words than this are labels or numbers
# The end of a sentence, also where a footnote's number follows it.
END = re.compile(r"(?:[.!?:;…][\"'”’)\]]*|(?<=[^\W\d_])[.!?][\"'”’)\]]*\d{1,3})$")


@dataclass(frozen=True)
class Block:
    """A paragraph or other unit of a page; `heading` names the section that begins with it."""

    kind: Kind
    text: str
    size: float
    heading: str = ""


@dataclass(frozen=True)
class Measures:
    """What is usual in a file: type size of its prose and distance of its lines, in points."""

    size: float
    leading: float


def ends_sentence(text: str) -> bool:
    """Whether a text ends as a sentence does; only its last characters count."""
    return bool(END.search(text[-40:]))


def measure(pages: list[list[Line]]) -> Measures:
    """Most used type size by characters, and the median distance of its lines."""
    sizes: Counter[float] = Counter()
    for lines in pages:
        for line in lines:
            sizes[line.size] += len(line.text) if len(line.text) > 25 else 0
    size = sizes.most_common(1)[0][0] if sizes else 10.0
    gaps = [
        before.y - line.y
        for lines in pages
        for before, line in zip(lines, lines[1:])
        if line.size == before.size == size and 0.8 * size < before.y - line.y < 2.5 * size
    ]
    return Measures(size, statistics.median(gaps) if gaps else 1.2 * size)


def merge_drop_capitals(lines: list[Line], usual: Measures) -> list[Line]:
    """Lines with a large first letter put back before the small letters that go on with it."""
    merged: list[Line] = []
    for line in lines:
        capital = merged[-1] if merged else None
        large = capital and len(capital.text) == 1 and capital.size > 2 * usual.size
        if large and line.text[:1].islower():
            merged[-1] = line._replace(text=capital.text + line.text)
        else:
            merged.append(line)
    return merged


def page_blocks(
    lines: list[Line],
    headings: dict[int, tuple[int, str]],
    usual: Measures,
    words: Counter[str],
    references: bool,
    figures_from: int = 0,
) -> list[Block]:
    """Blocks of one page in reading order.

    `headings` maps the index of a heading's first line to (number of lines, title), no lines for
    a section that begins without a heading; from line `figures_from` on, runs of short lines are
    figure text; `references` says that the page lies in the list of references, where each item
    is a block.
    """
    kinds = line_kinds(lines, headings, usual, figures_from)
    if references:  # numbers of volumes and pages are no rows of a table
        kinds = ["prose" if kind == "row" else kind for kind in kinds]
    blocks: list[Block] = []
    group: list[Line] = []
    kind: Kind = "prose"
    opened = ""
    skip_to = 0

    def close() -> None:
        nonlocal opened
        if group:
            blocks.append(replace(make_block(kind, group, words), heading=opened))
            group.clear()
            opened = ""

    for i, line in enumerate(lines):
        if i < skip_to:
            continue
        if i in headings:
            close()
            count, title = headings[i]
            skip_to = i + count
            if count:
                text = join_all([each.text for each in lines[i:skip_to]], words)
                blocks.append(Block("heading", text, line.size, title))
                continue
            opened = title
        following = lines[i + 1] if i + 1 < len(lines) else None
        if group and starts_block(group[-1], line, following, kind, kinds[i], usual, references):
            close()
        if not group:
            kind = kinds[i]
        group.append(line)
    close()
    return blocks


def make_block(kind: Kind, group: list[Line], words: Counter[str]) -> Block:
    """One block of the lines of `group`."""
    size = Counter(line.size for line in group).most_common(1)[0][0]
    texts = [line.text for line in group]
    text = " ".join(texts) if kind in ("figure", "row") else join_all(texts, words)
    return Block(kind, text, size)


def join_all(texts: list[str], words: Counter[str]) -> str:
    """Lines of one paragraph as one text."""
    done, joined = [], texts[0]
    for text in texts[1:]:
        joined = join_lines(joined, text, words)
        if len(joined) > 4 * LONGEST_HALF:  # what lies farther back joins no more
            done.append(joined[:-LONGEST_HALF])
            joined = joined[-LONGEST_HALF:]
    return "".join(done) + joined


def line_kinds(
    lines: list[Line], headings: dict[int, tuple[int, str]], usual: Measures, figures_from: int
) -> list[Kind]:
    """Kind of each line by itself and by the run in which it stands."""
    kinds: list[Kind] = []
    for line in lines:
        if CAPTION.match(line.text):
            kinds.append("caption")
        else:
            kinds.append("row" if is_row(line.text) else "prose")
    for start, end in label_runs(lines, kinds, headings, usual, figures_from):
        rows = sum(is_table_row(line.text) for line in lines[start:end])
        kinds[start:end] = ["row" if rows * 2 > end - start else "figure"] * (end - start)
    return kinds


def label_runs(
    lines: list[Line],
    kinds: list[Kind],
    headings: dict[int, tuple[int, str]],
    usual: Measures,
    first: int,
) -> Iterator[tuple[int, int]]:
    """Start and end of each long run of lines of a few words: labels, ticks, cells of a table.

    A line of up to twice as many words between them does not end the run where its type is not the
    prose's or it holds numbers only.
    """

    def words(i: int) -> int:
        apart = i in headings or kinds[i] == "caption"
        return 99 if apart else len(lines[i].text.split())

    def bridges(i: int) -> bool:
        line = lines[i]
        other = abs(line.size - usual.size) > 0.4 or line.turned
        other = other or bool(re.fullmatch(r"[\d\s.,%±−–+()]+", line.text))
        return other and (words(i) < 2 * FIGURE_WORDS or (words(i) < 20 and is_alone(lines, i)))

    start = first
    for i in range(first, len(lines) + 1):
        if i < len(lines) and (words(i) < FIGURE_WORDS or bridges(i)):
            continue
        while 0 < start < i and ends_paragraph(lines[start - 1], lines[start]):
            start += 1
        if sum(words(j) < FIGURE_WORDS for j in range(start, i)) >= FIGURE_RUN:
            yield start, i
        start = i + 1


def is_alone(lines: list[Line], i: int) -> bool:
    """Whether no line of the same type stands right above or below line `i`."""
    around = [lines[j] for j in (i - 1, i + 1) if 0 <= j < len(lines)]
    line = lines[i]
    return not any(
        abs(other.size - line.size) < 0.3 and abs(other.y - line.y) < 1.7 * line.size
        for other in around
    )


def ends_paragraph(before: Line, line: Line) -> bool:
    """Whether a short line is the rest of the sentence that the line above it leaves open."""
    close = 0 < before.y - line.y < 1.6 * before.size and abs(before.size - line.size) < 0.3
    prose = len(before.text.split()) > FIGURE_WORDS and not is_row(before.text)
    return close and prose and not ends_sentence(before.text) and abs(before.x - line.x) < 30


def is_table_row(text: str) -> bool:
    """Whether a line is a name, before any digit, and more up to a number at the end."""
    last = text.rsplit(None, 1)[-1:]
    alone = text[-1:].isspace() or last == [text]
    return not alone and bool(last and NUMBER.fullmatch(last[0]) and NAME_FIRST.match(text))


def is_row(text: str) -> bool:
    """Whether a line reads as an equation or a row of a table: few of its tokens are words."""
    tokens = text.split()
    plain = sum(
        bool(re.fullmatch(r"[(\[“\"'‘]*[^\W\d_][^\W\d_’'-]+[.,;:)\]”\"'’?!-]*", t)) for t in tokens
    )
    numbers = sum(bool(re.search(r"\d|[=+∈⊙]", t)) for t in tokens)
    return len(tokens) >= 3 and plain * 2 < len(tokens) and numbers >= 2


def starts_block(
    before: Line,
    line: Line,
    following: Line | None,
    kind: Kind,
    own: Kind,
    usual: Measures,
    references: bool,
) -> bool:
    """Whether `line` begins a new block after `before`, the last line of a block of `kind`."""
    if own == "caption" or (own == "figure") != (kind == "figure"):
        return True
    if own == "figure" or DOT.match(line.text):
        return own != "figure"
    if kind == "row" or own == "row":
        return kind == "row" or not goes_on(before, line, usual)
    if abs(line.size - before.size) > 0.35 and len(line.text) > 12 and len(before.text) > 12:
        return True
    if FOOTNOTE.match(line.text) and line.size < usual.size - 0.5:
        return True
    if ends_sentence(before.text):
        return starts_paragraph(before, line, following, usual, references)
    drop = before.y - line.y
    if references and REFERENCE_MARK.match(line.text):
        return True
    return line.bold != before.bold if drop < -1 else drop > 3 * usual.leading


def starts_paragraph(
    before: Line, line: Line, following: Line | None, usual: Measures, references: bool
) -> bool:
    """Whether `line` begins a paragraph after `before`, which ends a sentence."""
    if BULLET.match(line.text):
        return True
    drop = before.y - line.y
    if drop < -1:  # up: the next column, or a float's end
        return line.bold != before.bold or line.text[:1].isupper() or is_indented(line, following)
    if drop > 1.45 * max(usual.leading, 1.1 * line.size):
        return True
    if references:
        return starts_reference(before, line, following)
    return is_indented(line, following)


def goes_on(before: Line, line: Line, usual: Measures) -> bool:
    """Whether a line of signs belongs to the running text: same edge, next line, same size."""
    close = 0 < before.y - line.y < 1.3 * usual.leading
    return close and abs(before.x - line.x) < 2 and not ends_sentence(before.text)


def is_indented(line: Line, following: Line | None) -> bool:
    """Whether the first line of a paragraph is set in, measured against the line below it."""
    if following is None or not 0 < line.y - following.y < 2.5 * line.size:
        return False
    return 0.7 * line.size < line.x - following.x < 4 * line.size


def starts_reference(before: Line, line: Line, following: Line | None) -> bool:
    """Whether a line opens an item of the list of references: a mark, or a hanging edge."""
    if REFERENCE_MARK.match(line.text) or line.x < before.x - 0.5 * line.size:
        return True
    return following is not None and line.x < following.x - 0.5 * line.size

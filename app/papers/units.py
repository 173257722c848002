"""The sentences of a paper with their places: over page breaks whole, cut where they are too long.

It never changes a character of the text, and leaves no sentence out.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from app.papers.layout import CAPTION, is_row
from app.papers.records import Page, Paper, Part, Section, Span
from app.papers.sentences import split_sentences

CountTokens = Callable[[str], int]


class Unit(NamedTuple):
    """A sentence, or a piece of one that is too long, with its place, size and surroundings."""

    spans: tuple[Span, ...]
    words: int
    tokens: int
    section: str
    part: Part
    ends_paragraph: bool
    is_heading: bool
    is_caption: bool


class TokenCounter:
    """Tokens of places in the pages, against the most that the embedder reads."""

    def __init__(self, texts: dict[int, str], count_tokens: CountTokens, max_tokens: int) -> None:
        self.texts, self.count_tokens, self.max_tokens = texts, count_tokens, max_tokens

    def text(self, spans: Iterable[Span]) -> str:
        """The pages' text at `spans`, joined by blanks."""
        return " ".join(self.texts[span.page][span.start : span.end] for span in spans)

    def tokens(self, spans: Iterable[Span]) -> int:
        """Word pieces of that text, special tokens included."""
        return self.count_tokens(self.text(spans))


def sentence_units(paper: Paper, count: TokenCounter) -> Iterator[Unit]:
    """Sentences of all pages in reading order, those over a page break whole, none too long."""
    figures = {(span.page, span.start) for span in paper.figures}
    places = sorted(paper.sections, key=lambda section: section.span)
    taken: Span | None = None  # what a sentence of the page before has used of this page
    for page, following in zip(paper.pages, (*paper.pages[1:], None)):
        used = taken[1:] if taken else (0, 0)
        taken = None
        paragraphs = list(_paragraphs(page.text))
        last_open = _open_paragraph(page, paragraphs, figures, places)
        for start, end in paragraphs:
            section, part, heading = _place(places, page.number, start)
            part = "figure" if (page.number, start) in figures else part
            sentences = [(start + a, start + b) for a, b in split_sentences(page.text[start:end])]
            for i, (a, b) in enumerate(sentences):
                if used[0] <= a < used[1]:
                    a = min(b, used[1])
                    if not page.text[a:b].strip():
                        continue
                spans = (Span(page.number, a, b),)
                last = i == len(sentences) - 1
                if last and start == last_open and following is not None:
                    taken = _rest_of_sentence(following, figures, places, part)
                    spans = (*spans, taken) if taken else spans
                caption = i == 0 and bool(CAPTION.match(page.text, start))
                for piece, tokens in _fitting(spans, count):
                    words = len(count.text(piece).split())
                    yield Unit(piece, words, tokens, section, part, last, heading, caption)


def _paragraphs(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        if end > start:
            yield start, end
        start = end + 1


def _place(places: list[Section], page: int, start: int) -> tuple[str, Part, bool]:
    """Section and part of a place, and whether a heading stands there."""
    after = bisect_right(places, (page, start), key=lambda section: section.span[:2])
    if not after:
        return "", "main", False
    section = places[after - 1]
    heading = section.span[:2] == (page, start) and section.span.end > start
    return section.title, section.part, heading


def _is_running(text: str) -> bool:
    """Whether a paragraph is running text: words, no caption and no row of a table."""
    return len(text.split()) > 7 and not CAPTION.match(text) and not is_row(text)


def _open_paragraph(
    page: Page,
    paragraphs: list[tuple[int, int]],
    figures: set[tuple[int, int]],
    places: list[Section],
) -> int | None:
    """Start of the last running paragraph where it stops in the middle of a sentence.

    Footnotes and floats may stand after it, but no equation: that is how its sentence goes on.
    """
    below = ""
    for start, end in reversed(paragraphs):
        text, after, below = page.text[start:end], below, page.text[start:end]
        if _place(places, page.number, start)[2]:
            return None
        if (page.number, start) not in figures and _is_running(text) and _is_open(text):
            return None if is_row(after) else start
    return None


def _is_open(text: str) -> bool:
    return text[-1].isalnum() or text[-1] in ",-–(&"


def _continuation_start(page: Page, figures: set[tuple[int, int]]) -> int | None:
    """Start of the paragraph that goes on from the page before: the first that begins small."""
    for start, end in _paragraphs(page.text):
        text = page.text[start:end]
        if (page.number, start) in figures or not _is_running(text):
            if text[:1].islower() and len(text.split()) > 1:
                return start
            continue
        return start if text[:1].islower() else None
    return None


def _rest_of_sentence(
    page: Page, figures: set[tuple[int, int]], places: list[Section], part: Part
) -> Span | None:
    """Where the next page finishes the sentence that the page before leaves open."""
    start = _continuation_start(page, figures)
    if start is None or _place(places, page.number, start)[1] != part:
        return None
    end = page.text.find("\n", start)
    a, b = split_sentences(page.text[start : end if end >= 0 else len(page.text)])[0]
    return Span(page.number, start + a, start + b)


def _fitting(
    spans: tuple[Span, ...], count: TokenCounter
) -> Iterator[tuple[tuple[Span, ...], int]]:
    """The sentence, or pieces cut at blanks where it is too long, each with its tokens."""
    tokens = count.tokens(spans)
    if tokens <= count.max_tokens:
        yield spans, tokens
        return
    for page, start, end in spans:
        while start < end:
            piece = (Span(page, start, _longest_fit(page, start, end, count)),)
            yield piece, count.tokens(piece)
            start = piece[0].end
            while start < end and count.texts[page][start] == " ":
                start += 1


def _longest_fit(page: int, start: int, end: int, count: TokenCounter) -> int:
    """Largest end, at a blank where there is one, up to which the text fits."""
    low, high = start + 1, min(end, start + 1024)
    while high < end and count.tokens([Span(page, start, high)]) <= count.max_tokens:
        low, high = high, min(end, start + 2 * (high - start))  # never far beyond what fits
    while low < high:
        middle = (low + high + 1) // 2
        if count.tokens([Span(page, start, middle)]) <= count.max_tokens:
            low = middle
        else:
            high = middle - 1
    if low == end:
        return end
    blank = count.texts[page].rfind(" ", start + 1, low + 1)
    return blank if blank > start else low

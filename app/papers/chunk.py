"""From the pages of a paper to chunks of whole sentences with exact places in the pages' text.

It never changes a character of the text and never lets a chunk grow past the embedder's limit.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from app.papers.layout import CAPTION
from app.papers.records import Chunk, Page, Paper, Part, Section, Sentence, Span
from app.papers.sentences import split_sentences

CountTokens = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class ChunkSettings:
    """How a paper is cut.

    `words` is what a chunk aims at; it may reach `most_words`, and what the embedder reads bounds
    it anyway. `overlap` is the number of sentences that a chunk repeats from the one before it on
    the same page: 0 or 1.
    """

    words: int = 130
    most_words: int = 170
    overlap: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.words <= self.most_words:
            raise ValueError(
                f"words={self.words} must lie between 1 and most_words={self.most_words}"
            )
        if self.overlap not in (0, 1):
            raise ValueError(f"overlap={self.overlap} must be 0 or 1")


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


def chunk_paper(
    paper: Paper, settings: ChunkSettings, count_tokens: CountTokens, max_tokens: int
) -> list[Chunk]:
    """Cut a paper into chunks of about `settings.words` words in reading order.

    `count_tokens` gives the word pieces of a text, special tokens included; no chunk has more than
    `max_tokens` of them. A chunk never crosses a part or a section, and a page break only to finish
    a sentence; every character but white space lies in some chunk.
    """
    texts = {page.number: page.text for page in paper.pages}
    labels = {page.number: page.label for page in paper.pages}
    count = _Counter(texts, count_tokens, max_tokens)
    chunks = []
    for group in _groups(_units(paper, count), settings, count):
        first = group[0]
        sentences, text, spans = _assemble(group, texts)
        chunks.append(
            Chunk(
                id=f"{paper.file}:{len(chunks):04d}",
                paper=paper.file,
                title=paper.title,
                section=first.section,
                part=first.part,
                label=labels[first.spans[0].page],
                text=text,
                spans=spans,
                sentences=sentences,
            )
        )
    return chunks


class _Counter:
    """Tokens of places in the pages, against the most that the embedder reads."""

    def __init__(self, texts: dict[int, str], count_tokens: CountTokens, max_tokens: int) -> None:
        self.texts, self.count_tokens, self.max_tokens = texts, count_tokens, max_tokens

    def text(self, spans: Iterable[Span]) -> str:
        return " ".join(self.texts[span.page][span.start : span.end] for span in spans)

    def tokens(self, spans: Iterable[Span]) -> int:
        return self.count_tokens(self.text(spans))


def _units(paper: Paper, count: _Counter) -> Iterator[Unit]:
    """Sentences of all pages in reading order, those over a page break whole, none too long."""
    figures = {(span.page, span.start) for span in paper.figures}
    places = sorted(paper.sections, key=lambda section: section.span)
    taken = 0  # characters at the start of the page's running text that the page before has used
    for page, following in zip(paper.pages, (*paper.pages[1:], None)):
        offset = _continuation_start(page, figures) if taken else 0
        used = (offset, offset + taken)
        taken = 0
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
                    rest = _rest_of_sentence(following, figures, places, part)
                    if rest:
                        taken = rest.end - rest.start
                        spans = (*spans, rest)
                caption = i == 0 and bool(CAPTION.match(page.text, start))
                for piece in _fitting(spans, count):
                    text = count.text(piece)
                    sizes = len(text.split()), count.count_tokens(text)
                    yield Unit(piece, *sizes, section, part, last, heading, caption)


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
    title, part, heading = "", "main", False
    for section in places:
        if (section.span.page, section.span.start) > (page, start):
            break
        title, part = section.title, section.part
        heading = section.span[:2] == (page, start) and section.span.end > start
    return title, part, heading


def _is_running(text: str) -> bool:
    return len(text.split()) > 4


def _open_paragraph(
    page: Page,
    paragraphs: list[tuple[int, int]],
    figures: set[tuple[int, int]],
    places: list[Section],
) -> int | None:
    """Start of the page's last paragraph where it stops in the middle of a sentence."""
    for start, end in reversed(paragraphs):
        if (page.number, start) in figures:
            continue
        text = page.text[start:end]
        heading = _place(places, page.number, start)[2]
        open_end = text[-1].isalnum() or text[-1] in ",-–(&"
        return start if open_end and not heading and _is_running(text) else None
    return None


def _continuation_start(page: Page, figures: set[tuple[int, int]]) -> int:
    """Start of the paragraph of a page that may go on with the page before."""
    for start, end in _paragraphs(page.text):
        if (page.number, start) not in figures and _is_running(page.text[start:end]):
            return start
    return 0


def _rest_of_sentence(
    page: Page, figures: set[tuple[int, int]], places: list[Section], part: Part
) -> Span | None:
    """Where the next page finishes the sentence that the page before leaves open."""
    start = _continuation_start(page, figures)
    end = page.text.find("\n", start)
    paragraph = page.text[start : end if end >= 0 else len(page.text)]
    if not paragraph[:1].islower() or _place(places, page.number, start)[1] != part:
        return None
    a, b = split_sentences(paragraph)[0]
    return Span(page.number, start + a, start + b)


def _fitting(spans: tuple[Span, ...], count: _Counter) -> Iterator[tuple[Span, ...]]:
    """The sentence, or pieces of it cut at blanks where it is longer than the embedder reads."""
    if count.tokens(spans) <= count.max_tokens:
        yield spans
        return
    for page, start, end in spans:
        while start < end:
            cut = _longest_fit(page, start, end, count)
            yield (Span(page, start, cut),)
            start = cut
            while start < end and count.texts[page][start] == " ":
                start += 1


def _longest_fit(page: int, start: int, end: int, count: _Counter) -> int:
    """Largest end, at a blank where there is one, up to which the text fits."""
    low, high = start + 1, end
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


def _groups(
    units: Iterable[Unit], settings: ChunkSettings, count: _Counter
) -> Iterator[list[Unit]]:
    """Units packed into chunks."""
    for run in _runs(units):
        yield from _pack(run, settings, count)


def _runs(units: Iterable[Unit]) -> Iterator[list[Unit]]:
    """Units that may share a chunk: one part and page, and one section but for bare headings."""
    run: list[Unit] = []
    for unit in units:
        if run:
            before = run[-1]
            bare = all(each.is_heading for each in run)
            if (
                unit.part != before.part
                or unit.spans[0].page != before.spans[-1].page
                or before.spans[0].page != before.spans[-1].page
                or (unit.is_heading and not bare)
            ):
                yield run
                run = []
        run.append(unit)
    if run:
        yield run


def _pack(run: list[Unit], settings: ChunkSettings, count: _Counter) -> Iterator[list[Unit]]:
    """Cut a run into chunks of even size, at the ends of paragraphs where one is near."""
    start = 0
    while start < len(run):
        left = sum(unit.words for unit in run[start:])
        pieces = max(1, round(left / settings.words), -(-left // settings.most_words))
        target = left / pieces
        stop = start + 1
        words, tokens = run[start].words, run[start].tokens
        while stop < len(run):
            unit = run[stop]
            if _is_enough(words, unit, run[stop - 1], target) or (
                words + unit.words > settings.most_words
            ):
                break
            if tokens + unit.tokens > count.max_tokens and not _fits(run[start : stop + 1], count):
                break
            words, tokens = words + unit.words, tokens + unit.tokens
            stop += 1
        yield run[start:stop]
        start = stop - settings.overlap if stop < len(run) and stop - start > 1 else stop


def _is_enough(words: int, unit: Unit, before: Unit, target: float) -> bool:
    """Whether a chunk of so many words better ends before `unit`."""
    if unit.is_caption:
        return words >= 0.5 * target
    if before.ends_paragraph:
        return words >= 0.8 * target
    return words + unit.words / 2 > target


def _fits(units: list[Unit], count: _Counter) -> bool:
    return count.tokens(_merged(units)) <= count.max_tokens


def _merged(units: list[Unit]) -> tuple[Span, ...]:
    """One span a page around the units' places; those on one page follow each other."""
    spans: dict[int, Span] = {}
    for unit in units:
        for page, start, end in unit.spans:
            known = spans.get(page)
            spans[page] = Span(page, known.start if known else start, end)
    return tuple(spans.values())


def _assemble(
    units: list[Unit], texts: dict[int, str]
) -> tuple[tuple[Sentence, ...], str, tuple[Span, ...]]:
    """Sentences, text and spans of a chunk."""
    spans = _merged(units)
    text = " ".join(texts[page][start:end] for page, start, end in spans)
    begins, length = {}, 0
    for span in spans:
        begins[span.page] = length - span.start
        length += span.end - span.start + 1
    sentences = []
    for unit in units:
        start = unit.spans[0].start + begins[unit.spans[0].page]
        end = unit.spans[-1].end + begins[unit.spans[-1].page]
        sentences.append(Sentence(text[start:end], start, end, unit.spans))
    return tuple(sentences), text, spans

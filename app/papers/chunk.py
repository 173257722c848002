"""From the pages of a paper to chunks of whole sentences with exact places in the pages' text.

It never changes a character of the text and never lets a chunk grow past the embedder's limit.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate

from app.papers.records import Chunk, Paper, Sentence, Span
from app.papers.units import CountTokens, TokenCounter, Unit, sentence_units


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
    count = TokenCounter(texts, count_tokens, max_tokens)
    chunks = []
    for group in _groups(sentence_units(paper, count), settings, count):
        first = group[0]
        sentences, text, spans = _assemble(group, texts)
        chunks.append(
            Chunk(
                id=f"{paper.file}:{len(chunks):04d}",
                paper=paper.file,
                title=paper.title,
                section=next((u.section for u in group if not u.is_heading), group[-1].section),
                part=first.part,
                label=labels[first.spans[0].page],
                text=text,
                spans=spans,
                sentences=sentences,
                last_label=labels[spans[-1].page] if len(spans) > 1 else "",
            )
        )
    return chunks


def _groups(
    units: Iterable[Unit], settings: ChunkSettings, count: TokenCounter
) -> Iterator[list[Unit]]:
    """Units packed into chunks."""
    for run in _runs(units):
        yield from _pack(run, settings, count)


def _runs(units: Iterable[Unit]) -> Iterator[list[Unit]]:
    """Units that may share a chunk: one part and page, and one section but for bare headings."""
    run: list[Unit] = []
    bare = True  # nothing but headings in it yet
    for unit in units:
        if run:
            before = run[-1]
            if (
                unit.part != before.part
                or unit.spans[0].page != before.spans[-1].page
                or before.spans[0].page != before.spans[-1].page
                or unit.spans[0].start > before.spans[-1].end + 2  # text used elsewhere between
                or (unit.is_heading and not bare)
            ):
                yield run
                run, bare = [], True
        bare = bare and unit.is_heading
        run.append(unit)
    if run:
        yield run


def _pack(run: list[Unit], settings: ChunkSettings, count: TokenCounter) -> Iterator[list[Unit]]:
    """Cut a run into chunks of even size, at the ends of paragraphs where one is near."""
    before = [0, *accumulate(unit.words for unit in run)]
    tokens = [0, *accumulate(unit.tokens for unit in run)]
    start = fresh = 0  # units before `fresh` are in a chunk already
    while fresh < len(run):
        stop = _end_of_chunk(run, start, before[-1] - before[start], settings)
        # Units cost two special tokens each: beyond four times the limit nothing can fit.
        most = bisect_right(tokens, tokens[start] + 4 * count.max_tokens)
        stop = max(start + 1, min(stop, most))
        if not _fits(run[start:stop], count):
            stop = start + 1  # a unit alone fits; far beyond what fits nothing is counted
            while _fits(run[start : stop + 1], count):
                stop += 1
        if stop <= fresh:  # the repeated sentence leaves no room for a new one
            start = fresh
            continue
        yield run[start:stop]
        fresh = stop
        start = stop - settings.overlap if stop - start > 1 else stop


def _end_of_chunk(run: list[Unit], start: int, left: int, settings: ChunkSettings) -> int:
    """Index after the last unit of the chunk that begins at `start`, with `left` words to go."""
    pieces = max(1, round(left / settings.words), -(-left // settings.most_words))
    target = left / pieces
    stop, words = start + 1, run[start].words
    while stop < len(run):
        unit = run[stop]
        if words + unit.words > settings.most_words:
            break
        if _is_enough(words, unit, run[stop - 1], target):
            break
        words += unit.words
        stop += 1
    return stop


def _is_enough(words: int, unit: Unit, before: Unit, target: float) -> bool:
    """Whether a chunk of so many words better ends before `unit`."""
    if unit.is_caption:
        return words >= 0.6 * target
    if before.ends_paragraph:
        return words >= 0.9 * target
    return words + unit.words / 2 > target


def _fits(units: list[Unit], count: TokenCounter) -> bool:
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

"""The records that every other part passes around: papers, pages, chunks, passages.

Views of them at most; no reading, no searching.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

Part = Literal["main", "references", "appendix", "figure"]


class PaperError(Exception):
    """A paper cannot be used. The message names the file, the reason and the way out."""

    def __init__(self, file: str, reason: str, remedy: str) -> None:
        super().__init__(f"{file}: {reason}; {remedy}")
        self.file, self.reason, self.remedy = file, reason, remedy


def encodable(text: str) -> str:
    """The text with U+FFFD for each lone surrogate, which neither files nor models can hold."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def shown_name(path: Path) -> str:
    """File name as text: what is no UTF-8 in it becomes U+FFFD."""
    return encodable(path.name)


class Span(NamedTuple):
    """Characters `start` to `end` (exclusive) of the cleaned text of page `page` (from 1)."""

    page: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Page:
    """One page. `number` is physical and starts at 1; `label` is the number printed on it.

    `part` is the part in which the page begins; references may start further down on it.
    """

    number: int
    label: str
    text: str
    part: Part = "main"


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and the part it lies in; it reaches from `span` to the next section's."""

    title: str
    part: Part
    span: Span


@dataclass(frozen=True, slots=True)
class Paper:
    """A PDF as read: cleaned pages, headings, and the pages that could not be read, with reasons.

    `figures` are the runs of axis ticks, labels and cells that stand among the pages' text.
    """

    file: str
    sha256: str
    title: str
    arxiv_id: str | None
    pages: tuple[Page, ...]
    sections: tuple[Section, ...]
    skipped: tuple[tuple[int, str], ...] = ()
    figures: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a chunk: characters `start` to `end` of its text, and where that stands."""

    text: str
    start: int
    end: int
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stored piece of a paper.

    `text` is the cleaned page's characters under `spans` (a second span only where a sentence runs
    over the page break; the two are joined by one blank). `id` is unique within a library. `label`
    is the number printed on the page where it begins, `last_label` that of the page where it ends,
    empty where that is the same page.
    """

    id: str
    paper: str
    title: str
    section: str
    part: Part
    label: str
    text: str
    spans: tuple[Span, ...]
    sentences: tuple[Sentence, ...]
    last_label: str = ""

    @property
    def page(self) -> int:
        """Physical page on which the chunk begins, from 1."""
        return self.spans[0].page

    @property
    def last_page(self) -> int:
        """Physical page on which the chunk ends."""
        return self.spans[-1].page

    def label_of(self, page: int) -> str:
        """The number printed on a page of the chunk, given by its physical number."""
        return self.label if page == self.page else self.last_label


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk as a retriever returned it.

    `score` is a cosine in [-1, 1] unless the retriever's docstring says otherwise, `rank` counts
    from 1. `kept` holds the indices of the sentences that a compressing retriever kept, in reading
    order; None means the whole chunk.
    """

    chunk: Chunk
    score: float
    rank: int
    retriever: str
    kept: tuple[int, ...] | None = None

    @property
    def sentences(self) -> tuple[Sentence, ...]:
        """The sentences that are shown to the reader."""
        if self.kept is None:
            return self.chunk.sentences
        return tuple(self.chunk.sentences[i] for i in self.kept)

    @property
    def text(self) -> str:
        """The text that is shown to the reader; an ellipsis marks where sentences were left out."""
        if self.kept is None:
            return self.chunk.text
        parts = []
        for before, i in zip((None, *self.kept), self.kept):
            if before is not None:
                parts.append(" " if i == before + 1 else " … ")
            parts.append(self.chunk.sentences[i].text)
        return "".join(parts)

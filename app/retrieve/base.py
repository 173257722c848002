"""The retriever that every other is a kind of: search, filters, and the langchain-core interface.

It opens no PDF and computes no vector.
"""

import heapq
import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import Field, model_validator

from app.papers.records import Chunk, Part, Passage


class Found(NamedTuple):
    """A chunk with its score, and the sentences kept of it (None: all)."""

    chunk: Chunk
    score: float
    kept: tuple[int, ...] | None = None


class Retriever(BaseRetriever):
    """Finds passages of a library; a subclass says how in `find`.

    Attributes:
        library: What is searched.
        k: How many passages.
        parts: Parts of papers that are searched: "main", "appendix", "references", "figure".
        papers: File names, stems or arXiv ids of the only papers searched; empty for all.
        section: Only sections whose title contains this, small and capital letters alike.
        pages: First and last physical page searched, from 1; None for all.
        reader: The local model, for those whose class says `asks_reader`; others leave it alone.

    Whether scores are cosines is a class's `cosine`: where they are not, they are compared with no
    limit, but with each other.
    """

    cosine: ClassVar[bool] = True
    asks_reader: ClassVar[bool] = False

    library: Any = Field(repr=False, exclude=True)
    name: str = "retriever"
    k: int = Field(default=3, ge=1)
    parts: tuple[Part, ...] = Field(default=("main",), min_length=1)
    papers: tuple[str, ...] = ()
    section: str = ""
    pages: tuple[int, int] | None = None
    reader: Any = Field(default=None, repr=False, exclude=True)

    @model_validator(mode="after")
    def _resolve(self) -> "Retriever":
        self.papers = tuple(self.library.file_of(paper) for paper in self.papers)
        if self.section and not any(self._in_section(chunk) for chunk in self.library.chunks):
            raise ValueError(f"no section's title contains {self.section!r}")
        self.prepare()
        return self

    def prepare(self) -> None:
        """Load what the first question would wait for; the embedder, as evidence needs it too."""
        self.library.embedder.warm_up()

    @abstractmethod
    def find(self, question: str, k: int) -> Iterable[Found]:
        """At most k chunks for a question among those that `allows` lets through, in any order."""

    def search(self, question: str, k: int | None = None) -> list[Passage]:
        """Passages for a question, best first; equal scores are ordered by the chunk's id.

        Raises:
            ValueError: the question is empty, or k is below 1.
        """
        k = self.k if k is None else k
        if k < 1:
            raise ValueError(f"k={k}: at least one passage must be asked for")
        if not question.strip():
            raise ValueError("the question is empty")
        found = sorted(self.find(question, k), key=lambda each: (-each.score, each.chunk.id))
        for each in found:
            if not math.isfinite(each.score):
                raise ArithmeticError(f"{self.name} gave {each.chunk.id} the score {each.score}")
        return [
            Passage(chunk, score, rank, self.name, kept)
            for rank, (chunk, score, kept) in enumerate(found[:k], start=1)
        ]

    def best(self, scores: np.ndarray, k: int) -> list[Found]:
        """The k best chunks that the filters let through; equal scores are ordered by id.

        Args:
            scores: (n,), of each of the library's chunks in their order.
            k: How many.
        """
        chunks = self.library.chunks
        rows = [row for row, chunk in enumerate(chunks) if self.allows(chunk)]
        rows = heapq.nsmallest(k, rows, key=lambda row: (-scores[row], chunks[row].id))
        return [Found(chunks[row], float(scores[row])) for row in rows]

    def sentence_scores(self, question: str, passage: Passage) -> list[float]:
        """Cosine of a question and each of `passage.sentences`, from stored vectors."""
        vectors = self.library.sentence_vectors(passage.chunk.id)
        if passage.kept is not None:
            vectors = vectors[list(passage.kept)]
        return (vectors @ self.library.embedder.encode_question(question)).tolist()

    @property
    def inherited(self) -> dict[str, Any]:
        """The filters and the reader, as settings for a retriever that this one is made of."""
        names = ("parts", "papers", "section", "pages", "reader")
        return {name: getattr(self, name) for name in names}

    def allows(self, chunk: Chunk) -> bool:
        """Whether the filters let a chunk through."""
        return (
            chunk.part in self.parts
            and (not self.papers or chunk.paper in self.papers)
            and (not self.section or self._in_section(chunk))
            and (
                self.pages is None
                or (chunk.page <= self.pages[1] and chunk.last_page >= self.pages[0])
            )
        )

    def allows_document(self, document: Document) -> bool:
        """`allows`, as a filter of a vector store whose documents carry chunk ids."""
        return self.allows(self.library.chunk(document.id))

    def _in_section(self, chunk: Chunk) -> bool:
        return self.section.casefold() in chunk.section.casefold()

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        return [to_document(passage) for passage in self.search(query)]


def to_document(passage: Passage) -> Document:
    """A passage as langchain-core carries it: text, and plain values about it that JSON takes."""
    about = {"score": passage.score, "rank": passage.rank, "retriever": passage.retriever}
    spans = passage.chunk.spans
    if passage.kept is not None:
        spans = [span for sentence in passage.sentences for span in sentence.spans]
    place = _metadata(passage.chunk, spans)
    return Document(page_content=passage.text, metadata={**place, **about}, id=passage.chunk.id)


def chunk_document(chunk: Chunk) -> Document:
    """A whole chunk as a store holds it."""
    metadata = _metadata(chunk, chunk.spans)
    return Document(page_content=chunk.text, metadata=metadata, id=chunk.id)


def _metadata(chunk: Chunk, spans: Sequence[tuple[int, int, int]]) -> dict[str, Any]:
    return {
        "paper": chunk.paper,
        "title": chunk.title,
        "page": spans[0][0],
        "last_page": spans[-1][0],
        "label": chunk.label_of(spans[0][0]),
        "section": chunk.section,
        "part": chunk.part,
        "start": spans[0][1],
        "end": spans[-1][2],
        "spans": [list(span) for span in spans],
        "chunk": chunk.id,
    }

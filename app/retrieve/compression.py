"""Contextual compression: of the best chunks, only the sentences that bear on the question.

It embeds nothing but the question: the sentences' vectors were stored with the index.
"""

from collections.abc import Iterable, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from app.papers.records import Chunk
from app.retrieve.base import Found, Retriever
from app.retrieve.fragments import is_fragment


class Sentences(NamedTuple):
    """Sentences of candidate chunks as the choice sees them, arrays of n rows.

    `chunk` and `place` say which sentence of which candidate a row is, `length` its characters,
    `score` how well it fits the question, and `vectors` is (n, width) with rows of length 1.
    """

    chunk: np.ndarray
    place: np.ndarray
    length: np.ndarray
    score: np.ndarray
    vectors: np.ndarray


class Limits(NamedTuple):
    """How much of the sentences may be kept; the fields are the retriever's of the same names."""

    k: int
    budget_chars: int
    margin: float
    redundant: float
    neighbours: int


class CompressionRetriever(Retriever):
    """The sentences of the best candidates that fit the question, with their neighbours.

    Fragments, such as the labels of a figure, are not chosen where there is a running sentence.

    A text's fit is its cosine to the question, and `words` times the share of the question's words
    that it has, rare ones weighing more. A sentence's score is `weight` of its own fit and the rest
    of its chunk's; a passage's is that of its best sentence. It lies in [-1, 1 + words].

    Attributes:
        base: Name of the retriever that candidates come from, under the same filters.
        candidates: How many chunks are looked at.
        budget_chars: Most characters that all kept sentences have together; the best sentence is
            kept whatever its length, so that nothing is lost where the base found something.
        weight: Share of the sentence's own fit in its score.
        words: Weight of shared words in the fit; a cosine weighs 1.
        margin: How far below the best sentence's score one may lie and be chosen; no fixed score
            tells relevant from not.
        redundant: Cosine from which a sentence says the same as one that is kept already.
        neighbours: How many sentences on each side of a chosen one are kept with it.
    """

    name: str = "compression"
    cosine: ClassVar[bool] = False
    base: str = "hybrid"
    candidates: int = Field(default=30, ge=1)
    budget_chars: int = Field(default=1_500, ge=1)
    weight: float = Field(default=0.5, ge=0, le=1)
    words: float = Field(default=0.3, ge=0)
    margin: float = Field(default=0.3, ge=0)
    redundant: float = 0.95
    neighbours: int = Field(default=1, ge=0)

    def prepare(self) -> None:
        """Prepare what the candidates come from, and the library's index of words."""
        self.library.retriever(self.base, **self.inherited)
        _ = self.library.words

    def find(self, question: str, k: int) -> Iterable[Found]:
        """Up to k chunks with the sentences kept of each."""
        base = self.library.retriever(self.base, **self.inherited)
        chunks = [passage.chunk for passage in base.search(question, max(k, self.candidates))]
        if not chunks:
            return
        rows = self.sentences(question, chunks)
        limits = Limits(k, self.budget_chars, self.margin, self.redundant, self.neighbours)
        kept = np.array(choose(rows, limits))
        for number in np.unique(rows.chunk[kept]):
            own = kept[rows.chunk[kept] == number]
            places = tuple(sorted(rows.place[own].tolist()))
            yield Found(chunks[number], float(rows.score[own].max()), places)

    def sentences(self, question: str, chunks: Sequence[Chunk]) -> Sentences:
        """The sentences to choose from: no fragments, unless there is nothing else."""
        places = [(n, i) for n, chunk in enumerate(chunks) for i in range(len(chunk.sentences))]
        running = [(n, i) for n, i in places if not is_fragment(chunks[n].sentences[i].text)]
        places = running or places
        texts = [chunks[n].sentences[i].text for n, i in places]
        stored = [self.library.sentence_vectors(chunk.id) for chunk in chunks]
        vectors = np.stack([stored[n][i] for n, i in places])
        number = np.array([n for n, _ in places])
        return Sentences(
            chunk=number,
            place=np.array([i for _, i in places]),
            length=np.array([len(text) for text in texts]),
            score=self.scores(question, chunks, places, texts, vectors),
            vectors=vectors,
        )

    def scores(
        self,
        question: str,
        chunks: Sequence[Chunk],
        places: Sequence[tuple[int, int]],
        texts: Sequence[str],
        vectors: np.ndarray,
    ) -> np.ndarray:
        """Score (n,) of each of n sentences, given the chunk and the place in it of each."""
        library, query = self.library, self.library.embedder.encode_question(question)
        whole = np.array([library.vector(chunk.id) @ query for chunk in chunks])
        whole += self.words * library.words.cover(question, [chunk.text for chunk in chunks])
        own = vectors @ query + self.words * library.words.cover(question, texts)
        return self.weight * own + (1 - self.weight) * whole[[chunk for chunk, _ in places]]


def choose(sentences: Sentences, limits: Limits) -> list[int]:
    """Rows of the sentences to keep, in the order of choice; never empty where there is one.

    The best come first, each followed by its neighbours in the chunk. Left out is what a kept
    sentence says already, what would open more than k chunks, and what exceeds the budget.
    """
    kept: list[int] = []

    def fits(row: int) -> bool:
        if not kept:
            return True
        opened = set(sentences.chunk[kept].tolist())
        return (
            row not in kept
            and (sentences.chunk[row] in opened or len(opened) < limits.k)
            and sentences.length[kept].sum() + sentences.length[row] <= limits.budget_chars
            and (sentences.vectors[kept] @ sentences.vectors[row]).max() < limits.redundant
        )

    least = sentences.score.max() - limits.margin
    for row in np.argsort(-sentences.score, kind="stable").tolist():
        if sentences.score[row] < least:
            break
        if fits(row):
            kept.append(row)
            kept += [near for near in _around(row, limits.neighbours, sentences) if fits(near)]
    return kept


def _around(row: int, reach: int, sentences: Sentences) -> list[int]:
    """Rows of the same chunk up to `reach` away, nearest first."""
    near = [row + sign * step for step in range(1, reach + 1) for sign in (-1, 1)]
    chunk = sentences.chunk
    return [i for i in near if 0 <= i < len(chunk) and chunk[i] == chunk[row]]

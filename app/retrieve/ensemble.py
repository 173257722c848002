"""Several retrievers as one: their rankings are fused by reciprocal rank.

It scores no text itself. After Cormack, Clarke and Büttcher, 2009.
"""

from collections.abc import Iterable
from typing import ClassVar

from pydantic import Field

from app.papers.records import Passage
from app.retrieve.base import Found, Retriever


class EnsembleRetriever(Retriever):
    """Chunks that several retrievers place high.

    The score, no cosine, is the sum of 1 / (constant + rank) over the retrievers that found the
    chunk. Where all of those kept only sentences of it, the passage has the sentences of any.

    Attributes:
        of: Names of the retrievers, at least two; they work under the same filters.
        depth: How many passages of each are looked at.
        constant: How little the first places count more than the later ones.
    """

    name: str = "ensemble"
    cosine: ClassVar[bool] = False
    of: tuple[str, ...] = Field(default=("similarity", "bm25"), min_length=2)
    depth: int = Field(default=100, ge=1)
    constant: float = Field(default=60, ge=0)

    def prepare(self) -> None:
        """Prepare each of the retrievers."""
        for name in self.of:
            self.library.retriever(name, **self.inherited)

    def find(self, question: str, k: int) -> Iterable[Found]:
        """All chunks that one of the retrievers finds."""
        finders: dict[str, list[Passage]] = {}
        for name in self.of:
            retriever = self.library.retriever(name, **self.inherited)
            for passage in retriever.search(question, max(k, self.depth)):
                finders.setdefault(passage.chunk.id, []).append(passage)
        for passages in finders.values():
            score = sum(1 / (self.constant + passage.rank) for passage in passages)
            yield Found(passages[0].chunk, score, _kept(passages))


class HybridRetriever(EnsembleRetriever):
    """Meaning and words: chunks near as a whole, near by a sentence, and high by BM25, fused."""

    name: str = "hybrid"
    of: tuple[str, ...] = Field(default=("similarity", "sentence", "bm25"), min_length=2)


def _kept(passages: Iterable[Passage]) -> tuple[int, ...] | None:
    sentences: set[int] = set()
    for passage in passages:
        if passage.kept is None:
            return None
        sentences.update(passage.kept)
    return tuple(sorted(sentences))

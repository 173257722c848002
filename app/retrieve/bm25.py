"""The retriever of words: BM25 over stems, for what is named rather than meant.

It computes no vector.
"""

from collections.abc import Iterable
from typing import ClassVar

from app.retrieve.base import Found, Retriever


class BM25Retriever(Retriever):
    """The chunks that share the question's rare words; the score is BM25's, above 0, no cosine.

    A chunk that shares no word is not found. Words weigh by how rare they are in the library,
    whatever the filters.
    """

    name: str = "bm25"
    cosine: ClassVar[bool] = False

    def prepare(self) -> None:
        """Build the library's index of words, if no retriever has."""
        super().prepare()
        _ = self.library.words

    def find(self, question: str, k: int) -> Iterable[Found]:
        """The k chunks with the highest score."""
        best = self.best(self.library.words.scores(question), k)
        return [found for found in best if found.score > 0]

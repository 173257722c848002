"""The retriever of sentences: a chunk is as near as its nearest sentence.

It embeds nothing but the question: the sentences' vectors were stored with the index.
"""

from collections.abc import Iterable

from app.retrieve.base import Found, Retriever


class SentenceRetriever(Retriever):
    """The chunks with the sentences nearest to the question; the score is the best one's cosine."""

    name: str = "sentence"

    def find(self, question: str, k: int) -> Iterable[Found]:
        """The k chunks with the highest cosine of a sentence."""
        return self.best(self.library.best_sentence_cosines(question), k)

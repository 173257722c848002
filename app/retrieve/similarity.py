"""The plain retriever: chunks by the cosine of their vector and the question's.

It looks at no word of the texts.
"""

from collections.abc import Iterable

from app.retrieve.base import Found, Retriever


class SimilarityRetriever(Retriever):
    """The chunks nearest to the question; the score is the cosine."""

    name: str = "similarity"

    def find(self, question: str, k: int) -> Iterable[Found]:
        """The k chunks with the highest cosine."""
        found = self.library.store.similarity_search_with_score(
            question, k=k, filter=self.allows_document
        )
        return [Found(self.library.chunk(document.id), score) for document, score in found]

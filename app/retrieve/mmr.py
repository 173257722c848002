"""Maximal marginal relevance: near to the question, but not to what was chosen already.

After Carbonell and Goldstein, 1998. It looks at no word of the texts.
"""

from collections.abc import Iterable

import numpy as np
from pydantic import Field

from app.retrieve.base import Found, Retriever


class MMRRetriever(Retriever):
    """Of the nearest chunks those that differ, chosen one by one.

    The score is the cosine less `diversity` times the highest cosine to a chunk chosen before it
    (0 where that is negative): the first one's is its cosine, and none is above the one before.

    Attributes:
        diversity: Price of likeness: 0 is similarity, 1 weighs it as much as relevance. In the
            usual form lambda * relevance - (1 - lambda) * likeness, it is (1 - lambda) / lambda.
        candidates: How many chunks are looked at.
    """

    name: str = "mmr"
    diversity: float = Field(default=0.5, ge=0)
    candidates: int = Field(default=20, ge=1)

    def find(self, question: str, k: int) -> Iterable[Found]:
        """Up to k chunks of the candidates."""
        found = self.library.store.similarity_search_with_score(
            question, k=max(k, self.candidates), filter=self.allows_document
        )
        chunks = [self.library.chunk(document.id) for document, _ in found]
        scores = np.array([score for _, score in found])
        penalty = np.zeros(len(chunks))
        left = list(range(len(chunks)))
        while left and len(chunks) - len(left) < k:
            values = scores - self.diversity * penalty
            chosen = max(left, key=lambda i: values[i])  # the first of equals: in order of id
            left.remove(chosen)
            yield Found(chunks[chosen], float(values[chosen]))
            vector = self.library.vector(chunks[chosen].id)
            likeness = [self.library.vector(chunk.id) @ vector for chunk in chunks]
            penalty = np.maximum(penalty, likeness)

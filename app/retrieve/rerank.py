"""Reranking: the ranker reads each candidate beside the question, and its sentences are chosen.

It embeds nothing but the question, and asks no reader.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field

from app.papers.records import Chunk
from app.rank.ranker import load_ranker
from app.retrieve.compression import CompressionRetriever


class RerankRetriever(CompressionRetriever):
    """Of the best candidates, the sentences that the ranker thinks likeliest to answer.

    A cross-encoder over what another retriever found (Nogueira and Cho 2019). A sentence's score is
    the ranker's log-odds of it against "not answered here", a passage's that of its best sentence.
    `weight` and `words`, of compression's own fit, have no effect.

    Attributes:
        ranker: The cross-encoder; None for the default one.
    """

    name: str = "rerank"
    candidates: int = Field(default=12, ge=1)
    margin: float = Field(default=8.0, ge=0)
    neighbours: int = Field(default=0, ge=0)
    ranker: Any = Field(default=None, repr=False, exclude=True)

    def prepare(self) -> None:
        """Load the ranker too."""
        super().prepare()
        self.ranker = self.ranker or load_ranker()
        self.ranker.warm_up()

    def scores(
        self,
        question: str,
        chunks: Sequence[Chunk],
        places: Sequence[tuple[int, int]],
        texts: Sequence[str],
        vectors: np.ndarray,
    ) -> np.ndarray:
        """Log-odds (n,) of each of n sentences, each chunk read as a whole."""
        whole = [[sentence.text for sentence in chunk.sentences] for chunk in chunks]
        ranks = self.ranker.scores(question, whole)
        return np.array([ranks[chunk][place] for chunk, place in places])

"""Compression by query likelihood: how likely the local model finds the question after a sentence.

It never asks the model to write, or to say yes or no; it imports no model: the reader is handed in.
"""

from collections.abc import Sequence
from typing import ClassVar, Protocol

import numpy as np
from pydantic import Field

from app.papers.records import Chunk
from app.retrieve.compression import CompressionRetriever


class QuestionReader(Protocol):
    """What is needed of a model: `app.load_reader()` gives one."""

    def question_given(self, question: str, texts: Sequence[str]) -> list[list[float]]:
        """Log-likelihood (nats) of each token of the question after each text: (texts, tokens)."""


class LikelihoodCompressionRetriever(CompressionRetriever):
    """The sentences of the best candidates after which the local model expects the question.

    Each is read alone, all in one batch (query likelihood: Ponte and Croft, 1998). A sentence's
    score is its fit, as `compression` has it, and `likelihood` times its likelihood: nats a token
    of the question, above the mean of the sentences that were read.

    Attributes:
        read: How many sentences the model reads, those that fit best; the others are left out,
            but may come with a chosen one as its neighbours.
        likelihood: Weight of a nat a token in the score; a cosine weighs 1.
    """

    name: str = "compression-xlstm"
    asks_reader: ClassVar[bool] = True
    read: int = Field(default=24, ge=1)
    likelihood: float = Field(default=0.2, ge=0)

    def scores(
        self,
        question: str,
        chunks: Sequence[Chunk],
        number: np.ndarray,
        texts: Sequence[str],
        vectors: np.ndarray,
    ) -> np.ndarray:
        """Score (n,) of each of n sentences; -inf for those that the model does not read."""
        fit = super().scores(question, chunks, number, texts, vectors)
        rows = np.argsort(-fit, kind="stable")[: self.read]
        given = self.reader.question_given(question, [texts[row] for row in rows])
        nats = np.array([sum(values) / len(values) for values in given])
        scores = np.full(len(texts), -np.inf)
        scores[rows] = fit[rows] + self.likelihood * (nats - nats.mean())
        return scores

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
    score is its fit, as `compression` has it, and `likelihood` times its lift: nats a token by
    which the question's tokens are likelier after it than after the sentences read on average. A
    token that it makes less likely counts 0, since no sentence has every word of a question.

    Attributes:
        read: How many sentences the model reads, those that fit best; the others are left out,
            but may come with a chosen one as its neighbours.
        likelihood: Weight of a nat a token in the score; a cosine weighs 1.
    """

    name: str = "compression-xlstm"
    asks_reader: ClassVar[bool] = True
    read: int = Field(default=24, ge=1)
    likelihood: float = Field(default=0.15, ge=0)

    def scores(
        self,
        question: str,
        chunks: Sequence[Chunk],
        places: Sequence[tuple[int, int]],
        texts: Sequence[str],
        vectors: np.ndarray,
    ) -> np.ndarray:
        """Score (n,) of each of n sentences; -inf for those that the model does not read."""
        fit = super().scores(question, chunks, places, texts, vectors)
        rows = np.argsort(-fit, kind="stable")[: self.read]
        given = np.array(self.reader.question_given(question, [texts[row] for row in rows]))
        scores = np.full(len(texts), -np.inf)
        scores[rows] = fit[rows] + self.likelihood * lifts(given)
        return scores


def lifts(given: np.ndarray) -> np.ndarray:
    """How much (n,) each of n texts lifts a question's tokens above their mean over the texts.

    Args:
        given: (n, tokens), log-likelihood in nats of each token after each text.
    """
    return np.clip(given - given.mean(axis=0), 0, None).mean(axis=1)

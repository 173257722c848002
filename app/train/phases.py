"""What a run reads when: shares of the kinds of rows, and the weight of each token in the loss.

Pure functions of progress, which runs from 0 to 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from app.train.encode import Code, token_kinds

KINDS = ("text", "made", "pairs", "own")
# What counts is written after the prompt; the words of a prompt count little.
# The first token after the evidence mark decides which sentence, or none: it counts most.
LEARNING = {
    Code.PROMPT: 0.1,
    Code.MADE_PROMPT: 0.2,
    Code.ANSWER: 3.0,
    Code.TEXT: 1.0,
    Code.EVIDENCE: 2.0,
    Code.CHOICE: 4.0,
    Code.MADE_ANSWER: 3.0,
    Code.QUESTION: 1.0,
}
ANSWERING = {
    Code.PROMPT: 0.1,
    Code.MADE_PROMPT: 0.1,
    Code.ANSWER: 2.0,
    Code.TEXT: 0.5,
    Code.EVIDENCE: 1.0,
    Code.CHOICE: 3.0,
    Code.MADE_ANSWER: 1.5,
    Code.QUESTION: 0.7,
}
RANKING = 8.0  # as much as two first tokens of an answer's evidence


@dataclass(frozen=True)
class Phase:
    """A stretch of a run that ends at progress `until`.

    `mix` gives the share of each kind of rows (they need not sum to 1), `weights` the weight in
    the loss of each code; what is not named has none. `ranking` is the weight of the choice among
    the sentences of an example.
    """

    until: float
    mix: Mapping[str, float]
    weights: Mapping[Code, float]
    ranking: float = RANKING

    def __post_init__(self) -> None:
        unknown = sorted(set(self.mix) - set(KINDS))
        if unknown or not any(share > 0 for share in self.mix.values()):
            raise ValueError(f"a mix names shares of {', '.join(KINDS)}; got {dict(self.mix)}")


def mix(text: float, made: float, pairs: float = 0.0, own: float = 0.0) -> dict[str, float]:
    """Shares of the kinds of rows."""
    return dict(zip(KINDS, (text, made, pairs, own)))


# From nothing: text and examples made from it first, questions later, most of them at the end.
PRETRAIN = (
    Phase(0.40, mix(0.60, 0.40), LEARNING),
    Phase(0.72, mix(0.35, 0.35, 0.20, 0.10), ANSWERING),
    Phase(1.0, mix(0.12, 0.18, 0.32, 0.38), ANSWERING),
)
# From trained weights: questions from the start.
TUNE = (
    Phase(0.50, mix(0.34, 0.06, 0.34, 0.26), {**ANSWERING, Code.PROMPT: 0.2}),
    Phase(1.0, mix(0.10, 0.04, 0.42, 0.44), {**ANSWERING, Code.ANSWER: 3.0}),
)


def phase_at(phases: Sequence[Phase], progress: float) -> Phase:
    """The phase that progress lies in; the last one from its beginning on."""
    return next((phase for phase in phases if progress < phase.until), phases[-1])


def row_counts(phase: Phase, rows: int, seed: Sequence[int]) -> dict[str, int]:
    """How many rows of each kind make up a batch: drawn by the mix, the same for the same seed."""
    shares = np.array([phase.mix.get(kind, 0.0) for kind in KINDS])
    counts = np.random.default_rng(list(seed)).multinomial(rows, shares / shares.sum())
    return dict(zip(KINDS, counts.tolist()))


def loss_weights(phase: Phase, codes: np.ndarray) -> np.ndarray:
    """The weight of each token, float32, in the shape of `codes`."""
    table = np.zeros(max(Code) + 1, np.float32)
    for code, weight in phase.weights.items():
        table[code] = weight
    return table[token_kinds(codes)]

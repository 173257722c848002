"""Two small regressions by Newton's method: is there an answer, and which sentence is it.

Plain arrays in and out; nothing here knows a question or a reader.
"""

from collections.abc import Sequence

import numpy as np

RIDGE = 1.0
_STEPS = 30


def logistic(values: np.ndarray, wanted: np.ndarray, ridge: float = RIDGE) -> np.ndarray:
    """Weights (columns + 1, the constant last) of a ridge logistic regression.

    Args:
        values: (n, columns), each column with mean 0 and spread 1.
        wanted: (n,) zeros and ones.
        ridge: Half of it times a weight's square is added to the loss; the constant is free.
    """
    rows = np.c_[values, np.ones(len(values))]
    prior = np.diag([ridge] * values.shape[1] + [1e-9])
    weights = np.zeros(rows.shape[1])
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-rows @ weights))
        slope = rows.T @ (chance - wanted) + prior @ weights
        bend = (rows * (chance * (1 - chance))[:, None]).T @ rows + prior
        weights -= np.linalg.solve(bend, slope)
    return weights


def choice(groups: Sequence[tuple[np.ndarray, np.ndarray]], ridge: float = RIDGE) -> np.ndarray:
    """Weights (columns,) that make the right rows of each group likely: a conditional logit.

    The chance of a row is the softmax, over its group, of its weighted sum; what is maximised is
    the log of the right rows' chances together (McFadden 1974), less the ridge.

    Args:
        groups: For each, values (n, columns) and which rows are right (n,) bool, at least one.
        ridge: As in `logistic`.

    Raises:
        ValueError: No group, or one without a right row.
    """
    if not groups or not all(right.any() for _, right in groups):
        raise ValueError("a choice is fitted to groups that each have a right row")
    columns = groups[0][0].shape[1]
    weights = np.zeros(columns)
    for _ in range(_STEPS):
        slope, bend = ridge * weights, ridge * np.eye(columns)
        for values, right in groups:
            chance = softmax(values @ weights)
            held = np.where(right, chance, 0) / chance[right].sum()
            slope = slope + values.T @ (chance - held)
            mean = chance @ values
            bend = bend + (values * chance[:, None]).T @ values - np.outer(mean, mean)
        weights = _downhill(weights, np.linalg.solve(bend, slope), groups, ridge)
    return weights


def _downhill(
    weights: np.ndarray,
    step: np.ndarray,
    groups: Sequence[tuple[np.ndarray, np.ndarray]],
    ridge: float,
) -> np.ndarray:
    """The weights after the step, halved until the loss does not grow: few groups part easily."""

    def loss(at: np.ndarray) -> float:
        chances = [softmax(values @ at)[right].sum() for values, right in groups]
        return ridge / 2 * float(at @ at) - float(np.log(np.maximum(chances, 1e-300)).sum())

    before = loss(weights)
    for halvings in range(_STEPS):
        after = weights - step / 2**halvings
        if loss(after) <= before:
            return after
    return weights


def softmax(values: np.ndarray) -> np.ndarray:
    """Chances (n,) that sum to 1."""
    odds = np.exp(values - values.max())
    return odds / odds.sum()

"""Measures of retrieval as pure functions of plain values; each has a test computed by hand.

Nothing here knows a retriever, a library or a file.
"""

import math
import re
import unicodedata
from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np

_WORD = re.compile(r"[^\W_]+")


def runs(text: str, length: int = 4) -> set[tuple[str, ...]]:
    """All runs of `length` words, or the one of fewer; after NFKC and in small letters."""
    words = _WORD.findall(unicodedata.normalize("NFKC", text).lower())
    return {tuple(words[i : i + length]) for i in range(max(1, len(words) - length + 1))}


def covered(evidence: str, texts: Iterable[str], share: float = 0.8) -> bool:
    """Whether one of the texts holds at least this share of the evidence's runs of four words."""
    wanted = runs(evidence)
    return any(len(wanted & runs(text)) >= share * len(wanted) for text in texts)


def share_covered(evidence: str, text: str) -> float:
    """Share, from 0 to 1, of the evidence's runs of four words that stand in a text."""
    wanted = runs(evidence)
    return len(wanted & runs(text)) / len(wanted)


def rank_of(wanted: object, found: Iterable[object]) -> int | None:
    """Place of the first `wanted` among the distinct things found, from 1; None if it is absent."""
    distinct = list(dict.fromkeys(found))
    return distinct.index(wanted) + 1 if wanted in distinct else None


def share_within(ranks: Sequence[int | None], k: int) -> float:
    """Share of the ranks that are k or better."""
    return sum(rank is not None and rank <= k for rank in ranks) / len(ranks)


def reciprocal(rank: int | None) -> float:
    """1/rank; 0 for an absent one."""
    return 1 / rank if rank else 0.0


def ndcg(grades: Mapping[str, float], ranking: Sequence[str], k: int = 10) -> float:
    """Normalised discounted cumulative gain of the first k (gain: the grade), from 0 to 1.

    Args:
        grades: Grade of each relevant document; others count 0.
        ranking: Documents, best first.
        k: How many count.
    """
    best = _discounted(sorted(grades.values(), reverse=True)[:k])
    got = _discounted([grades.get(document, 0.0) for document in ranking[:k]])
    return got / best if best else 0.0


def _discounted(gains: Iterable[float]) -> float:
    return sum(gain / math.log2(place + 2) for place, gain in enumerate(gains))


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Chance that a positive's score is above a negative's; equal scores count half."""
    above = np.subtract.outer(np.asarray(positive, float), np.asarray(negative, float))
    return float(np.mean((above > 0) + 0.5 * (above == 0)))


def f1(right: int, wrong: int, wanted: int) -> float:
    """F1 of calling `right` of the `wanted` ones and `wrong` others; 0 where none is wanted."""
    return 2 * right / (wanted + right + wrong) if right else 0.0


def difference(
    first: Mapping[Hashable, float], second: Mapping[Hashable, float]
) -> tuple[float, float, float]:
    """Mean of first less second over the same questions, with its paired 95 % interval.

    Raises:
        ValueError: the questions are not the same.
    """
    if first.keys() != second.keys():
        raise ValueError("a paired difference needs the same questions on both sides")
    values = [first[key] - second[key] for key in first]
    return sum(values) / len(values), *interval(values)


def interval(
    values: Sequence[float], *, draws: int = 5_000, seed: int = 0, share: float = 0.95
) -> tuple[float, float]:
    """Bootstrap interval of the mean; of a paired difference, where the values are differences."""
    values = np.asarray(values, float)
    rows = np.random.default_rng(seed).integers(0, len(values), (draws, len(values)))
    tail = (1 - share) / 2
    low, high = np.quantile(values[rows].mean(axis=1), [tail, 1 - tail])
    return float(low), float(high)

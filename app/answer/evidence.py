"""Choosing the evidence: which sentences of the passages may answer, in the order of their signals.

It never writes text: what it returns are sentences of the papers.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from app.answer.records import Evidence
from app.papers.records import Passage, Sentence
from app.retrieve.fragments import is_fragment

WORDS = range(5, 91)  # shorter ones are headings and labels, longer ones runs of a table
HEADING = 8  # with fewer words, a sentence without a mark at its end is a heading
_END = re.compile(r"[.!?:;][)\]”\"’']*$")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence that may be evidence: the passage, its number (from 1) and the index in it."""

    source: int
    index: int
    sentence: Sentence
    passage: Passage


def candidates(passages: Sequence[Passage], read: Iterable[Sequence[int]]) -> list[Candidate]:
    """The sentences that the reader saw, in order, without repeats.

    Args:
        passages: As retrieved.
        read: For each of the first passages, the indices of its sentences in the prompt.

    Returns:
        Those of 5 to 90 words that are no headings and no labels of figures; all, where there is
        none such.
    """
    seen: set[str] = set()
    found = []
    for number, (passage, indices) in enumerate(zip(passages, read), 1):
        for index in indices:
            sentence = passage.sentences[index]
            key = "".join(filter(str.isalnum, sentence.text)).casefold()
            if key and key not in seen:
                seen.add(key)
                found.append(Candidate(number, index, sentence, passage))
    return [c for c in found if _is_sentence(c.sentence.text)] or found


def _is_sentence(text: str) -> bool:
    words = len(text.split())
    ends = words >= HEADING or _END.search(text) is not None
    return words in WORDS and ends and not is_fragment(text)


def standardised(values: Sequence[float]) -> list[float]:
    """The values less their mean, over their standard deviation; zeros where they do not differ."""
    if not values:
        return []
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
    return [(value - mean) / spread if spread > 1e-9 else 0.0 for value in values]


def weighed(signals: Mapping[str, Sequence[float]], weights: Mapping[str, float]) -> list[float]:
    """The weighted sum of the signals, each standardised over the candidates, for each of them."""
    rows = [[weight * z for z in standardised(signals[name])] for name, weight in weights.items()]
    return [sum(values) for values in zip(*rows)]


def ranked(
    found: Sequence[Candidate],
    signals: Mapping[str, Sequence[float]],
    weights: Mapping[str, float],
) -> list[Evidence]:
    """All candidates as evidence, best first; equal scores keep the order of the text.

    Args:
        found: The candidates.
        signals: By name, a number for each candidate.
        weights: Of the signals that count.
    """
    scores = weighed(signals, weights)
    order = sorted(range(len(found)), key=lambda i: -scores[i])
    return [
        Evidence(
            found[i].source,
            found[i].sentence,
            scores[i],
            {name: values[i] for name, values in signals.items()},
        )
        for i in order
    ]

"""Signals: numbers that tell which sentence answers a question, and whether any does.

They are found here and weighed elsewhere; higher always speaks for an answer.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

from app.answer import agree, support
from app.answer.evidence import Candidate, standardised
from app.papers.records import Passage

# "Answer in bullet points.": words that no passage needs to hold.
_FORM = re.compile(
    r"(?:^|(?<=[.?!])\s)\s*(?:please\s+)?(?:answer|reply|respond|list|write|give|put|use)\b"
    r"[^.?!]*\b(?:bullet|bullets|points?|sentences?|words?|list|briefly)\b[^.?!]*[.?!]?\s*$",
    re.IGNORECASE,
)
# Log-odds of a standard deviation of cosine, where cosine alone chooses: as `calibrate` fits it.
NEARNESS = 1.8
OF_SENTENCE = {
    "similarity": "cosine of the question and the sentence",
    "words": "share of the question's content words in it, each by its rarity among the sentences",
    "rank": "log-probability that it answers: the ranker's; what it gives to none, by cosine",
    "relevance": "the reader's logit of evidence less that of refusal at the sentence's end",
    "likelihood": "the reader's log-likelihood of it as evidence, over its tokens plus an offset",
}
COSTLY = ("likelihood",)  # a run of the model over each sentence
OF_QUESTION = {
    "similarity": "the highest cosine of the question and a sentence",
    "words": "share of the question's different content words that stand in the passages",
    "rank": "log of the ranker's summed odds of the sentences (log-sum-exp of rank)",
    "refusal": "log-odds that the reader's first word is not the refusal",
    "relevance": "log of the summed odds of the sentences against none (log-sum-exp of relevance)",
}


class Read(Protocol):
    """A prompt that a reader has taken in."""

    relevance: Sequence[Sequence[float]]


class SignalReader(Protocol):
    """What signals need of a reader."""

    def likelihoods(self, reading: Read, sentences: Sequence[str]) -> list[float]:
        """How likely each sentence is as evidence, over its length."""

    def ranks(self, question: str, passages: Sequence[Passage]) -> list[list[float]]:
        """The ranker's log-odds of each sentence of each passage."""

    def log_refusal(self, reading: Read) -> float:
        """Log-probability that the first word is the refusal."""


def of_sentences(
    names: Iterable[str],
    question: str,
    found: Sequence[Candidate],
    cosines: Sequence[Sequence[float]],
    reader: SignalReader,
    reading: Read,
) -> dict[str, list[float]]:
    """Signals of candidates by name, a number for each candidate.

    Args:
        names: Which of OF_SENTENCE; what is not asked for costs nothing.
        question: As the reader was asked.
        found: The candidates.
        cosines: Of the question and each sentence of each passage.
        reader: Gives its own signals.
        reading: The prompt of this question, read.
    """
    texts = [candidate.sentence.text for candidate in found]
    make = {
        "similarity": lambda: [cosines[c.source - 1][c.index] for c in found],
        "words": lambda: rare_words(question, texts),
        "rank": lambda: _ranks(question, found, cosines, reader),
        "relevance": lambda: [reading.relevance[c.source - 1][c.index] for c in found],
        "likelihood": lambda: reader.likelihoods(reading, texts),
    }
    return {name: make[name]() for name in names}


def of_question(
    names: Iterable[str],
    question: str,
    passages: Sequence[Passage],
    cosines: Sequence[Sequence[float]],
    reader: SignalReader,
    reading: Read,
) -> dict[str, float]:
    """Signals of a question on its passages by name; arguments as in `of_sentences`."""
    make = {
        "similarity": lambda: max((value for row in cosines for value in row), default=-1.0),
        "words": lambda: agree.share_of_words(
            without_form(question), " ".join(p.text for p in passages)
        ),
        "rank": lambda: log_sum_exp(
            [x for row in reader.ranks(without_form(question), passages) for x in row]
        ),
        "refusal": lambda: log_odds_against(reader.log_refusal(reading)),
        "relevance": lambda: log_sum_exp([x for row in reading.relevance for x in row]),
    }
    return {name: make[name]() for name in names}


def without_form(question: str) -> str:
    """The question without a last sentence that only says in which form to answer."""
    asked = _FORM.sub("", question)
    return asked if asked.strip() else question


def rare_words(question: str, texts: Sequence[str]) -> list[float]:
    """Share of the question's different content words in each text, rarer ones weighing more.

    Of n texts, h with a word: it weighs log(1 + (n - h + 1/2) / (h + 1/2)), as in BM25.
    """
    held = [{word.key for word in support.words(text)} for text in texts]
    holders = Counter(key for keys in held for key in keys)
    asked = {word.key for word in support.words(question)}
    rarity = {}
    for key in asked:
        h = holders[key]
        rarity[key] = math.log(1 + (len(texts) - h + 0.5) / (h + 0.5))
    total = sum(rarity.values()) or 1.0
    return [sum(rarity[key] for key in asked & keys) / total for keys in held]


def log_odds_against(log_probability: float) -> float:
    """log((1 - p) / p) of log p; at most 30 either way, where p rounds to 0 or 1."""
    least = math.log1p(-math.exp(log_probability)) if log_probability < 0 else -math.inf
    return min(30.0, max(-30.0, least - log_probability))


def log_sum_exp(values: Sequence[float]) -> float:
    """Log of the sum of exp(values); -30 of none."""
    if not values:
        return -30.0
    top = max(values)
    return top + math.log(sum(math.exp(value - top) for value in values))


def _ranks(
    question: str,
    found: Sequence[Candidate],
    cosines: Sequence[Sequence[float]],
    reader: SignalReader,
) -> list[float]:
    passages = {c.source: c.passage for c in found}
    rows = dict(zip(passages, reader.ranks(without_form(question), list(passages.values()))))
    near = standardised([cosines[c.source - 1][c.index] for c in found])
    return shared_out(
        [rows[c.source][c.index] for c in found], [NEARNESS * value for value in near]
    )


def shared_out(odds: Sequence[float], other: Sequence[float]) -> list[float]:
    """Log-probability of each of n things: p(i) + p(none) q(i).

    Args:
        odds: Log-odds of each against none; p is their softmax with none, whose log-odds are 0.
        other: Log-odds of each, less any constant, by which none is shared out; q is their softmax.
    """
    every = log_sum_exp([0.0, *odds])
    none, total = -every, log_sum_exp(other)
    return [log_sum_exp([x - every, none + y - total]) for x, y in zip(odds, other)]

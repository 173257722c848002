"""From a question to an answer: passages, evidence, words, and what supports each of them.

It never asks the model for a citation, and never calls it where nothing was found.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from app.answer import phrasing, signals, views_text
from app.answer.calibration import Calibration, chance
from app.answer.choose import ordered
from app.answer.cite import quoted, sources
from app.answer.evidence import candidates
from app.answer.prompt import Prompt, PromptSpec
from app.answer.records import NOT_FOUND, Answer, Evidence
from app.papers.records import Passage, encodable
from app.show import text

LEAST_COSINE = 0.25  # below it nothing counts as found, and the reader is not asked
# How many evidence sentences a mode shows at most, and how many log-odds below the best one the
# others may be. Over 79 questions on papers with a right sentence among three passages, the best
# alone is right in 66 %; within the limits of quotes 2.1 are shown and one of them is right in
# 81 %, of always three in 86 % (data/experiments/ranker.md).
SHOWN = {"quote": (3, 2.0), "sentence": (3, 2.0), "short": (1, 0.0), "bullets": (3, 2.0)}


class Searcher(Protocol):
    """What is needed of a retriever."""

    name: str

    def search(self, query: str, k: int | None = None) -> list[Passage]:
        """Passages, best first."""

    def sentence_scores(self, question: str, passage: Passage) -> list[float]:
        """Cosine of the question and each of the passage's sentences."""


class ReadPrompt(signals.Read, Protocol):
    """A prompt that a reader has taken in."""

    declines: bool


class AnswerReader(signals.SignalReader, phrasing.Phraser, Protocol):
    """What is needed of a reader."""

    name: str
    spec: PromptSpec
    calibration: Calibration

    def prompt(self, question: str, passages: Sequence[Passage]) -> Prompt:
        """The prompt for a question on passages."""

    def read(self, prompt: Prompt) -> ReadPrompt:
        """Take a prompt in."""


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The passages are there; no answer yet, but `so_far` has its question, sources and times."""

    passages: tuple[Passage, ...]
    seconds: float
    so_far: Answer


@dataclass(frozen=True, slots=True)
class EvidenceChosen:
    """The evidence is there; in `quote` mode this is the answer."""

    evidence: tuple[Evidence, ...]
    weak: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of a phrased answer."""

    piece: str


Step = Retrieved | EvidenceChosen | Text | Answer


def ask(
    question: str,
    retriever: Searcher,
    *,
    reader: AnswerReader,
    mode: str | None = None,
    k: int | None = None,
) -> Answer:
    """Answer a question from what a retriever finds.

    Args:
        question: In words; must not be empty.
        retriever: Finds the passages.
        reader: The local model.
        mode: `quote`, `sentence`, `bullets` or `short`; None for the reader's default.
        k: How many passages; None for the retriever's own number.

    Raises:
        ValueError: An empty or overlong question, or a mode that the reader does not have.
    """
    *_, answer = answer_steps(question, retriever, reader, mode=mode, k=k)
    return answer


def answer_steps(
    question: str,
    retriever: Searcher,
    reader: AnswerReader,
    *,
    mode: str | None = None,
    k: int | None = None,
    searched: str | None = None,
) -> Iterator[Step]:
    """The same step by step: Retrieved, EvidenceChosen, pieces of Text, and last the Answer.

    Where nothing is found the Answer follows Retrieved. The time between two steps, while
    somebody looks at the first, counts for none.

    Args:
        question: As in `ask`, as are `retriever`, `reader`, `mode`, `k` and the errors.
        retriever: Finds the passages.
        reader: The local model.
        mode: Of the answer.
        k: How many passages.
        searched: The question in words that need no earlier one, where it is a follow-up: what is
            searched for and what the reader is asked.
    """
    question, mode = encodable(question).strip(), reader.spec.mode(mode)
    if not question:
        raise ValueError("the question is empty")
    asked = encodable(searched or question)
    clock = Clock()
    passages = retriever.search(asked, k)
    similarities = [retriever.sentence_scores(asked, passage) for passage in passages]
    times = {"retrieve": clock.lap()}
    so_far = Answer(
        question=question,
        text="",
        mode=mode,
        retriever=retriever.name,
        model=reader.name,
        sources=sources(passages, (), ()),
        timings=dict(times),
        paths=dict(getattr(getattr(retriever, "library", None), "paths", {})),
        searched=asked if asked != question else "",
    )
    yield Retrieved(tuple(passages), times["retrieve"], so_far)
    if best_cosine(retriever, passages, similarities) < LEAST_COSINE:
        yield declined(so_far)
        return

    clock.lap()
    prompt = reader.prompt(asked, passages)
    found = candidates(passages, prompt.sentences)
    reading = reader.read(prompt)
    order = ordered(reader.calibration, asked, found, similarities, reader, reading)
    chosen = shown(order, mode)
    log_odds = answerable(asked, passages, similarities, reader, reading)
    times["evidence"] = clock.lap()
    so_far = replace(
        so_far,
        answerable=None if log_odds is None else chance(log_odds),
        weak=reading.declines if log_odds is None else log_odds < 0,
        timings=dict(times),
    )
    if log_odds is not None and log_odds < reader.calibration.rule.threshold:
        yield replace(declined(so_far), nearest=chosen)
        return
    yield EvidenceChosen(chosen, so_far.weak, times["evidence"])

    clock.lap()
    sentences, notes, times["answer"] = quoted(chosen), list(prompt.left_out), 0.0
    if mode != "quote":
        sentences = phrasing.phrased(reader, reading, asked, passages, chosen, mode)
        if not sentences:
            notes.append("the reader wrote nothing, so the evidence is quoted")
            mode, sentences = "quote", quoted(chosen)
        elif any(sentence.quoted for sentence in sentences):
            notes.append(phrasing.IN_ITS_WORDS)
        times["answer"] += clock.lap()
        yield Text(views_text.said(sentences, mode))
        clock.lap()
    times["answer"] += clock.lap()
    yield replace(
        so_far,
        mode=mode,
        text="\n".join(sentence.text for sentence in sentences),
        sentences=sentences,
        evidence=chosen,
        sources=sources(passages, sentences, chosen),
        timings=times,
        notes=tuple(notes),
    )


class Clock:
    """Seconds since it was made, or since the last lap."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    def lap(self) -> float:
        """Seconds since the last call."""
        before, self._since = self._since, time.perf_counter()
        return self._since - before


def best_cosine(
    retriever: Searcher, passages: Sequence[Passage], similarities: Sequence[Sequence[float]]
) -> float:
    """The best cosine of question and passage; -1 without a passage.

    Where a retriever's scores are no cosines (`cosine` is false), that of the best sentence.
    """
    if getattr(retriever, "cosine", True):
        return max((passage.score for passage in passages), default=-1.0)
    return max((value for row in similarities for value in row), default=-1.0)


def declined(so_far: Answer) -> Answer:
    """The answer where nothing was found; it does not say that the paper is silent."""
    times = {"evidence": 0.0, **so_far.timings, "answer": 0.0}
    return replace(so_far, text=NOT_FOUND, declined=True, weak=False, timings=times)


def answerable(
    question: str,
    passages: Sequence[Passage],
    similarities: Sequence[Sequence[float]],
    reader: AnswerReader,
    reading: ReadPrompt,
) -> float | None:
    """Log-odds that the passages answer, by the reader's rule; None where it has none."""
    rule = reader.calibration.rule
    if rule is None:
        return None
    known = signals.of_question(rule.weights, question, passages, similarities, reader, reading)
    return rule.score(known)


def shown(order: Sequence[Evidence], mode: str) -> tuple[Evidence, ...]:
    """The best sentence, and as many more as the mode shows and come close to it."""
    most, distance = SHOWN[mode]
    return tuple(item for item in order[:most] if item.score >= order[0].score - distance)


def streamed(
    question: str,
    retriever: Searcher,
    reader: AnswerReader,
    mode: str | None = None,
    k: int | None = None,
) -> Iterator[str]:
    """An answer for a terminal, piece by piece: what is written, then what it rests on."""
    yield views_text.asked(question)
    for step in answer_steps(question, retriever, reader, mode=mode, k=k):
        if isinstance(step, EvidenceChosen):
            yield views_text.evidence(step.evidence) + "\n\n"
        elif isinstance(step, Text):
            yield "\n".join(map(text.wrapped, step.piece.split("\n")))
        elif isinstance(step, Answer):
            yield views_text.after(step) + "\n"

"""Fits a reader's calibration: weights of its signals, and the rule by which it declines.

A question becomes a case: every signal of every sentence, once; the rest is arithmetic on cases.
"""

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from app.answer import signals
from app.answer.calibration import Calibration, Rule
from app.answer.choose import shortlisted
from app.answer.evidence import candidates, standardised, weighed
from app.answer.reader import Reader
from app.evaluate import fit, reading
from app.evaluate.choosing import is_right
from app.evaluate.reader_batch import SharedModel
from app.evaluate.reader_questions import YES_NO, Question
from app.train.makers.pairs import carrying_sentence
from app.train.read import open_lines

ANSWERABLE, UNANSWERABLE, REMOVED = "answerable", "unanswerable", "evidence removed"
WRONGLY = 0.05  # share of answerable questions that a threshold may refuse where it is chosen


@dataclass(frozen=True, slots=True)
class Case:
    """A question on passages: signals by name of each sentence and of the question as a whole.

    `right` says which sentences are right; none are where the passages do not answer.
    """

    set: str
    id: str
    kind: str
    sentences: Mapping[str, Sequence[float]]
    right: tuple[bool, ...]
    question: Mapping[str, float]


def cases(
    questions: Iterable[Question],
    reader: Reader,
    names: Sequence[str],
    rule: Sequence[str],
    k: int = 3,
    together: int = 1,
) -> Iterator[Case]:
    """Each question on k passages; where others remain, also once without those that answer.

    Args:
        questions: With cosines.
        reader: Gives its own signals.
        names: Signals of sentences to find.
        rule: Signals of the question to find.
        k: The passages that answer and the nearest others, nearest first, as a retriever gives.
        together: How many questions are read at a time, in threads that share the model.
    """
    if together == 1:
        for question in questions:
            yield from cases_of(question, reader, names, rule, k)
        return
    model = SharedModel(reader.model)
    shared = replace(reader, model=model)

    def found(question: Question) -> list[Case]:
        with model.caller():
            return list(cases_of(question, shared, names, rule, k))

    with ThreadPoolExecutor(together) as pool:
        for made in pool.map(found, questions):
            yield from made


def cases_of(
    question: Question, reader: Reader, names: Sequence[str], rule: Sequence[str], k: int
) -> Iterator[Case]:
    """The one or two cases of a question."""
    kind = ANSWERABLE if question.answerable else UNANSWERABLE
    yield case_of(narrowed(question, k), kind, reader, names, rule)
    if question.answerable and question.right:
        others = narrowed(without_answer(question), k)
        if others.passages:
            yield case_of(others, REMOVED, reader, (), rule)


def narrowed(question: Question, k: int) -> Question:
    """The question with at most k passages: first those that answer, then the nearest."""
    right = set(question.right)
    order = sorted(
        range(len(question.passages)), key=lambda i: (i + 1 not in right, -_score(question, i))
    )
    return _with(question, sorted(order[:k], key=lambda i: -_score(question, i)))


def without_answer(question: Question) -> Question:
    """The question with only the passages that do not answer it."""
    kept = [i for i in range(len(question.passages)) if i + 1 not in question.right]
    return _with(question, kept)


def _score(question: Question, i: int) -> float:
    return question.passages[i].score


def _with(question: Question, kept: Sequence[int]) -> Question:
    return replace(
        question,
        passages=tuple(replace(question.passages[i], rank=n) for n, i in enumerate(kept, 1)),
        cosines=tuple(question.cosines[i] for i in kept),
        right=tuple(n for n, i in enumerate(kept, 1) if i + 1 in question.right),
    )


def case_of(
    question: Question, kind: str, reader: Reader, names: Sequence[str], rule: Sequence[str]
) -> Case:
    """The signals of one question as its passages stand."""
    spec = replace(reader.spec, most_passages=max(1, len(question.passages)))
    prompt = replace(reader, spec=spec).prompt(question.question, question.passages)
    read = reader.read(prompt)
    found = candidates(question.passages, prompt.sentences)
    given = (question.cosines, reader, read)
    right = right_sentences(question) if kind == ANSWERABLE else frozenset()
    return Case(
        set=question.set,
        id=question.id,
        kind=kind,
        sentences=signals.of_sentences(names, question.question, found, *given),
        right=tuple((c.source, c.index) in right for c in found),
        question=signals.of_question(rule, question.question, question.passages, *given),
    )


def right_sentences(question: Question) -> frozenset[tuple[int, int]]:
    """Number of the passage and index of each sentence that answers.

    By the known proof; else the sentence of the passages that answer which best carries the long
    answer; else every sentence there that holds a gold answer word for word.
    """
    sources = question.right or tuple(range(1, len(question.passages) + 1))
    places = [
        (number, index, sentence.text)
        for number in sources
        for index, sentence in enumerate(question.passages[number - 1].sentences)
    ]
    if question.proof:
        return frozenset((n, i) for n, i, text in places if is_right(text, question.proof))
    long = question.golds[-1] if question.golds else ""
    if long and long not in question.spans and long.lower() not in YES_NO:
        span = question.spans[0] if question.spans and len(question.spans[0]) > 2 else ""
        texts = [question.passages[number - 1].text for number in sources]
        carrying = carrying_sentence(texts, question.question, long, span)
        return frozenset((n, i) for n, i, text in places if carrying and is_right(text, carrying))
    return frozenset((n, i) for n, i, text in places if reading.holds_answer(text, question.spans))


def first_half(case: Case) -> bool:
    """Whether a case belongs to the half that is fitted where a set is fitted and reported."""
    return zlib.crc32(case.id.encode()) % 2 == 0


def fit_evidence(known: Iterable[Case], names: Sequence[str]) -> dict[str, float]:
    """Weights of signals that put the right sentence first; cases without one are left out."""
    groups = [
        (np.stack([standardised(case.sentences[name]) for name in names], 1), np.array(case.right))
        for case in known
        if any(case.right) and len(case.right) > 1
    ]
    weights = fit.choice(groups)
    return {name: round(float(weight), 4) for name, weight in zip(names, weights)}


def fit_rule(known: Sequence[Case], names: Sequence[str], wrongly: float = WRONGLY) -> Rule:
    """The rule that tells answerable cases from all others; it refuses `wrongly` of the former."""
    values = np.array([[case.question[name] for name in names] for case in known])
    wanted = np.array([float(case.kind == ANSWERABLE) for case in known])
    mean, spread = values.mean(axis=0), values.std(axis=0) + 1e-9
    weights = fit.logistic((values - mean) / spread, wanted)
    plain = weights[:-1] / spread
    rule = Rule(dict(zip(names, plain.tolist())), float(weights[-1] - plain @ mean), 0.0)
    scores = [rule.score(case.question) for case in known if case.kind == ANSWERABLE]
    return replace(rule, threshold=float(np.quantile(scores, wrongly)))


def calibrated(
    known: Sequence[Case],
    names: Sequence[str],
    rule: Sequence[str],
    shortlist: int,
    wrongly: float,
    fitted: Mapping[str, str],
) -> Calibration:
    """Both fits on the same cases; `fitted` says how, for people.

    Raises:
        ValueError: No case has a right sentence, or all have or lack an answer.
    """
    kinds = {case.kind for case in known}
    if ANSWERABLE not in kinds or len(kinds) < 2:
        raise ValueError(f"a rule is fitted on cases with and without an answer; got {kinds}")
    return Calibration(
        fit_evidence(known, names), shortlist, fit_rule(known, rule, wrongly), fitted
    )


def place(case: Case, calibration: Calibration) -> int | None:
    """Place, from 1, of the first right sentence; None where none is right or it is cut off.

    As `choose.ordered` orders them, but from signals that are known.
    """
    known, weights = case.sentences, calibration.evidence
    kept = list(range(len(case.right)))
    cheap = {name: weight for name, weight in weights.items() if name not in signals.COSTLY}
    if len(cheap) < len(weights):
        kept = shortlisted(known, cheap, calibration.shortlist)
    scores = weighed({name: [known[name][i] for i in kept] for name in weights}, weights)
    order = sorted(range(len(kept)), key=lambda i: -scores[i])
    right = [case.right[kept[i]] for i in order]
    return right.index(True) + 1 if True in right else None


def kept(path: Path, known: Iterable[Case]) -> Iterator[Case]:
    """The cases, each added to a file as a JSON line as it comes: a run that ends early counts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        for case in known:
            file.write(json.dumps(asdict(case)) + "\n")
            file.flush()
            yield case


def read_cases(path: Path) -> list[Case]:
    """The cases of such a file."""
    with open_lines(path) as lines:
        raw = [json.loads(line) for line in lines]
    return [Case(**{**values, "right": tuple(values["right"])}) for values in raw]

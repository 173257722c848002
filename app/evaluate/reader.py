"""How well a reader answers questions whose passages are given, in each of its modes.

Answers are made by the same steps as a user's; two baselines that need no reader stand beside.
"""

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from app.answer import agree, signals
from app.answer.answer import LEAST_COSINE, ask
from app.answer.calibration import Rule
from app.answer.evidence import candidates
from app.answer.prompt import Prompt
from app.answer.reader import Reader, Reading
from app.answer.records import Answer
from app.evaluate import reading
from app.evaluate.choosing import is_right
from app.evaluate.machine import describe
from app.evaluate.reader_questions import MOST_PASSAGES, Question
from app.model.generate import generate
from app.papers.records import Passage
from app.train.read import open_lines

# Besides a reader's own modes: the sentence that one of its signals alone puts first, and the
# evidence that it writes when it is not held to the passages' sentences.
LIKELIEST, RELEVANT, WRITTEN = "likeliest", "relevant", "written"
FIRST_BY = {LIKELIEST: "likelihood", RELEVANT: "relevance"}
MODES = ("quote", "short", "sentence", "bullets", LIKELIEST, RELEVANT, WRITTEN)
BEST_SENTENCE, FIRST_SENTENCE = "best sentence", "first sentence"
EVIDENCE_TOKENS = 160


@dataclass(frozen=True, slots=True)
class Row:
    """One question in one mode, or by one baseline.

    What cannot be said is None: `exact` and `f1` of the unanswerable, `hit` (the evidence holds the
    answer) and `there` (some sentence of the passages does) where no gold answer is a span, `cited`
    (share of the citations that are right) where every passage is right, `refusal` (probability of
    the refusal token) without a reader.
    `declined`: the reader says that the passages do not answer; its answer is written all the same.
    `verbatim`: the answer stands word for word in a passage.
    """

    set: str
    id: str
    mode: str
    answerable: bool
    exact: bool | None
    f1: float | None
    hit: bool | None
    there: bool | None
    cited: float | None
    declined: bool
    refusal: float | None
    verbatim: bool
    answer: str
    evidence: str
    seconds: float


class Given:
    """The passages of one question as a retriever, with the cosines that were prepared.

    What is too far from the question for an answer is given all the same, as if it were just near
    enough: `far` says so, and it counts as declined.
    """

    name = "given"

    def __init__(self, question: Question) -> None:
        self.far = max(passage.score for passage in question.passages) < LEAST_COSINE
        self.passages = [replace(p, score=max(p.score, LEAST_COSINE)) for p in question.passages]
        self._given, self._scores = question.passages, question.cosines

    def search(self, query: str, k: int | None = None) -> list[Passage]:
        """All of them, in the order given."""
        return self.passages

    def sentence_scores(self, question: str, passage: Passage) -> list[float]:
        """Cosine of the question and each of the passage's sentences."""
        return list(self._scores[passage.rank - 1])

    def best_sentence(self) -> tuple[int, str]:
        """Number of the passage and the sentence that is nearest to the question."""
        _, number, text = max(
            (score, -passage.rank, sentence.text)
            for passage, scores in zip(self.passages, self._scores)
            for score, sentence in zip(scores, passage.sentences)
        )
        return -number, text

    def first_sentence(self) -> tuple[int, str]:
        """Number of the nearest passage and its first sentence."""
        best = max(self._given, key=lambda passage: passage.score)
        return best.rank, best.sentences[0].text


class Remembering:
    """A reader that reads a prompt and weighs its sentences once for all modes."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.name = reader.name
        self.spec = replace(reader.spec, most_passages=MOST_PASSAGES)
        self.prompt: Callable[..., Prompt] = replace(reader, spec=self.spec).prompt
        self.phrase = reader.phrase
        # Answers are written even where the reader would decline; what it would do is in the row.
        rule = reader.calibration.rule
        self.calibration = replace(
            reader.calibration, rule=rule and replace(rule, threshold=-math.inf)
        )
        self._prompt: Prompt | None = None
        self._reading: Reading | None = None
        self._weighed: dict[tuple[str, ...], list[float]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def read(self, prompt: Prompt) -> Reading:
        """Read a prompt, unless it is the one that was read last."""
        if prompt != self._prompt or self._reading is None:
            self._prompt, self._reading = prompt, self._reader.read(prompt)
            self._weighed = {}
        return self._reading

    def likelihoods(self, reading: Reading, sentences: Sequence[str]) -> list[float]:
        """How likely each sentence is as evidence."""
        key = tuple(sentences)
        if key not in self._weighed:
            self._weighed[key] = self._reader.likelihoods(reading, sentences)
        return self._weighed[key]

    def first(self, question: Question, signal: str) -> tuple[int, str]:
        """Number of the passage and the sentence that one of its own signals puts first."""
        prompt = self.prompt(question.question, question.passages)
        found, started = candidates(question.passages, prompt.sentences), self.read(prompt)
        values = signals.of_sentences(
            [signal], question.question, found, question.cosines, self, started
        )[signal]
        best = found[max(range(len(found)), key=values.__getitem__)]
        return best.source, best.sentence.text

    def written(self, question: Question) -> str:
        """What the reader writes after the evidence token, greedily, with refusing forbidden."""
        spec, model, tokenizer = self.spec, self._reader.model, self._reader.tokenizer
        started = self.read(self.prompt(question.question, question.passages))
        ids = generate(
            model,
            [],
            state=started.state,
            logits=started.logits,
            max_tokens=EVIDENCE_TOKENS,
            stop_ids=range(spec.stop_below_id),
            banned_ids=[tokenizer.id_of(token) for token in spec.banned],
        )
        return tokenizer.decode(ids).strip()

    def refusal_chance(self, question: Question) -> float:
        """Probability of the refusal token as the first after the prompt."""
        started = self.read(self.prompt(question.question, question.passages))
        token = self._reader.tokenizer.id_of(self.spec.tokens["refusal"])
        return float(started.logits[0].softmax(-1)[token])


def evaluate(
    questions: Iterable[Question], reader: Reader, modes: Sequence[str] = MODES
) -> Iterator[Row]:
    """For each question the rows of each mode, then those of the two baselines."""
    remembering = Remembering(reader)
    for question in questions:
        given, judge = Given(question), Judge(question)
        refusal = remembering.refusal_chance(question)
        for mode in modes:
            start = time.perf_counter()
            if mode in FIRST_BY:
                number, text = remembering.first(question, FIRST_BY[mode])
                yield judge.row(mode, text, text, [number])
            elif mode == WRITTEN:
                text = remembering.written(question)
                seconds = time.perf_counter() - start
                yield judge.row(mode, text, text, [], seconds=seconds)
            else:
                answer = ask(question.question, given, reader=remembering, mode=mode)
                seconds = time.perf_counter() - start
                declined = given.far or declines(answer, reader.calibration.rule)
                yield judge.of_answer(
                    mode, answer, declined=declined, refusal=refusal, seconds=seconds
                )
        for mode, (number, text) in (
            (BEST_SENTENCE, given.best_sentence()),
            (FIRST_SENTENCE, given.first_sentence()),
        ):
            yield judge.row(mode, text, text, [number])


def declines(answer: Answer, rule: Rule | None) -> bool:
    """Whether the answer would be declined: by the rule, or without one by the first word."""
    if rule is None or answer.answerable is None:
        return answer.declined or answer.weak
    return answer.answerable < rule.least_chance


class Judge:
    """Compares answers to one question with its gold answers."""

    def __init__(self, question: Question) -> None:
        self._question = question
        sentences = [s.text for passage in question.passages for s in passage.sentences]
        found = [self._holds(text) for text in sentences]
        self._there = None if None in found else any(found)
        self._told_apart = bool(question.right) and len(question.right) < len(question.passages)

    def _holds(self, evidence: str) -> bool | None:
        """Whether a sentence holds the answer; None where nothing says what it would hold."""
        question = self._question
        if question.proof:
            return is_right(evidence, question.proof)
        if not (question.answerable and question.spans):
            return None
        return reading.holds_answer(evidence, question.spans)

    def of_answer(self, mode: str, answer: Answer, **more: Any) -> Row:
        """The row of a reader's answer; its evidence is the sentence that was put first."""
        evidence = answer.evidence[0].sentence.text if answer.evidence else ""
        cited = [n for sentence in answer.sentences for n in sentence.citations[:1]]
        # As many quotes are shown as come close; the first is the answer.
        text = evidence if mode == "quote" and evidence else answer.text
        return self.row(mode, text, evidence, cited, **more)

    def row(
        self,
        mode: str,
        text: str,
        evidence: str,
        cited: Sequence[int],
        *,
        declined: bool = False,
        refusal: float | None = None,
        seconds: float = 0.0,
    ) -> Row:
        """The row of an answer, its evidence and the numbers of the passages that it cites."""
        question = self._question
        judged = question.answerable
        precision = reading.citation_precision(cited, question.right)
        return Row(
            set=question.set,
            id=question.id,
            mode=mode,
            answerable=judged,
            exact=reading.exact_match(text, question.golds) if judged else None,
            f1=agree.token_f1(text, question.golds) if judged else None,
            hit=self._holds(evidence),
            there=self._there,
            cited=precision if judged and self._told_apart else None,
            declined=declined,
            refusal=refusal,
            verbatim=reading.word_for_word(text, [passage.text for passage in question.passages]),
            answer=text,
            evidence=evidence,
            seconds=round(seconds, 4),
        )


def write_head(file: TextIO, settings: dict[str, Any]) -> None:
    """The first line of a file of rows: on what and how they were made."""
    file.write(json.dumps({"machine": describe(), "settings": settings}) + "\n")


def write_rows(file: TextIO, rows: Iterable[Row]) -> None:
    """One JSON line a row."""
    for row in rows:
        file.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")


def read_rows(path: Path) -> list[Row]:
    """The rows of a file, without its first line; .gz is read as well.

    Raises:
        ValueError: there is no row in it, or a line is none; the message names the file.
    """
    rows = []
    with open_lines(path) as lines:
        for line in lines:
            try:
                values = json.loads(line)
                if "machine" not in values:
                    rows.append(Row(**values))
            except (ValueError, TypeError) as error:
                raise ValueError(f"{path} is no file of rows: {error}") from None
    if not rows:
        raise ValueError(f"{path} has no rows")
    return rows

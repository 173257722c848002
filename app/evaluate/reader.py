"""How well a reader answers questions whose passages are given, in each of its modes.

Answers are made by the same steps as a user's; two baselines that need no reader stand beside.
"""

import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from app.answer.answer import ask
from app.answer.prompt import Prompt
from app.answer.reader import Reader, Reading
from app.answer.records import Answer
from app.evaluate import reading
from app.evaluate.machine import describe
from app.papers.records import Chunk, Passage, Sentence, Span
from app.papers.sentences import split_sentences
from app.retrieve.embed import Embedder
from app.train.read import Pair, pairs

SETS = ("nq-gold", "squad2", "covid-qa", "bioasq", "qasper", "paper_pairs")
MODES = ("quote", "short", "sentence", "bullets")
BEST_SENTENCE, FIRST_SENTENCE = "best sentence", "first sentence"
MOST_PASSAGES = 8  # questions with more are left out: no reader here takes them all
_YES_NO = {"yes", "no", "maybe"}


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its passages; `right` are the numbers (from 1) of those that answer.

    `spans` are gold answers that should stand in the text, `golds` all gold answers.
    """

    id: str
    question: str
    passages: tuple[Passage, ...]
    right: tuple[int, ...]
    spans: tuple[str, ...]
    golds: tuple[str, ...]
    answerable: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One question in one mode, or by one baseline.

    What cannot be said is None: `exact` and `f1` of the unanswerable, `hit` where no gold answer
    is a span, `cited` (share of the citations that are right) where every passage is right.
    `declined`: the reader says that the passages do not answer; its answer is written all the same.
    """

    set: str
    id: str
    mode: str
    answerable: bool
    exact: bool | None
    f1: float | None
    hit: bool | None
    cited: float | None
    declined: bool
    verbatim: bool
    question: str
    answer: str
    evidence: str
    seconds: float


def read_questions(path: Path, limit: int | None = None, seed: int = 0) -> list[Question]:
    """Questions of a file in random order, the first `limit` of them; passages in random order."""
    draw = random.Random(seed)
    fit = [pair for pair in pairs(path) if len(pair.passages) <= MOST_PASSAGES]
    return [_question(pair, draw) for pair in draw.sample(fit, min(len(fit), limit or len(fit)))]


def _question(pair: Pair, draw: random.Random) -> Question:
    order = draw.sample(range(len(pair.passages)), len(pair.passages))
    passages = tuple(given_passage(*pair.passages[i], rank=n + 1) for n, i in enumerate(order))
    spans = tuple(a for a in pair.answers if a.lower() not in _YES_NO)
    golds = (*pair.answers, *([pair.long_answer] if pair.long_answer else []))
    right = tuple(n + 1 for n, i in enumerate(order) if i in pair.needed)
    answerable = pair.answerable and bool(golds)
    return Question(pair.id, pair.question, passages, right, spans, golds, answerable)


def given_passage(title: str, text: str, *, rank: int) -> Passage:
    """A passage of a question set, as if a retriever had found it in a paper of one page."""
    sentences = tuple(Sentence(text[a:b], a, b, (Span(1, a, b),)) for a, b in split_sentences(text))
    spans = (Span(1, 0, len(text)),)
    chunk = Chunk(f"given:{rank}", title or "given", title, "", "main", "1", text, spans, sentences)
    return Passage(chunk, 0.0, rank, "given")


class Given:
    """The passages of one question as a retriever, with cosines of an embedder."""

    name = "given"

    def __init__(self, question: Question, embedder: Embedder) -> None:
        asked = embedder.encode_question(question.question)
        texts = [passage.text for passage in question.passages]
        texts += [s.text for passage in question.passages for s in passage.sentences]
        cosines = (embedder.encode(texts) @ asked).tolist()
        count = len(question.passages)
        self.passages = [
            replace(passage, score=score) for passage, score in zip(question.passages, cosines)
        ]
        ends = np.cumsum([count, *(len(p.sentences) for p in self.passages)]).tolist()
        self._scores = [cosines[a:b] for a, b in zip(ends, ends[1:])]

    def search(self, query: str, k: int | None = None) -> list[Passage]:
        """All of them, in the order given."""
        return self.passages

    def sentence_scores(self, question: str, passage: Passage) -> list[float]:
        """Cosine of the question and each of the passage's sentences."""
        return self._scores[passage.rank - 1]

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
        best = max(self.passages, key=lambda passage: passage.score)
        return best.rank, best.sentences[0].text


class Remembering:
    """A reader that reads a prompt and weighs its sentences once for all modes."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.name = reader.name
        self.spec = replace(reader.spec, most_passages=MOST_PASSAGES)
        self.prompt: Callable[..., Prompt] = replace(reader, spec=self.spec).prompt
        self.phrase = reader.phrase
        self._prompt: Prompt | None = None
        self._reading: Reading | None = None
        self._weighed: dict[tuple[str, ...], list[float]] = {}

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


def evaluate(
    name: str,
    questions: Sequence[Question],
    reader: Reader,
    embedder: Embedder,
    modes: Sequence[str] = MODES,
) -> Iterator[Row]:
    """The rows of a set: for each question each mode, then the two baselines."""
    remembering = Remembering(reader)
    for question in questions:
        given = Given(question, embedder)
        for mode in modes:
            start = time.perf_counter()
            answer = ask(question.question, given, reader=remembering, mode=mode)
            yield _of_answer(name, mode, question, answer, time.perf_counter() - start)
        for mode, (number, text) in (
            (BEST_SENTENCE, given.best_sentence()),
            (FIRST_SENTENCE, given.first_sentence()),
        ):
            yield _row(name, mode, question, text, text, [number], False, 0.0)


def _of_answer(name: str, mode: str, question: Question, answer: Answer, seconds: float) -> Row:
    evidence = answer.evidence[0].sentence.text if answer.evidence else ""
    cited = [n for sentence in answer.sentences for n in sentence.citations[:1]]
    # As many quotes are shown as come close; the first is the answer.
    text = evidence if mode == "quote" and evidence else answer.text
    declined = answer.declined or answer.weak
    return _row(name, mode, question, text, evidence, cited, declined, seconds)


def _row(
    name: str,
    mode: str,
    question: Question,
    text: str,
    evidence: str,
    cited: Sequence[int],
    declined: bool,
    seconds: float,
) -> Row:
    judged, told_apart = question.answerable, len(question.right) < len(question.passages)
    precision = reading.citation_precision(cited, question.right)
    return Row(
        set=name,
        id=question.id,
        mode=mode,
        answerable=question.answerable,
        exact=reading.exact_match(text, question.golds) if judged else None,
        f1=reading.token_f1(text, question.golds) if judged else None,
        hit=reading.holds_answer(evidence, question.spans) if judged and question.spans else None,
        cited=precision if judged and question.right and told_apart else None,
        declined=declined,
        verbatim=any(text in passage.text for passage in question.passages),
        question=question.question,
        answer=text,
        evidence=evidence,
        seconds=seconds,
    )


def write(path: Path, rows: Sequence[Row], table: list[dict[str, Any]], settings: dict) -> None:
    """One JSON file: machine, settings, summary and the row of every question and mode."""
    record = {
        "machine": describe(),
        "settings": settings,
        "summary": table,
        "rows": [asdict(row) for row in rows],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

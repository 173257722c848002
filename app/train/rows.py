"""From files to packed rows, one small job at a time: a part of a source, in one pass over it.

A job's rows depend on its numbers and the seed alone, so any process may do it. Every pass makes
its examples anew: other distractors, other wording, other facts.
"""

import functools
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from app.answer.prompt import PromptSpec
from app.model.tokenizer import load_tokenizer
from app.train.encode import Encoded, Encoder
from app.train.makers.pairs import BOUND, paper_examples, question_examples
from app.train.makers.records import Example
from app.train.makers.windows import document_examples
from app.train.pack import Rows, pack_examples, pack_texts
from app.train.read import Pair, documents, pairs
from app.train.sources import DataConfig, find_file

PART_BYTES = 600_000  # of a compressed file in a job: a few seconds' work
ASKED_SHARE = 0.5  # of natural questions with evidence, learnt the other way round too
WINDOWS_USED = 0.7  # share of a document's windows that a pass makes examples from


@dataclass(frozen=True)
class Job:
    """Part `part` of `parts` of a source, in pass `turn` (from 0) over it."""

    kind: str
    source: str
    part: int
    parts: int
    turn: int = 0


@dataclass(frozen=True)
class RowMaker:
    """Makes the rows of jobs; small enough to be sent to other processes.

    Args:
        data: which sources.
        corpus: folder of the texts.
        questions: folder of the question sets.
        reader: folder with tokenizer.json, config.json and prompt.json.
        tokens: of a row; one more than a model reads, because each predicts the next.
        leave_out: ids that never enter.
        seed: of everything that is drawn.
    """

    data: DataConfig
    corpus: Path
    questions: Path
    reader: Path
    tokens: int = 2_049
    leave_out: frozenset[str] = frozenset()
    seed: int = 0

    def jobs(self, kind: str) -> list[Job]:
        """The jobs of one pass over all sources of a kind.

        Raises:
            ValueError: a source has no file.
        """
        texts = kind in ("text", "made")
        names = self.data.text if texts else self.data.own
        names = tuple(self.data.questions) if kind == "pairs" else names
        folder = self.corpus if texts else self.questions
        found = []
        for name in names:
            size = find_file(folder, name).stat().st_size
            size *= max(1.0, self.data.questions.get(name, 1.0))
            parts = max(1, int(size / PART_BYTES))
            found += [Job(kind, name, part, parts) for part in range(parts)]
        return found

    def make(self, job: Job) -> Rows:
        """The rows of a job; possibly none, where everything in it was left out or too long."""
        draw = random.Random(f"{self.seed} {job}")
        encoder = _encoder(self.reader, self.tokens)
        if job.kind == "text":
            return self._texts(job, encoder, draw)
        encoded = []
        for example in self._examples(job, draw):
            if (whole := encoder.encode(example)) is not None:
                encoded += [whole, *asked_of(example, encoder, draw)]
        return self.pack(encoded, encoder, draw)

    def pack(self, encoded: list[Encoded], encoder: Encoder, draw: random.Random) -> Rows:
        """Rows of examples."""
        return pack_examples(encoded, self.tokens, encoder.end_id, draw)

    def _texts(self, job: Job, encoder: Encoder, draw: random.Random) -> Rows:
        path = find_file(self.corpus, job.source)
        found = list(documents(path, self.leave_out, part=job.part, parts=job.parts))
        draw.shuffle(found)
        return pack_texts((encoder.text(d.title, d.text) for d in found), self.tokens)

    def _examples(self, job: Job, draw: random.Random) -> Iterable[Example]:
        if job.kind == "made":
            return self._from_texts(job, draw)
        asked = _pairs(find_file(self.questions, job.source), self.leave_out)
        part = {"part": job.part, "parts": job.parts}
        if job.kind == "own":
            return paper_examples(asked, draw, **part)
        return question_examples(
            asked,
            draw,
            repeats=self.data.questions[job.source],
            bound=job.source in BOUND,
            **part,
        )

    def _from_texts(self, job: Job, draw: random.Random) -> Iterator[Example]:
        path = find_file(self.corpus, job.source)
        found = list(documents(path, self.leave_out, part=job.part, parts=job.parts))
        for document in found:
            other = draw.choice(found)
            other = None if other is document else other
            yield from document_examples(document, other, draw, WINDOWS_USED)


def asked_of(example: Example, encoder: Encoder, draw: random.Random) -> Iterator[Encoded]:
    """What is asked of a sentence, or of the passage that holds it, from some natural questions."""
    for ask in example.asks:
        if example.made or ask.evidence is None or draw.random() > ASKED_SHARE:
            continue
        whole = next((text for _, text in example.passages if ask.evidence in text), "")
        passage = whole if draw.random() < 0.25 else ask.evidence
        if 0 < len(passage) < 3_000:
            yield encoder.asked_of(passage, ask.question)


@functools.lru_cache(maxsize=2)
def _encoder(reader: Path, tokens: int) -> Encoder:
    tokenizer = load_tokenizer(reader)
    if tokenizer.vocab_size > 2**16:
        raise ValueError(f"{reader}: {tokenizer.vocab_size} ids; rows are kept in 16 bits an id")
    return Encoder(PromptSpec.load(reader), tokenizer, min(1_900, tokens))


@functools.lru_cache(maxsize=3)
def _pairs(path: Path, leave_out: frozenset[str]) -> tuple[Pair, ...]:
    return tuple(pairs(path, leave_out))

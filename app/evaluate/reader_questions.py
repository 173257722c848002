"""Questions with their passages as a reader is asked them: sampled, embedded, kept as lines.

No reader is asked here; what was prepared once can be asked of any reader, without an embedder.
"""

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from app.evaluate import metrics
from app.papers.records import Chunk, Passage, Sentence, Span
from app.papers.sentences import split_sentences
from app.retrieve.embed import Embedder
from app.train.read import Pair, pairs

SETS = ("nq-gold", "squad2", "covid-qa", "bioasq", "qasper", "paper_pairs", "pdf_questions")
SETS += ("boolq", "pubmedqa", "scifact", "clapnq", "scitldr", "race", "hotpot", "musique")
ON_PAPERS = "pdf_questions"  # its passages are retrieved
EVIDENCE_KNOWN = ("qasper",)  # sets of which some passages are guesses: those are left out
MOST_PASSAGES = 8  # of a question with more the nearest are kept: no reader here takes them all
YES_NO = ("yes", "no", "maybe")


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its passages; `right` are the numbers (from 1) of those that answer.

    `spans` are gold answers that should stand in the text, `golds` all gold answers, `proof` the
    words that prove the answer where those are known; `cosines` those of the question and each
    passage's sentences, the passages' own scores that of the question and the whole passage.
    """

    set: str
    id: str
    question: str
    passages: tuple[Passage, ...]
    right: tuple[int, ...]
    spans: tuple[str, ...]
    golds: tuple[str, ...]
    answerable: bool
    proof: str = ""
    cosines: tuple[tuple[float, ...], ...] = ()


def sample(name: str, path: Path, limit: int | None = None, seed: int = 0) -> list[Question]:
    """Questions of a file in random order, the first `limit` of them; passages in random order."""
    draw, fit = random.Random(seed), list(pairs(path))
    if name in EVIDENCE_KNOWN:
        fit = [pair for pair in fit if pair.needed or not pair.answerable]
    return [
        _question(name, pair, draw) for pair in draw.sample(fit, min(len(fit), limit or len(fit)))
    ]


def _question(name: str, pair: Pair, draw: random.Random) -> Question:
    order = draw.sample(range(len(pair.passages)), len(pair.passages))
    passages = tuple(given_passage(*pair.passages[i], rank=n + 1) for n, i in enumerate(order))
    spans = tuple(a for a in pair.answers if a.lower() not in YES_NO)
    golds = (*pair.answers, *([pair.long_answer] if pair.long_answer else []))
    right = tuple(n + 1 for n, i in enumerate(order) if i in pair.needed)
    answerable = pair.answerable and bool(golds)
    return Question(name, pair.id, pair.question, passages, right, spans, golds, answerable)


def given_passage(
    title: str,
    text: str,
    *,
    rank: int,
    score: float = 0.0,
    sentences: Sequence[Sequence[int]] | None = None,
) -> Passage:
    """A passage as if found in a paper of one page; sentences are (start, end) in its text."""
    places = split_sentences(text) if sentences is None else sentences
    made = tuple(Sentence(text[a:b], a, b, (Span(1, a, b),)) for a, b in places)
    spans = (Span(1, 0, len(text)),)
    chunk = Chunk(f"given:{rank}", title or "given", title, "", "main", "1", text, spans, made)
    return Passage(chunk, score, rank, "given")


def embedded(question: Question, embedder: Embedder) -> Question:
    """The question with the cosines of its passages and sentences, and at most MOST_PASSAGES."""
    asked = embedder.encode_question(question.question)
    scores = _rounded(embedder.encode([passage.text for passage in question.passages]) @ asked)
    nearest = sorted(range(len(scores)), key=lambda i: -scores[i])[:MOST_PASSAGES]
    kept = sorted(nearest)  # in the order in which they were given
    passages = tuple(
        given_passage(
            question.passages[i].chunk.title,
            question.passages[i].text,
            rank=rank,
            score=scores[i],
            sentences=[(s.start, s.end) for s in question.passages[i].sentences],
        )
        for rank, i in enumerate(kept, start=1)
    )
    cosines = _rounded(embedder.encode([s.text for p in passages for s in p.sentences]) @ asked)
    ends = np.cumsum([0, *(len(passage.sentences) for passage in passages)]).tolist()
    return replace(
        question,
        passages=passages,
        right=tuple(rank for rank, i in enumerate(kept, start=1) if i + 1 in question.right),
        cosines=tuple(tuple(cosines[a:b]) for a, b in zip(ends, ends[1:])),
    )


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in values]


def on_papers(records: Iterable[dict[str, Any]], library: Any, k: int = 3) -> list[Question]:
    """Questions about papers of a library, with the k passages nearest to each in its own paper.

    A passage is right where it holds the evidence; cosines are those of the library's vectors.
    """
    known = {paper.file for paper in library.papers}
    found = []
    for record in records:
        if record["paper"] not in known:
            continue
        asked, proof = record["question"], record["evidence"] or ""
        retriever = library.retriever("similarity", k=k, papers=(record["paper"],))
        passages = retriever.search(asked)
        found.append(
            Question(
                set=ON_PAPERS,
                id=record["id"],
                question=asked,
                passages=tuple(
                    given_passage(
                        p.chunk.title,
                        p.text,
                        rank=p.rank,
                        score=round(float(p.score), 4),
                        sentences=[(s.start, s.end) for s in p.sentences],
                    )
                    for p in passages
                ),
                right=tuple(p.rank for p in passages if proof and metrics.covered(proof, [p.text])),
                spans=(),
                golds=(record["answer"],) if record["answerable"] else (),
                answerable=record["answerable"],
                proof=proof if record["answerable"] else "",
                cosines=tuple(
                    tuple(_rounded(retriever.sentence_scores(asked, p))) for p in passages
                ),
            )
        )
    return found


def write_questions(path: Path, questions: Iterable[Question]) -> None:
    """One line a question: plain values, passages with their sentences' places and cosines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for question in questions:
            values = {
                key: getattr(question, key)
                for key in Question.__dataclass_fields__
                if key not in ("passages", "cosines")
            }
            values["passages"] = [
                {
                    "title": passage.chunk.title,
                    "text": passage.text,
                    "score": passage.score,
                    "sentences": [(s.start, s.end) for s in passage.sentences],
                    "cosines": cosines,
                }
                for passage, cosines in zip(question.passages, question.cosines)
            ]
            file.write(json.dumps(values, ensure_ascii=False) + "\n")


def load_questions(path: Path) -> list[Question]:
    """The questions of such a file."""
    with path.open(encoding="utf-8") as lines:
        return [_loaded(json.loads(line)) for line in lines]


def _loaded(values: dict[str, Any]) -> Question:
    given = values.pop("passages")
    passages = tuple(
        given_passage(p["title"], p["text"], rank=n, score=p["score"], sentences=p["sentences"])
        for n, p in enumerate(given, start=1)
    )
    plain = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
    return Question(**plain, passages=passages, cosines=tuple(tuple(p["cosines"]) for p in given))

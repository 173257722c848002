"""How well an unanswerable question can be told: single signals, and a calibrated score of them.

It decides nothing in an answer; the threshold comes from other papers than it is tried on.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.answer.reader import Reader
from app.evaluate import metrics
from app.papers.records import Passage
from app.retrieve.base import Retriever
from app.retrieve.library import Library
from app.show.text import markdown_table

ANSWERABLE, UNANSWERABLE, REMOVED = "answerable", "unanswerable", "evidence removed"
SIGNALS = ("chunk cosine", "sentence cosine", "word cover", "reader")
WRONGLY = 0.05  # share of answerable questions that a threshold may refuse where it is chosen
RIDGE = 1.0


@dataclass(frozen=True, slots=True)
class Case:
    """A question with the passages it was asked on, as signals: each is higher for an answer."""

    id: str
    paper: str
    kind: str
    signals: dict[str, float]


@dataclass(frozen=True, slots=True)
class Score:
    """Log-odds that a question is answerable: a logistic regression, and where it refuses."""

    names: tuple[str, ...]
    weights: tuple[float, ...]
    constant: float
    threshold: float

    def of(self, signals: dict[str, float]) -> float:
        """The score of a question; refused below `threshold`."""
        return self.constant + sum(w * signals[name] for w, name in zip(self.weights, self.names))


def signals(
    question: str, passages: Sequence[Passage], retriever: Retriever, reader: Reader | None
) -> dict[str, float]:
    """What is known before an answer is written; `reader` is minus the log-chance of a refusal."""
    import torch

    library: Library = retriever.library
    query = library.embedder.encode_question(question)
    texts = " ".join(passage.text for passage in passages)
    found = {
        "chunk cosine": max(float(library.vector(p.chunk.id) @ query) for p in passages),
        "sentence cosine": max(max(retriever.sentence_scores(question, p)) for p in passages),
        "word cover": float(library.words.cover(question, [texts])[0]),
    }
    if reader is not None:
        logits = reader.read(reader.prompt(question, passages)).logits[0].float()
        refusal = reader.tokenizer.id_of(reader.spec.tokens["refusal"])
        found["reader"] = -float(torch.log_softmax(logits, -1)[refusal])
    return found


def cases(
    library: Library,
    records: Iterable[dict[str, Any]],
    reader: Reader | None,
    name: str = "hybrid",
    k: int = 3,
) -> list[Case]:
    """Each question in its own paper, and each answerable one once more without its evidence.

    Then no passage touches the right page or holds two fifths of the evidence: such questions are
    many and as near to the topic as can be, which those written as unanswerable are not.
    """
    made = []
    for record in records:
        question, paper = record["question"], record["paper"]
        retriever = library.retriever(name, k=k, papers=(paper,))
        found = retriever.search(question, 20)
        kind = ANSWERABLE if record["answerable"] else UNANSWERABLE
        asked = [(kind, found[:k])]
        if record["answerable"]:
            asked.append((REMOVED, [p for p in found if not _holds(p, record)][:k]))
        made += [
            Case(record["id"], paper, kind, signals(question, passages, retriever, reader))
            for kind, passages in asked
            if passages
        ]
    return made


def _holds(passage: Passage, record: dict[str, Any]) -> bool:
    on_page = passage.chunk.page <= record["page"] <= passage.chunk.last_page
    return on_page or metrics.covered(record["evidence"], [passage.text], 0.4)


def calibrate(answerable: Sequence[Case], others: Sequence[Case], names: Sequence[str]) -> Score:
    """A score fitted to tell the two apart; its threshold refuses WRONGLY of the answerable."""
    values = np.array([[c.signals[n] for n in names] for c in (*answerable, *others)])
    mean, spread = values.mean(axis=0), values.std(axis=0) + 1e-9
    wanted = np.repeat([1.0, 0.0], [len(answerable), len(others)])
    weights = logistic((values - mean) / spread, wanted)
    plain = weights[:-1] / spread
    score = Score(tuple(names), tuple(plain.tolist()), float(weights[-1] - plain @ mean), 0.0)
    limit = float(np.quantile([score.of(case.signals) for case in answerable], WRONGLY))
    return Score(score.names, score.weights, score.constant, limit)


def logistic(values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Weights (columns + 1, the constant last) of a ridge logistic regression, by Newton's method.

    Args:
        values: (n, columns), each column with mean 0 and spread 1.
        wanted: (n,) zeros and ones.
    """
    rows = np.c_[values, np.ones(len(values))]
    ridge = np.diag([RIDGE] * values.shape[1] + [1e-9])
    weights = np.zeros(rows.shape[1])
    for _ in range(30):
        chance = 1 / (1 + np.exp(-rows @ weights))
        slope = rows.T @ (chance - wanted) + ridge @ weights
        bend = (rows * (chance * (1 - chance))[:, None]).T @ rows + ridge
        weights -= np.linalg.solve(bend, slope)
    return weights


def table(made: Sequence[Case], combinations: Sequence[Sequence[str]]) -> str:
    """AUROC and refusals of each combination, each half of the papers by the other half's score."""
    lines = []
    for names in combinations:
        scored = list(_crosswise(made, names))
        own = [pair for pair in scored if pair[0] == ANSWERABLE]
        cells = [" + ".join(names), _share(own)]
        for kind in (UNANSWERABLE, REMOVED):
            others = [pair for pair in scored if pair[0] == kind]
            area = metrics.auroc([p[1] for p in own], [p[1] for p in others])
            right, wrong = sum(p[1] < 0 for p in others), sum(p[1] < 0 for p in own)
            f1 = metrics.f1(right, wrong, len(others))
            cells += [f"{area:.2f}", _share(others), f"{f1:.2f}"]
        lines.append(cells)
    heads = ["signals", "answerable refused"]
    for kind in (UNANSWERABLE, REMOVED):
        heads += [f"{kind}: AUROC", "refused", "F1"]
    return markdown_table(heads, lines)


def _crosswise(made: Sequence[Case], names: Sequence[str]) -> Iterable[tuple[str, float]]:
    """Kind and score above the threshold, by a score from the papers of the other half."""
    papers = sorted({case.paper for case in made})
    for half in (papers[::2], papers[1::2]):
        known = [case for case in made if case.paper not in half]
        score = calibrate(
            [case for case in known if case.kind == ANSWERABLE],
            [case for case in known if case.kind == REMOVED],
            names,
        )
        for case in made:
            if case.paper in half:
                yield case.kind, score.of(case.signals) - score.threshold


def _share(scored: Sequence[tuple[str, float]]) -> str:
    return f"{sum(pair[1] < 0 for pair in scored)} of {len(scored)}"

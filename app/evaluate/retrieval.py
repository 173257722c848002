"""How well retrievers find the page and the evidence of questions whose answer is known.

It asks no reader, changes nothing it is given, and keeps the row of every question.
"""

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.evaluate import metrics
from app.evaluate.machine import describe
from app.papers.records import Passage
from app.retrieve.library import Library
from app.show.text import markdown_table

DEPTH = 10
CUTS = (1, 3, 5, 10)
BUDGETS = (500, 1_000, 2_000)


@dataclass(frozen=True, slots=True)
class Question:
    """A question with the place of its answer: file, physical page from 1, and the words there."""

    id: str
    paper: str
    question: str
    evidence: str
    page: int


@dataclass(frozen=True, slots=True)
class Row:
    """What one retriever found for one question.

    `scope` is "all" for all papers searched, "paper" for the right one only. `page_rank` is that of
    the right page among the distinct pages found. `evidence` says for each of CUTS whether the
    first so many passages hold the evidence, `within` the same for each of BUDGETS characters.
    """

    id: str
    retriever: str
    scope: str
    page_rank: int | None
    evidence: tuple[bool, ...]
    within: tuple[bool, ...]
    chars: int
    seconds: float


def read_questions(path: Path, papers: Iterable[str]) -> list[Question]:
    """Answerable questions of a JSON-lines file about these papers."""
    lines = path.read_text(encoding="utf-8").split("\n")
    records = [json.loads(line) for line in lines if line.strip()]
    papers = set(papers)
    return [
        Question(**{key: record[key] for key in Question.__dataclass_fields__})
        for record in records
        if record["answerable"] and record["paper"] in papers
    ]


def evaluate(
    library: Library, questions: Sequence[Question], names: Sequence[str], parts: Sequence[str]
) -> list[Row]:
    """Rows of all questions, retrievers and scopes; one that takes a budget is given it."""
    return [
        _ask(library, question, name, scope, tuple(parts))
        for name in names
        for scope in ("all", "paper")
        for question in questions
    ]


def _ask(
    library: Library, question: Question, name: str, scope: str, parts: tuple[str, ...]
) -> Row:
    filters = {"parts": parts, "papers": (question.paper,) if scope == "paper" else ()}
    retriever = library.retriever(name, k=DEPTH, **filters)
    start = time.perf_counter()
    passages = retriever.search(question.question)
    seconds = time.perf_counter() - start
    within = []
    for budget in BUDGETS:
        if "budget_chars" in type(retriever).model_fields:
            settings = {"k": DEPTH, "budget_chars": budget, **filters}
            found = library.retriever(name, **settings).search(question.question)
        else:
            found = passages
        within.append(metrics.covered(question.evidence, [joined(found, budget)]))
    texts = [passage.text for passage in passages]
    return Row(
        question.id,
        name,
        scope,
        metrics.rank_of((question.paper, question.page), pages(passages)),
        tuple(metrics.covered(question.evidence, texts[:cut]) for cut in CUTS),
        tuple(within),
        sum(map(len, texts)),
        seconds,
    )


def pages(passages: Iterable[Passage]) -> list[tuple[str, int]]:
    """Files and pages on which passages stand, best first."""
    return [
        (passage.chunk.paper, page)
        for passage in passages
        for page in range(passage.chunk.page, passage.chunk.last_page + 1)
    ]


def joined(passages: Iterable[Passage], budget: int) -> str:
    """The passages' texts one after the other, cut at so many characters."""
    return "\n".join(passage.text for passage in passages)[:budget]


def summary(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One record for each retriever and scope: shares from 0 to 1, with the interval of the MRR."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.retriever, row.scope), []).append(row)
    return [
        {"retriever": name, "scope": scope, "n": len(group), **_measures(group)}
        for (name, scope), group in groups.items()
    ]


def _measures(group: Sequence[Row]) -> dict[str, Any]:
    ranks = [row.page_rank for row in group]
    reciprocal = [1 / rank if rank else 0.0 for rank in ranks]
    measures: dict[str, Any] = {f"page@{k}": metrics.share_within(ranks, k) for k in CUTS}
    measures["mrr"] = metrics.mean_reciprocal_rank(ranks)
    measures["mrr_interval"] = metrics.interval(reciprocal)
    for i, k in enumerate(CUTS):
        measures[f"evidence@{k}"] = sum(row.evidence[i] for row in group) / len(group)
    for i, budget in enumerate(BUDGETS):
        measures[f"evidence in {budget}"] = sum(row.within[i] for row in group) / len(group)
    measures["milliseconds"] = 1e3 * sum(row.seconds for row in group) / len(group)
    return measures


def table(records: Sequence[dict[str, Any]]) -> str:
    """The summary as a Markdown table, shares in per cent."""
    keys = [key for key in records[0] if key not in ("retriever", "scope", "n", "mrr_interval")]
    lines = []
    for record in records:
        low, high = record["mrr_interval"]
        shown = {key: f"{100 * record[key]:.1f}" for key in keys}
        shown["mrr"] = f"{record['mrr']:.3f} ({low:.3f}-{high:.3f})"
        shown["milliseconds"] = f"{record['milliseconds']:.1f}"
        lines.append([record["retriever"], record["scope"], *(shown[key] for key in keys)])
    return markdown_table(["retriever", "papers searched", *keys], lines)


def write(path: Path, rows: Sequence[Row], settings: dict[str, Any]) -> None:
    """One JSON file: machine, settings, summary and the row of every question."""
    record = {
        "machine": describe(),
        "settings": settings,
        "summary": summary(rows),
        "rows": [asdict(row) for row in rows],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

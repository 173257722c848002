"""Questions on whole papers given as paragraphs, in the form of QASPER: which paragraphs answer.

It asks no reader, and changes nothing it is given; PDFs with pages are in retrieval.py.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.evaluate import metrics
from app.evaluate.budget import by_budget
from app.retrieve.library import Library
from app.retrieve.texts import Text
from app.show.text import markdown_table
from app.train.read import open_lines

CUTS = (1, 3, 5, 10)
BUDGETS = (500, 1_000, 2_000)
DEPTH = 10


@dataclass(frozen=True, slots=True)
class Question:
    """A question on a paper, and the ids of the paragraphs that answer it, at least one."""

    id: str
    paper: str
    question: str
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """What one retriever found for one question, all papers searched ("all") or the right one.

    `recall` is the share of the evidence paragraphs among the first of CUTS passages; `within` the
    share of their runs of four words in the first of BUDGETS characters.
    """

    id: str
    retriever: str
    scope: str
    recall: tuple[float, ...]
    within: tuple[float, ...]


def read_papers(path: Path) -> dict[str, list[Text]]:
    """Paragraphs by paper, of lines with paper_id and paragraphs (section, text).

    A paragraph's id is PAPER:NUMBER, its place among the paper's from 0; blank ones are left out.
    """
    papers = {}
    with open_lines(path) as lines:
        for record in map(json.loads, lines):
            paper = record["paper_id"]
            papers[paper] = [
                Text(f"{paper}:{number}", "", each["text"])
                for number, each in enumerate(record["paragraphs"])
                if each["text"].strip()
            ]
    return papers


def read_questions(path: Path) -> list[Question]:
    """The answerable questions whose evidence paragraphs are known."""
    with open_lines(path) as lines:
        return [
            Question(
                record["id"],
                record["paper_id"],
                record["question"],
                tuple(f"{record['paper_id']}:{place}" for place in record["evidence_paragraphs"]),
            )
            for record in map(json.loads, lines)
            if record["answerable"] and record["evidence_paragraphs"]
        ]


def evaluate(library: Library, questions: Sequence[Question], names: Sequence[str]) -> list[Row]:
    """Rows of all questions, retrievers and scopes; one that takes a budget is given it."""
    return [
        _ask(library, question, name, scope)
        for name in names
        for scope in ("all", "paper")
        for question in questions
    ]


def _ask(library: Library, question: Question, name: str, scope: str) -> Row:
    papers = (question.paper,) if scope == "paper" else ()
    retriever = library.retriever(name, k=DEPTH, papers=papers)
    passages = retriever.search(question.question)
    found = [passage.chunk.id for passage in passages]
    wanted = [library.chunk(id).text for id in question.evidence]
    texts = by_budget(retriever, question.question, passages, BUDGETS)
    return Row(
        question.id,
        name,
        scope,
        tuple(_mean([id in found[:cut] for id in question.evidence]) for cut in CUTS),
        tuple(_mean([metrics.share_covered(each, text) for each in wanted]) for text in texts),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def summary(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One record for each retriever and scope: means from 0 to 1, each with its 95 % interval."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.retriever, row.scope), []).append(row)
    records = []
    for (name, scope), group in groups.items():
        values = {f"evidence@{k}": [row.recall[i] for row in group] for i, k in enumerate(CUTS)}
        for i, budget in enumerate(BUDGETS):
            values[f"evidence in {budget}"] = [row.within[i] for row in group]
        record: dict[str, Any] = {"retriever": name, "scope": scope, "n": len(group)}
        for key, each in values.items():
            record |= {key: _mean(each), f"{key}_interval": metrics.interval(each)}
        records.append(record)
    return records


def table(records: Sequence[dict[str, Any]]) -> str:
    """The summary as a Markdown table, in per cent, some with their intervals."""
    keys = [f"evidence@{k}" for k in CUTS] + [f"evidence in {budget}" for budget in BUDGETS]
    lines = []
    for record in records:
        cells = []
        for key in keys:
            low, high = (100 * end for end in record[f"{key}_interval"])
            interval = (
                f" ({low:.1f}-{high:.1f})" if key in ("evidence@5", "evidence in 1000") else ""
            )
            cells.append(f"{100 * record[key]:.1f}{interval}")
        lines.append([record["retriever"], record["scope"], str(record["n"]), *cells])
    return markdown_table(["retriever", "papers searched", "questions", *keys], lines)

"""How well retrievers find the page and the evidence of questions whose answer is known.

It asks no reader, changes nothing it is given, and keeps the row of every question.
"""

import json
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.evaluate import beir, metrics, qasper
from app.evaluate.budget import Remembering, by_budget
from app.evaluate.machine import describe
from app.evaluate.questions import Half, Question
from app.papers.records import Passage
from app.retrieve.compression_xlstm import QuestionReader
from app.retrieve.library import Library
from app.show.text import markdown_table

DEPTH = 10
CUTS = (1, 3, 5, 10)
BUDGETS = (500, 1_000, 1_500, 2_000, 3_000)
WITH_INTERVAL = ("page@5", "mrr", "evidence in 1000", "evidence in 2000")


@dataclass(frozen=True, slots=True)
class Row:
    """What one retriever found for one question.

    `scope` is "all" for all papers searched, "paper" for the right one only. `page_rank` is that of
    the right page among the distinct pages found. `evidence` says for each of CUTS whether the
    first so many passages hold the evidence, `within` the same for each of BUDGETS characters.
    `half` is the question's.
    """

    id: str
    half: Half
    retriever: str
    scope: str
    page_rank: int | None
    evidence: tuple[bool, ...]
    within: tuple[bool, ...]
    chars: int
    seconds: float


def evaluate(
    library: Library,
    questions: Sequence[Question],
    names: Sequence[str],
    parts: Sequence[str],
    reader: QuestionReader | None = None,
) -> list[Row]:
    """Rows of all questions, retrievers and scopes; one that takes a budget is given it.

    Args:
        library: All papers.
        questions: About them.
        names: Retrievers as `Library.retriever` takes them, settings included.
        parts: Parts of the papers that are searched.
        reader: The local model, where a retriever asks one.
    """
    return [
        _ask(library, question, name, scope, tuple(parts), reader)
        for name in names
        for scope in ("all", "paper")
        for question in questions
    ]


def _ask(
    library: Library,
    question: Question,
    name: str,
    scope: str,
    parts: tuple[str, ...],
    reader: QuestionReader | None,
) -> Row:
    retriever = library.retriever(
        name,
        k=DEPTH,
        parts=parts,
        papers=(question.paper,) if scope == "paper" else (),
        reader=Remembering(reader) if reader else None,
    )
    start = time.perf_counter()
    passages = retriever.search(question.question)
    seconds = time.perf_counter() - start
    texts = [passage.text for passage in passages]
    return Row(
        question.id,
        question.half,
        name,
        scope,
        metrics.rank_of((question.paper, question.page), pages(passages)),
        tuple(metrics.covered(question.evidence, texts[:cut]) for cut in CUTS),
        tuple(
            metrics.covered(question.evidence, [text])
            for text in by_budget(retriever, question.question, passages, BUDGETS)
        ),
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


def summary(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One record for each retriever and scope: means from 0 to 1, each with its 95 % interval."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.retriever, row.scope), []).append(row)
    return [
        {"retriever": name, "scope": scope, "n": len(group), **_measures(group)}
        for (name, scope), group in groups.items()
    ]


def of_half(rows: Sequence[Row], half: Half | None) -> list[Row]:
    """The rows of one half of the questions; all, where none is named."""
    return [row for row in rows if half in (None, row.half)]


def _measures(group: Sequence[Row]) -> dict[str, Any]:
    values: dict[str, list[float]] = {
        f"page@{k}": [row.page_rank is not None and row.page_rank <= k for row in group]
        for k in CUTS
    }
    values["mrr"] = [metrics.reciprocal(row.page_rank) for row in group]
    for i, k in enumerate(CUTS):
        values[f"evidence@{k}"] = [row.evidence[i] for row in group]
    for i, budget in enumerate(BUDGETS):
        values[f"evidence in {budget}"] = [row.within[i] for row in group]
    measures: dict[str, Any] = {key: sum(each) / len(each) for key, each in values.items()}
    measures |= {f"{key}_interval": metrics.interval(each) for key, each in values.items()}
    measures["milliseconds"] = 1e3 * statistics.median(row.seconds for row in group)
    return measures


def table(records: Sequence[dict[str, Any]]) -> str:
    """The summary as a Markdown table: shares in per cent, some with their intervals."""
    other = ("retriever", "scope", "n", "milliseconds")
    keys = [key for key in records[0] if key not in other and not key.endswith("_interval")]
    lines = []
    for record in records:
        cells = [_cell(record, key) for key in keys]
        time_taken = f"{record['milliseconds']:.0f}"
        lines.append([record["retriever"], record["scope"], *cells, time_taken])
    return markdown_table(["retriever", "papers searched", *keys, "milliseconds"], lines)


def _cell(record: dict[str, Any], key: str) -> str:
    factor, places = (1, 3) if key == "mrr" else (100, 1)
    shown = f"{factor * record[key]:.{places}f}"
    if key in WITH_INTERVAL:
        low, high = (f"{factor * end:.{places}f}" for end in record[f"{key}_interval"])
        shown += f" ({low}-{high})"
    return shown


def write(
    path: Path,
    rows: Sequence[Row],
    settings: dict[str, Any],
    texts: Sequence[beir.Row] = (),
    paragraphs: Sequence[qasper.Row] = (),
) -> None:
    """One JSON file with a part for each half of the papers, the collections, and QASPER.

    A part holds machine, settings, summary, and the row of every question; one that was not
    measured this time stays as the file has it.
    """
    parts = {f"papers, {half} half": of_half(rows, half) for half in ("choosing", "reporting")}
    measured = [(name, summary, own) for name, own in parts.items()]
    measured += [("collections", beir.summary, texts), ("qasper", qasper.summary, paragraphs)]
    record = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    about = {"machine": describe(), "settings": settings}
    for name, summarised, own in measured:
        if own:
            record[name] = {**about, "summary": summarised(own), "rows": [asdict(r) for r in own]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_one_a_line(record), encoding="utf-8")


def _one_a_line(record: dict[str, dict[str, Any]]) -> str:
    """JSON with a line for each value of a part, and for each row."""
    parts = []
    for name, part in record.items():
        lines = []
        for key, value in part.items():
            text = json.dumps(value)
            if isinstance(value, list):
                text = "[\n" + ",\n".join(json.dumps(each) for each in value) + "]"
            lines.append(f"{json.dumps(key)}: {text}")
        parts.append(f"{json.dumps(name)}: {{\n" + ",\n".join(lines) + "}")
    return "{\n" + ",\n".join(parts) + "}\n"


def pooled(
    rows: Sequence[Row], texts: Sequence[beir.Row]
) -> dict[str, dict[tuple[str, str], float]]:
    """Reciprocal rank of each question by retriever: pages of all papers, and texts."""
    found: dict[str, dict[tuple[str, str], float]] = {}
    for row in rows:
        if row.scope == "all":
            key = ("papers", row.id)
            found.setdefault(row.retriever, {})[key] = metrics.reciprocal(row.page_rank)
    for text in texts:
        key = (text.collection, text.id)
        found.setdefault(text.retriever, {})[key] = metrics.reciprocal(text.rank)
    return found


def differences(rows: Sequence[Row], texts: Sequence[beir.Row]) -> str:
    """MRR of the first retriever less that of each other, over what both were asked: Markdown."""
    (name, first), *others = pooled(rows, texts).items()
    lines = []
    for other, second in others:
        both = first.keys() & second.keys()
        pair = ({key: found[key] for key in sorted(both)} for found in (first, second))
        mean, low, high = metrics.difference(*pair)
        cells = [f"{mean:+.3f} ({low:+.3f} to {high:+.3f})", str(len(both))]
        lines.append([f"{name} less {other}", *cells])
    return markdown_table(["MRR, all questions pooled", "difference", "questions"], lines)

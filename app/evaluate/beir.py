"""Retrieval over collections of texts in BEIR form: corpus, queries, and graded judgements.

It asks no reader and changes nothing it is given; papers with pages are in retrieval.py.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.evaluate import metrics
from app.retrieve.library import Library
from app.retrieve.texts import Text
from app.show.text import markdown_table
from app.train.read import open_lines

DEPTH = 10


@dataclass(frozen=True, slots=True)
class Collection:
    """Texts, questions by id, and for each question the grades (from 1) of its texts."""

    name: str
    texts: tuple[Text, ...]
    queries: Mapping[str, str]
    grades: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Row:
    """What one retriever found for one question.

    `rank` is that of the first text with a grade among the first ten, None where there is none;
    `recall` the share of all texts with a grade that are among them.
    """

    id: str
    collection: str
    retriever: str
    rank: int | None
    ndcg: float
    recall: float


def read_collection(folder: Path, name: str) -> Collection:
    """The collection of NAME-corpus.jsonl.zst, NAME-queries.jsonl.zst and NAME-qrels.tsv.

    Blank texts are left out, and questions without a graded text.
    """
    texts = tuple(
        Text(record["_id"], record.get("title") or "", record["text"])
        for record in _records(folder / f"{name}-corpus.jsonl.zst")
        if record["text"].strip()
    )
    records = _records(folder / f"{name}-queries.jsonl.zst")
    queries = {record["_id"]: record["text"] for record in records}
    grades: dict[str, dict[str, int]] = {}
    with (folder / f"{name}-qrels.tsv").open(encoding="utf-8", newline="") as file:
        for record in csv.DictReader(file, delimiter="\t"):
            if (grade := int(record["score"])) > 0:
                grades.setdefault(record["query-id"], {})[record["corpus-id"]] = grade
    return Collection(name, texts, {id: queries[id] for id in grades}, grades)


def _records(path: Path) -> Iterator[dict[str, Any]]:
    with open_lines(path) as lines:
        for line in lines:
            yield json.loads(line)


def evaluate(library: Library, collection: Collection, names: Sequence[str]) -> list[Row]:
    """Rows of all questions and retrievers; the library is that of the collection's texts."""
    rows = []
    for name in names:
        retriever = library.retriever(name, k=DEPTH)
        for id, question in collection.queries.items():
            grades = collection.grades[id]
            found = [passage.chunk.id for passage in retriever.search(question)]
            places = [place for place, text in enumerate(found, start=1) if text in grades]
            rows.append(
                Row(
                    id,
                    collection.name,
                    name,
                    min(places, default=None),
                    metrics.ndcg(grades, found, DEPTH),
                    len(places) / len(grades),
                )
            )
    return rows


def summary(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One record for each collection and retriever: means from 0 to 1, with 95 % intervals."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.collection, row.retriever), []).append(row)
    return [
        {
            "collection": collection,
            "retriever": name,
            "n": len(group),
            **_with_interval("ndcg@10", [row.ndcg for row in group]),
            **_with_interval("recall@10", [row.recall for row in group]),
            **_with_interval("mrr@10", [metrics.reciprocal(row.rank) for row in group]),
        }
        for (collection, name), group in groups.items()
    ]


def _with_interval(name: str, values: Sequence[float]) -> dict[str, Any]:
    return {name: sum(values) / len(values), f"{name}_interval": metrics.interval(values)}


def table(records: Sequence[dict[str, Any]]) -> str:
    """The summary as a Markdown table."""
    measures = ("ndcg@10", "recall@10", "mrr@10")
    lines = []
    for record in records:
        cells = []
        for measure in measures:
            low, high = record[f"{measure}_interval"]
            cells.append(f"{record[measure]:.3f} ({low:.3f}-{high:.3f})")
        lines.append([record["collection"], record["retriever"], str(record["n"]), *cells])
    return markdown_table(["collection", "retriever", "questions", *measures], lines)

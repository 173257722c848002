"""How long the product's own path takes on this machine: indexing, evidence, a whole answer.

It asserts nothing; rows go to a CSV file with what they were measured on.
"""

import csv
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles

from app.answer.answer import EvidenceChosen, answer_steps
from app.answer.reader import Reader, load_reader
from app.answer.records import Answer
from app.evaluate.machine import describe
from app.retrieve.base import Retriever
from app.retrieve.embed import Embedder, load_embedder
from app.retrieve.library import Library

QUESTIONS = (
    "What are the major improvements over the previous or vanilla LSTM architecture?",
    "How do sLSTM and mLSTM differ?",
    "Why can the mLSTM be computed in parallel?",
    "What are the limitations of xLSTM?",
    "Which memory does the mLSTM have?",
)


@dataclass(frozen=True)
class Row:
    """One figure: its values in `unit`, smaller is better."""

    name: str
    unit: str
    values: tuple[float, ...]

    @property
    def spread(self) -> tuple[float, float, float]:
        """10 % quantile, median and 90 % quantile (linear between the values)."""
        if len(self.values) == 1:
            return self.values * 3
        cuts = quantiles(self.values, n=10, method="inclusive")
        return cuts[0], cuts[4], cuts[8]


def bench(papers: Sequence[Path], model: str | Path, repeats: int = 3) -> list[Row]:
    """Index the papers anew, then ask five questions of them; imports and loading excluded.

    Args:
        papers: PDF files, indexed in one go.
        model: Folder of the reader.
        repeats: How often they are indexed.
    """
    embedder, reader = load_embedder(), load_reader(model)
    embedder.encode(["warm up"])
    indexing = []
    with tempfile.TemporaryDirectory() as folder:
        for n in range(repeats):
            start = time.perf_counter()
            library = Library.open(
                papers, index=Path(folder, str(n)), embedder=embedder, progress=False
            )
            indexing.append(time.perf_counter() - start)
        retriever = library.retriever("similarity", k=3)
        rows = [Row("index", "s", tuple(indexing)), *answering(retriever, reader, embedder)]
    return [*rows, Row("peak memory", "GB", (peak_bytes() / 1e9,))]


def answering(retriever: Retriever, reader: Reader, embedder: Embedder) -> list[Row]:
    """Seconds from a question to its evidence, and to the end of a phrased answer."""
    timed(retriever, reader, QUESTIONS[0])
    embedder.encode_question.cache_clear()  # the first question was only to warm up
    both = [timed(retriever, reader, question) for question in QUESTIONS]
    evidence, whole = zip(*both)
    return [Row("question to evidence", "s", evidence), Row("question to answer", "s", whole)]


def timed(retriever: Retriever, reader: Reader, question: str) -> tuple[float, float]:
    """Seconds until the evidence is there and until the answer in `sentence` mode is."""
    start = time.perf_counter()
    evidence = whole = float("nan")
    for step in answer_steps(question, retriever, reader, mode="sentence"):
        if isinstance(step, EvidenceChosen):
            evidence = time.perf_counter() - start
        elif isinstance(step, Answer):
            whole = time.perf_counter() - start
    return evidence, whole


def peak_bytes() -> int:
    """Most resident memory that this process has had; bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def table(rows: Sequence[Row]) -> str:
    """The rows for a terminal."""
    lines = [f"{'':24}{'10 %':>8}{'median':>9}{'90 %':>8}"]
    for row in rows:
        low, middle, high = row.spread
        lines.append(f"{row.name:24}{low:8.2f}{middle:9.2f}{high:8.2f} {row.unit}")
    return "\n".join(lines)


def record(rows: Sequence[Row], path: Path) -> None:
    """Append the rows to a CSV file, each with date, machine, versions and commit."""
    base = {"date": datetime.now(UTC).strftime("%Y-%m-%d"), **describe()}
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    fields = [*base, "name", "unit", "n", "q10", "median", "q90"]
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fields)
        if new:
            writer.writeheader()
        for row in rows:
            low, middle, high = (f"{value:.4g}" for value in row.spread)
            figures = {"n": len(row.values), "q10": low, "median": middle, "q90": high}
            writer.writerow({**base, "name": row.name, "unit": row.unit, **figures})

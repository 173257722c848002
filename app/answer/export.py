"""Comparisons as files: a table with a row for each passage, and pages by the file's ending.

It computes nothing that is not in the records, and never writes outside the path given.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from app.show import html
from app.show.text import plain

if TYPE_CHECKING:
    from app.answer.compare import Comparison
    from app.answer.records import Answer, Source
    from app.answer.report import Gold

COLUMNS = (
    "question",
    "retriever",
    "rank",
    "paper",
    "title",
    "section",
    "page",
    "last_page",
    "label",
    "score",
    "found_by",
    "evidence",
    "characters",
    "text",
    "answer",
    "mode",
    "declined",
    "seconds_retrieve",
    "seconds_evidence",
    "seconds_answer",
    "gold_answer",
    "gold_page",
    "on_gold_page",
)
_FORMULA = ("=", "+", "-", "@")


class Exportable(Protocol):
    """What has every form of output."""

    def to_html(self, base: str = ".") -> str:
        """As HTML."""

    def to_markdown(self, base: str = ".") -> str:
        """As Markdown."""

    def to_csv(self) -> str:
        """As comma-separated values."""

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""


def save(what: Exportable, path: str | Path, title: str) -> Path:
    """Write a file in the form that its ending names; page links are relative to its folder.

    Raises:
        ValueError: The ending names none.
    """
    path = Path(path)
    base = str(path.parent)
    forms: dict[str, Callable[[], str]] = {
        ".html": lambda: html.document(title, what.to_html(base)),
        ".md": lambda: what.to_markdown(base),
        ".csv": what.to_csv,
        ".json": lambda: _json(what.to_dict()),
        ".txt": lambda: f"{what}\n",
    }
    if path.suffix.lower() not in forms:
        raise ValueError(f"{path.name} ends in none of {', '.join(forms)}")
    path.write_text(forms[path.suffix.lower()](), encoding="utf-8", newline="")
    return path


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def csv_text(compared: Iterable[tuple["Comparison", "Gold | None"]]) -> str:
    """A head, and a row for each question, retriever and passage (one where none was found).

    A text that a spreadsheet would take for a formula gets an apostrophe before it; control
    characters become blanks.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for comparison, gold in compared:
        for name, answer in zip(comparison.columns, comparison.answers):
            for source in answer.sources or (None,):
                values = row(comparison, name, answer, source, gold)
                writer.writerow([inert(values.get(column, "")) for column in COLUMNS])
    return out.getvalue()


def row(
    comparison: "Comparison",
    name: str,
    answer: "Answer",
    source: "Source | None",
    gold: "Gold | None",
) -> dict[str, Any]:
    """The values of one row, by column; those that do not apply are missing."""
    values: dict[str, Any] = {
        "question": comparison.question,
        "retriever": name,
        "answer": answer.text,
        "mode": answer.mode,
        "declined": yes(answer.declined),
        **{f"seconds_{stage}": f"{value:.4f}" for stage, value in answer.timings.items()},
    }
    if gold:
        values |= {"gold_answer": gold.answer, "gold_page": "" if gold.page is None else gold.page}
    if source is None:
        return values
    chunk = source.passage.chunk
    if gold and gold.page is not None:
        values["on_gold_page"] = yes(gold.on(chunk.paper, source.spans))
    return values | {
        "rank": source.number,
        "paper": chunk.paper,
        "title": chunk.title,
        "section": chunk.section,
        "page": source.page,
        "last_page": source.last_page,
        "label": source.label,
        "score": f"{source.passage.score:.4f}",
        "found_by": "; ".join(dict(comparison.found_by(source))),
        "evidence": yes(source.cited),
        "characters": len(source.passage.text),
        "text": source.passage.text,
    }


def yes(value: bool) -> str:
    """How a table says it."""
    return "yes" if value else "no"


def inert(value: object) -> object:
    """A cell that no spreadsheet computes; figures stay as they are."""
    if not isinstance(value, str):
        return value
    shown = plain(value)
    figure = shown.replace(".", "", 1).removeprefix("-").isdigit()
    return f"'{shown}" if shown.lstrip().startswith(_FORMULA) and not figure else shown

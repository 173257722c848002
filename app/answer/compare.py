"""Questions, several retrievers, the same reader: what each found, and what it came to.

It never ranks the retrievers; it says where they differ.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.answer import compare_views, export
from app.answer.answer import AnswerReader, EvidenceChosen, Searcher, Step, Text, answer_steps
from app.answer.records import Answer, Source
from app.answer.report import Gold, Report, gold_for

WAITING = "reading …"
Show = Callable[["Comparison | Report", bool], None]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Answers to one question, a column for each retriever; not `complete` while they grow."""

    question: str
    columns: tuple[str, ...]
    answers: tuple[Answer, ...]
    complete: bool = True

    def found_by(self, source: Source) -> tuple[tuple[str, int], ...]:
        """Which columns hold this passage's chunk, shortened or not, and under which number."""
        chunk = source.passage.chunk.id
        return tuple(
            (name, other.number)
            for name, answer in zip(self.columns, self.answers)
            for other in answer.sources
            if other.passage.chunk.id == chunk
        )

    def mark(self, source: Source) -> str:
        """`found by both` or `found by all`, `found by 2 of 3`, or `only here`."""
        found, total = len(dict(self.found_by(source))), len(self.columns)
        if found == 1:
            return "only here" if total > 1 else ""
        if found < total:
            return f"found by {found} of {total}"
        return "found by both" if total == 2 else "found by all"

    def context_characters(self) -> tuple[int, ...]:
        """Characters of the passages of each column."""
        return tuple(sum(len(s.passage.text) for s in a.sources) for a in self.answers)

    @property
    def differences(self) -> dict[str, str]:
        """Where the columns differ, in words: evidence, passages, text to read."""
        return compare_views.verdict(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: each column is an answer's, with `found_by` in every source."""
        columns = []
        for name, answer, length in zip(self.columns, self.answers, self.context_characters()):
            column = answer.to_dict()
            for source, values in zip(answer.sources, column["sources"]):
                values["found_by"] = list(dict(self.found_by(source)))
            columns.append({"name": name, "context_characters": length, **column})
        return {
            "question": self.question,
            "differences": self.differences,
            "columns": columns,
        }

    def to_html(self, base: str = ".") -> str:
        """The comparison as one table; page links are relative to the folder `base`."""
        return compare_views.comparison_html(self, base)

    def to_markdown(self, base: str = ".") -> str:
        """The comparison as a Markdown table; page links are relative to the folder `base`."""
        return compare_views.comparison_markdown(self, base)

    def to_csv(self) -> str:
        """A row for each retriever and passage; the columns are `export.COLUMNS`."""
        return export.csv_text([(self, None)])

    def save(self, path: str | Path) -> Path:
        """Write a .html (whole page), .md, .csv, .json or .txt file; page links fit its folder.

        Raises:
            ValueError: Another ending.
        """
        return export.save(self, path, self.question)

    def _repr_html_(self) -> str:
        return self.to_html()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))  # what a notebook keeps beside the HTML

    def __str__(self) -> str:
        return compare_views.comparison_text(self)


def compare(
    question: str | Sequence[str],
    retrievers: Sequence[Searcher],
    *,
    reader: AnswerReader,
    mode: str | None = None,
    k: int | None = None,
    gold: Sequence[Gold | Mapping[str, Any] | None] | None = None,
    show: Show | None = None,
) -> Comparison | Report:
    """Ask the same question, or each of several, through each retriever in turn.

    Args:
        question: In words; one gives a `Comparison`, a list of them a `Report`.
        retrievers: One or more; a name that occurs twice gets a number.
        reader: The local model, the same for all.
        mode: As in `ask`.
        k: How many passages each returns; None for each one's own number.
        gold: For a list of questions, what is known to be right: for each a `Gold`, a mapping with
            `answer`, `page` or `paper`, or None where nothing is known.
        show: Called with every state of what is made (see `compare_steps`), and whether it is what
            will be returned; `watch` is this function with a screen.

    Raises:
        ValueError: No question, no retriever, gold that does not fit, or what `ask` raises.
    """
    alone = isinstance(question, str)
    if alone and gold is not None:
        raise ValueError("gold goes with a list of questions: put the question into one")
    questions = [question] if alone else list(question)
    known = gold_for(questions, gold)
    show = show or _nobody_looks
    made: list[Comparison] = []
    for one in questions:
        for comparison in compare_steps(one, retrievers, reader, mode=mode, k=k):
            show(comparison, alone and comparison.complete)
        made.append(comparison)
    if alone:
        return made[0]
    report = Report(tuple(made), known)
    show(report, True)
    return report


def _nobody_looks(made: Comparison | Report, final: bool) -> None:
    """What is made is only returned."""


def compare_steps(
    question: str,
    retrievers: Sequence[Searcher],
    reader: AnswerReader,
    *,
    mode: str | None = None,
    k: int | None = None,
) -> Iterator[Comparison]:
    """The comparison as it grows: first all passages, then one answer after the other.

    While an answer is written its text is what there is of it; all but the last are not `complete`.
    Arguments and errors as in `compare`.
    """
    if not retrievers:
        raise ValueError("nothing to compare: give at least one retriever")
    every = [answer_steps(question, one, reader, mode=mode, k=k) for one in retrievers]
    columns = numbered([one.name for one in retrievers])
    answers = [replace(next(steps).so_far, text=WAITING) for steps in every]
    yield Comparison(answers[0].question, columns, tuple(answers), complete=False)
    for column, steps in enumerate(every):
        for answer in growing(steps, answers[column]):
            answers[column] = answer
            yield Comparison(answers[0].question, columns, tuple(answers), complete=False)
    yield Comparison(answers[0].question, columns, tuple(answers))


def growing(steps: Iterator[Step], so_far: Answer) -> Iterator[Answer]:
    """An answer after each of its steps."""
    written = ""
    for step in steps:
        if isinstance(step, EvidenceChosen):
            so_far = replace(so_far, text=WAITING, evidence=step.evidence)
        elif isinstance(step, Text):
            written += step.piece
            so_far = replace(so_far, text=written)
        elif isinstance(step, Answer):
            so_far = step
        yield so_far


def numbered(names: Sequence[str]) -> tuple[str, ...]:
    """The names, from its second time on each with a number."""
    times: Counter[str] = Counter()
    told = []
    for name in names:
        times[name] += 1
        told.append(name if times[name] == 1 else f"{name} ({times[name]})")
    return tuple(told)

"""One question, several retrievers, the same reader: what each found, and what it came to.

It never ranks the retrievers; it says where they differ.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.answer import compare_views
from app.answer.answer import AnswerReader, Searcher, ask
from app.answer.records import Answer, Source


@dataclass(frozen=True, slots=True)
class Comparison:
    """Answers to one question, a column for each retriever."""

    question: str
    columns: tuple[str, ...]
    answers: tuple[Answer, ...]

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

    def _repr_html_(self) -> str:
        return self.to_html()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))  # what a notebook keeps beside the HTML

    def __str__(self) -> str:
        return compare_views.comparison_text(self)


def compare(
    question: str,
    retrievers: Sequence[Searcher],
    *,
    reader: AnswerReader,
    mode: str | None = None,
    k: int | None = None,
) -> Comparison:
    """Ask the same question through each retriever in turn.

    Args:
        question: In words.
        retrievers: One or more; a name that occurs twice gets a number.
        reader: The local model, the same for all.
        mode: As in `ask`.
        k: How many passages each returns; None for each one's own number.

    Raises:
        ValueError: No retriever, or what `ask` raises.
    """
    if not retrievers:
        raise ValueError("nothing to compare: give at least one retriever")
    answers = [ask(question, one, reader=reader, mode=mode, k=k) for one in retrievers]
    times: Counter[str] = Counter()
    names = []
    for answer in answers:
        times[answer.retriever] += 1
        again = times[answer.retriever]
        names.append(answer.retriever if again == 1 else f"{answer.retriever} ({again})")
    return Comparison(answers[0].question, tuple(names), tuple(answers))

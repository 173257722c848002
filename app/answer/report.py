"""Several questions compared: where the retrievers agree, what they cost, and which were right.

It computes; how it looks is in report_views.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from app.answer import agree, export, report_views
from app.answer.records import STAGES, Answer
from app.papers.records import Span

if TYPE_CHECKING:
    from app.answer.compare import Comparison
    from app.show.plots import Plot


@dataclass(frozen=True, slots=True)
class Gold:
    """What is known to be right: an answer in words, a physical page from 1, the paper's file name.

    Each may be missing (empty, None, empty), but not both answer and page.
    """

    answer: str = ""
    page: int | None = None
    paper: str = ""

    def __post_init__(self) -> None:
        if not self.answer and self.page is None:
            raise ValueError("gold needs an answer or a page")

    def on(self, paper: str, spans: Sequence[Span]) -> bool:
        """Whether its page is among those of some places of a paper."""
        return self.paper in ("", paper) and self.page in [span.page for span in spans]

    def rank(self, answer: Answer) -> int | None:
        """Number of the first passage with text of the page; None where there is none."""
        found = (s.number for s in answer.sources if self.on(s.passage.chunk.paper, s.spans))
        return next(found, None)

    def cited(self, answer: Answer) -> int | None:
        """Place, from 1, of the first sentence of the evidence on the page; None without one."""
        chunks = [source.passage.chunk for source in answer.sources]
        for place, item in enumerate(answer.evidence, 1):
            if self.on(chunks[item.source - 1].paper, item.sentence.spans):
                return place
        return None


def gold_for(
    questions: Sequence[str], gold: Sequence[Gold | Mapping[str, Any] | None] | None
) -> tuple[Gold | None, ...]:
    """What is known to be right, one for each question; of a mapping only Gold's fields count.

    Raises:
        ValueError: No question, another number of gold than of questions, or an empty gold.
    """
    if not questions:
        raise ValueError("nothing to compare: give at least one question")
    if gold is None:
        return (None,) * len(questions)
    if len(gold) != len(questions):
        raise ValueError(f"{len(gold)} gold answers for {len(questions)} questions")
    names = [field.name for field in fields(Gold)]
    return tuple(
        Gold(**{name: one[name] for name in names if name in one})
        if isinstance(one, Mapping)
        else one
        for one in gold
    )


@dataclass(frozen=True, slots=True)
class Summary:
    """A retriever over all questions; means are over questions, seconds by stage.

    Of `pages` questions with a gold page, `page_found` and `page_first` count those where it is
    among the passages and in the first of them, `page_cited` those with evidence on it.
    `answer_f1` is the mean token F1 of answer and gold answer, `answer_words` the mean share of
    the gold answer's content words in the passages; both None without a gold answer.
    """

    name: str
    questions: int
    declined: int
    passages: float
    characters: float
    seconds: Mapping[str, float]
    pages: int = 0
    page_found: int = 0
    page_first: int = 0
    page_cited: int = 0
    answer_f1: float | None = None
    answer_words: float | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two retrievers over all questions.

    `common` of `passages` different passages were found by both; in `same` of `questions` both
    chose the same sentence first (or both declined); `answer_f1` is the mean token F1 of answers.
    """

    names: tuple[str, str]
    common: int
    passages: int
    same: int
    questions: int
    answer_f1: float


@dataclass(frozen=True, slots=True)
class Report:
    """Comparisons of the same retrievers on several questions; `gold` has one entry for each."""

    comparisons: tuple["Comparison", ...]
    gold: tuple[Gold | None, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the retrievers."""
        return self.comparisons[0].columns

    @property
    def questions(self) -> tuple[str, ...]:
        """The questions."""
        return tuple(one.question for one in self.comparisons)

    @property
    def title(self) -> str:
        """How many questions and retrievers."""
        return f"{len(self.comparisons)} questions, {len(self.columns)} retrievers"

    def summaries(self) -> tuple[Summary, ...]:
        """One for each retriever, in their order."""
        return tuple(self._summary(column) for column in range(len(self.columns)))

    def pairs(self) -> tuple[Pair, ...]:
        """One for each two retrievers."""
        return tuple(self._pair(a, b) for a, b in combinations(range(len(self.columns)), 2))

    def _summary(self, column: int) -> Summary:
        answers = [one.answers[column] for one in self.comparisons]
        known = [(answer, gold) for answer, gold in zip(answers, self.gold) if gold]
        paged = [(answer, gold) for answer, gold in known if gold.page is not None]
        worded = [(answer, gold.answer) for answer, gold in known if gold.answer]
        ranks = [gold.rank(answer) for answer, gold in paged]
        return Summary(
            name=self.columns[column],
            questions=len(answers),
            declined=sum(answer.declined for answer in answers),
            passages=fmean(len(answer.sources) for answer in answers),
            characters=fmean(one.context_characters()[column] for one in self.comparisons),
            seconds={s: fmean(a.timings.get(s, 0.0) for a in answers) for s in STAGES},
            pages=len(paged),
            page_found=sum(rank is not None for rank in ranks),
            page_first=sum(rank == 1 for rank in ranks),
            page_cited=sum(gold.cited(answer) is not None for answer, gold in paged),
            answer_f1=mean_or_none(
                agree.token_f1("" if a.declined else a.text, [wanted]) for a, wanted in worded
            ),
            answer_words=mean_or_none(
                agree.share_of_words(wanted, " ".join(s.passage.text for s in a.sources))
                for a, wanted in worded
            ),
        )

    def _pair(self, a: int, b: int) -> Pair:
        both = [(one.answers[a], one.answers[b]) for one in self.comparisons]
        counts = [agree.common(chunks(left), chunks(right)) for left, right in both]
        return Pair(
            names=(self.columns[a], self.columns[b]),
            common=sum(count for count, _ in counts),
            passages=sum(total for _, total in counts),
            same=sum(first_evidence(left) == first_evidence(right) for left, right in both),
            questions=len(both),
            answer_f1=fmean(agree.token_f1(left.text, [right.text]) for left, right in both),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return report_views.report_dict(self)

    def to_html(self, base: str = ".") -> str:
        """The summary and one table a question; page links are relative to the folder `base`."""
        return report_views.report_html(self, base)

    def to_markdown(self, base: str = ".") -> str:
        """The same as Markdown; page links are relative to the folder `base`."""
        return report_views.report_markdown(self, base)

    def to_csv(self) -> str:
        """A row for each question, retriever and passage; the columns are `export.COLUMNS`."""
        return export.csv_text(zip(self.comparisons, self.gold))

    def save(self, path: str | Path) -> Path:
        """Write a .html (whole page), .md, .csv, .json or .txt file; page links fit its folder.

        Raises:
            ValueError: Another ending.
        """
        return export.save(self, path, self.title)

    def plot(self) -> "Plot":
        """The summary drawn: right pages or passages in common, text to read, seconds."""
        return report_views.report_plot(self)

    def _repr_html_(self) -> str:
        return self.to_html()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

    def __str__(self) -> str:
        return report_views.report_text(self)


def chunks(answer: Answer) -> frozenset[str]:
    """The chunks that an answer's passages are, shortened or not."""
    return frozenset(source.passage.chunk.id for source in answer.sources)


def first_evidence(answer: Answer) -> str:
    """The sentence chosen first; empty where nothing was found."""
    return answer.evidence[0].sentence.text if answer.evidence else ""


def mean_or_none(values: Iterable[float]) -> float | None:
    """The mean; None where there is nothing to take it of."""
    found = list(values)
    return fmean(found) if found else None

"""How well an unanswerable question can be told: single signals, and rules made of them.

A rule is tried on other papers than it was fitted on; the reader's own, on all.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.answer import signals
from app.answer.calibration import Rule
from app.answer.reader import Reader
from app.evaluate import metrics
from app.evaluate.calibrate import ANSWERABLE, REMOVED, UNANSWERABLE, fit_rule
from app.evaluate.questions import Question
from app.papers.records import Passage
from app.retrieve.library import Library
from app.show.text import markdown_table


@dataclass(frozen=True, slots=True)
class Case:
    """A question with the signals of the passages it was asked on: each is higher for an answer."""

    id: str
    paper: str
    kind: str
    question: Mapping[str, float]


def cases(
    library: Library,
    questions: Iterable[Question],
    reader: Reader,
    name: str = "hybrid",
    k: int = 3,
) -> list[Case]:
    """Each question in its own paper, and each answerable one once more without its evidence.

    Then no passage touches the right page or holds two fifths of the evidence: such questions are
    many and as near to the topic as can be, which those written as unanswerable are not.
    """
    made = []
    for question in questions:
        retriever = library.retriever(name, k=k, papers=(question.paper,))
        found = retriever.search(question.question, 20)
        asked = [(ANSWERABLE if question.answerable else UNANSWERABLE, found[:k])]
        if question.answerable:
            asked.append((REMOVED, [p for p in found if not _holds(p, question)][:k]))
        for kind, passages in asked:
            if passages:
                cosines = [retriever.sentence_scores(question.question, p) for p in passages]
                given = (question.question, passages, cosines, reader)
                read = reader.read(reader.prompt(question.question, passages))
                known = signals.of_question(signals.OF_QUESTION, *given, read)
                made.append(Case(question.id, question.paper, kind, known))
    return made


def _holds(passage: Passage, question: Question) -> bool:
    on_page = passage.chunk.page <= question.page <= passage.chunk.last_page
    return on_page or metrics.covered(question.evidence, [passage.text], 0.4)


def table(
    made: Sequence[Case], combinations: Sequence[Sequence[str]], own: Rule | None = None
) -> str:
    """AUROC and refusals of each combination of signals, and of the reader's own rule.

    A combination is fitted to answerable questions against removed evidence: each half of the
    papers is judged by the rule of the other half.
    """
    lines = [_line(" + ".join(names), list(_crosswise(made, names))) for names in combinations]
    if own is not None:
        scored = [(case.kind, own.score(case.question) - own.threshold) for case in made]
        lines.append(_line("the reader's own rule", scored))
    heads = ["signals", "answerable refused"]
    for kind in (UNANSWERABLE, REMOVED):
        heads += [f"{kind}: AUROC", "refused", "F1"]
    return markdown_table(heads, lines)


def _line(name: str, scored: Sequence[tuple[str, float]]) -> list[str]:
    own = [score for kind, score in scored if kind == ANSWERABLE]
    cells = [name, _share(own)]
    for wanted in (UNANSWERABLE, REMOVED):
        others = [score for kind, score in scored if kind == wanted]
        right, wrong = sum(score < 0 for score in others), sum(score < 0 for score in own)
        f1 = metrics.f1(right, wrong, len(others))
        cells += [f"{metrics.auroc(own, others):.2f}", _share(others), f"{f1:.2f}"]
    return cells


def _crosswise(made: Sequence[Case], names: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Kind and score above the threshold, by a rule from the papers of the other half."""
    papers = sorted({case.paper for case in made})
    for half in (papers[::2], papers[1::2]):
        known = [case for case in made if case.paper not in half and case.kind != UNANSWERABLE]
        rule = fit_rule(known, names)
        for case in made:
            if case.paper in half:
                yield case.kind, rule.score(case.question) - rule.threshold


def _share(scores: Sequence[float]) -> str:
    return f"{sum(score < 0 for score in scores)} of {len(scores)}"

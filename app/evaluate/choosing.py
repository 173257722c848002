"""Which sentence a reader takes for the evidence, on questions about papers whose place is known.

The passages are retrieved; what is judged is the order of their sentences, not words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.answer import signals
from app.answer.answer import answerable
from app.answer.choose import ordered
from app.answer.evidence import candidates, ranked
from app.answer.reader import Reader
from app.evaluate import metrics
from app.evaluate.questions import Question
from app.papers.records import Passage
from app.show.text import markdown_table

if TYPE_CHECKING:
    from app.retrieve.library import Library

# How sentences are ordered: as an answer does it, and by each signal alone that costs no run of
# the model over each sentence.
CHOSEN = "as answered"
ORDERS = (CHOSEN, *(name for name in signals.OF_SENTENCE if name not in signals.COSTLY))
CUTS = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one question.

    `ranks` holds for each of ORDERS the place of the first right sentence, None where no passage
    has one; `first` the sentence that an answer puts first.
    """

    id: str
    paper: str
    answerable: bool
    ranks: dict[str, int | None]
    declined: bool
    question: str
    first: str

    @property
    def retrieved(self) -> bool:
        """Whether a right sentence was among those to choose from."""
        return any(rank is not None for rank in self.ranks.values())


def is_right(sentence: str, evidence: str) -> bool:
    """Whether a sentence holds four fifths of the evidence's runs of words, or is such of it."""
    if metrics.covered(evidence, [sentence]):
        return True
    return len(sentence.split()) >= 5 and metrics.covered(sentence, [evidence])


def evaluate(
    library: "Library", questions: Sequence[Question], reader: Reader, name: str, k: int = 3
) -> list[Row]:
    """A row for each question, with passages of its own paper by the retriever of that name."""
    rows = []
    for question in questions:
        retriever = library.retriever(name, k=k, papers=(question.paper,))
        passages = retriever.search(question.question)
        cosines = [retriever.sentence_scores(question.question, p) for p in passages]
        rows.append(_row(question, passages, cosines, reader))
    return rows


def _row(
    question: Question,
    passages: Sequence[Passage],
    cosines: Sequence[Sequence[float]],
    reader: Reader,
) -> Row:
    prompt = reader.prompt(question.question, passages)
    found = candidates(passages, prompt.sentences)
    read = reader.read(prompt)
    asked = (question.question, found, cosines, reader, read)
    orders = {CHOSEN: ordered(reader.calibration, *asked)}
    known = signals.of_sentences(ORDERS[1:], *asked)
    orders |= {name: ranked(found, known, {name: 1.0}) for name in known}
    log_odds = answerable(question.question, passages, cosines, reader, read)
    ranks: dict[str, int | None] = {}
    for name, order in orders.items():
        texts = [item.sentence.text for item in order]
        right = [question.answerable and is_right(t, question.evidence) for t in texts]
        ranks[name] = right.index(True) + 1 if True in right else None
    return Row(
        id=question.id,
        paper=question.paper,
        answerable=question.answerable,
        ranks=ranks,
        declined=read.declines
        if log_odds is None
        else log_odds < reader.calibration.rule.threshold,
        question=question.question,
        first=orders[CHOSEN][0].sentence.text,
    )


def summary(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """For each order, over questions with a right sentence to choose: shares within CUTS, 0 to 1.

    `interval` is the 95 % bootstrap interval of the first; `over similarity` the paired difference.
    """
    chosen = [row for row in rows if row.retrieved]
    if not chosen:
        return []
    found = []
    for name in ORDERS:
        ranks = [row.ranks[name] for row in chosen]
        first = [float(rank == 1) for rank in ranks]
        over = [a - float(row.ranks["similarity"] == 1) for a, row in zip(first, chosen)]
        record = {"order": name, "n": len(chosen)}
        record |= {f"right@{k}": metrics.share_within(ranks, k) for k in CUTS}
        record |= {"interval": metrics.interval(first), "over similarity": metrics.interval(over)}
        found.append(record)
    return found


def declined(rows: Sequence[Row]) -> dict[str, float | None]:
    """Shares declined of answerable and unanswerable questions; share with evidence retrieved."""
    answerable = [row.declined for row in rows if row.answerable]
    unanswerable = [row.declined for row in rows if not row.answerable]
    retrieved = [row.retrieved for row in rows if row.answerable]
    groups = {"answerable": answerable, "unanswerable": unanswerable, "retrieved": retrieved}
    return {name: sum(x) / len(x) if x else None for name, x in groups.items()}


def table(records: Sequence[dict[str, Any]]) -> str:
    """The summary as a Markdown table, in per cent."""
    lines = []
    for record in records:
        low, high = (100 * x for x in record["interval"])
        less, more = (100 * x for x in record["over similarity"])
        shares = [f"{100 * record[f'right@{k}']:.1f}" for k in CUTS]
        shares[0] += f" ({low:.1f} to {high:.1f})"
        lines.append([record["order"], str(record["n"]), *shares, f"{less:+.1f} to {more:+.1f}"])
    head = ["sentences by", "n", *(f"right@{k}" for k in CUTS), "right@1 over similarity (95 %)"]
    return markdown_table(head, lines)

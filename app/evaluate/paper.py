"""Questions on one paper: answers kept as they came, for a person to read and judge.

A verdict belongs to the very words that it was given to: another answer has none yet.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from app.answer.answer import AnswerReader, Searcher, ask
from app.answer.records import Answer
from app.show.text import markdown

VERDICTS = ("right", "partly", "wrong")


@dataclass(frozen=True, slots=True)
class Question:
    """A question, what a right answer says, and the physical pages where the paper says it."""

    id: str
    question: str
    gold: str
    pages: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person thought of an answer: one of VERDICTS and why; "" where nobody has read it."""

    id: str
    model: str
    mode: str
    answer: str
    verdict: str = ""
    why: str = ""


Judged = Mapping[tuple[str, str], Verdict]


def read_questions(path: Path) -> list[Question]:
    """Questions of a JSON-lines file."""
    records = _records(path)
    return [Question(r["id"], r["question"], r["gold"], tuple(r["pages"])) for r in records]


def read_verdicts(path: Path) -> list[Verdict]:
    """Verdicts of a JSON-lines file; none where there is no such file.

    Raises:
        ValueError: a verdict that is none of VERDICTS.
    """
    found = [Verdict(**record) for record in _records(path)] if path.is_file() else []
    for each in found:
        if each.verdict not in ("", *VERDICTS):
            raise ValueError(f"{path}: {each.verdict!r} of {each.id} is none of {VERDICTS}")
    return found


def _records(path: Path) -> list[dict]:
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line.strip()]


def answered(
    questions: Iterable[Question], retriever: Searcher, reader: AnswerReader, mode: str
) -> list[Answer]:
    """The answer to each question by the same steps as a user's."""
    return [ask(each.question, retriever, reader=reader, mode=mode) for each in questions]


def with_blanks(
    verdicts: Sequence[Verdict], questions: Sequence[Question], answers: Sequence[Answer]
) -> list[Verdict]:
    """The verdicts, and an empty one for each answer whose words nobody has judged."""
    known = {(each.id, each.answer) for each in verdicts}
    return [
        *verdicts,
        *(
            Verdict(question.id, answer.model, answer.mode, answer.text)
            for question, answer in zip(questions, answers)
            if (question.id, answer.text) not in known
        ),
    ]


def write_verdicts(path: Path, verdicts: Iterable[Verdict]) -> None:
    """One JSON line a verdict, for a person to fill in."""
    lines = [json.dumps(asdict(each), ensure_ascii=False) + "\n" for each in verdicts]
    path.write_text("".join(lines), encoding="utf-8")


def page_found(question: Question, answer: Answer) -> bool:
    """Whether what the answer shows first as evidence stands on a page that answers."""
    return any(item.page in question.pages for item in answer.evidence[:1])


def report(
    title: str,
    questions: Sequence[Question],
    answers: Sequence[Answer],
    verdicts: Sequence[Verdict],
) -> str:
    """Every answer as it came, with its sources and its verdict, and how many are right."""
    judged = {(each.id, each.answer): each for each in verdicts}
    of = [judged.get((q.id, a.text)) for q, a in zip(questions, answers)]
    counts = Counter((each.verdict if each else "") or "not read" for each in of)
    told = ", ".join(f"{name} {counts[name]}" for name in (*VERDICTS, "not read") if counts[name])
    pages = sum(map(page_found, questions, answers))
    parts = [
        f"# {title}",
        f"{len(answers)} answers by `{answers[0].model}` in mode `{answers[0].mode}`, passages by "
        f"`{answers[0].retriever}`: {told}. First evidence on a page that answers: {pages}.",
    ]
    for number, (question, answer, verdict) in enumerate(zip(questions, answers, of), start=1):
        parts.append(_one(number, question, answer, verdict))
    return "\n\n".join(parts) + "\n"


def _one(number: int, question: Question, answer: Answer, verdict: Verdict | None) -> str:
    said = "\n> ".join(markdown(line) for line in answer.text.split("\n"))
    pages = ", ".join(map(str, question.pages))
    cited = ", ".join(f"[{s.number}] p. {s.page}" for s in answer.cited) or "nothing"
    lines = [f"## {number}. {markdown(question.question)}", f"> {said}"]
    remarks = ["declined"] * answer.declined + ["weak evidence"] * answer.weak
    remarks += ["in the paper's words"] * any(s.quoted for s in answer.sentences)
    lines.append(f"Supported by: {'; '.join([cited, *remarks])}.")
    for item in answer.evidence[:1]:
        lines.append(f"Evidence, p. {item.page}: “{markdown(item.sentence.text)}”")
    lines.append(f"Expected (p. {pages}): {markdown(question.gold)}")
    told = verdict.verdict if verdict and verdict.verdict else "not read"
    why = f": {markdown(verdict.why)}" if verdict and verdict.why else ""
    return "\n\n".join([*lines, f"**{told}**{why}"])

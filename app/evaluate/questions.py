"""Questions about papers whose answers stand on known pages, and the halves they are split into.

It reads one file of JSON lines and searches nothing.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Half = Literal["choosing", "reporting"]


@dataclass(frozen=True, slots=True)
class Question:
    """A question with the place of its answer: file, physical page from 1, and the words there.

    `evidence` is empty, and `page` 0, where the paper does not answer it. `half` says what it is
    for: settings are chosen on the one half and reported on the other.
    """

    id: str
    paper: str
    question: str
    evidence: str
    page: int
    half: Half = "reporting"

    @property
    def answerable(self) -> bool:
        """Whether the paper answers it."""
        return bool(self.evidence)


def read_questions(
    path: Path, papers: Iterable[str], *, unanswerable: bool = False
) -> list[Question]:
    """The questions of a JSON-lines file about these papers.

    Halves are of whole papers: of all that the file names, in order of their names, the first,
    third and so on are for choosing.

    Args:
        path: The file; each line has id, paper, question, evidence, page and answerable.
        papers: File names of the papers at hand.
        unanswerable: Whether questions that the paper does not answer are wanted too.
    """
    lines = path.read_text(encoding="utf-8").split("\n")
    records = [json.loads(line) for line in lines if line.strip()]
    names, papers = sorted({record["paper"] for record in records}), set(papers)
    return [
        Question(
            record["id"],
            record["paper"],
            record["question"],
            record["evidence"] if record["answerable"] else "",
            record["page"] if record["answerable"] else 0,
            "reporting" if names.index(record["paper"]) % 2 else "choosing",
        )
        for record in records
        if record["paper"] in papers and (unanswerable or record["answerable"])
    ]


def of_half(questions: Sequence[Question], half: Half | None) -> list[Question]:
    """The questions of one half; all, where none is named."""
    return [question for question in questions if half in (None, question.half)]

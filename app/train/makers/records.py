"""What a maker makes: questions on passages, with their evidence and answers, as text.

No tokens here; the prompt form is put on in `app.train.encode`.
"""

from dataclasses import dataclass

Passage = tuple[str, str]  # title (may be empty), text


@dataclass(frozen=True, slots=True)
class Ask:
    """One question and what the reader should write.

    Args:
        question: as asked.
        kind: which maker made it; counted, never trained on.
        evidence: a sentence of the passages that is written first; None answers at once.
        style: of the answer, `short`, `sentence` or `bullets`; None where there is none.
        answer: None where the evidence alone is asked for.
        refuses: the passages do not answer; then there is no evidence and no answer.
    """

    question: str
    kind: str
    evidence: str | None = None
    style: str | None = None
    answer: str | None = None
    refuses: bool = False

    def __post_init__(self) -> None:
        if self.refuses == (self.evidence is not None or self.answer is not None):
            raise ValueError(f"{self.kind}: an ask has evidence or an answer, or it refuses")
        if (self.answer is None) != (self.style is None):
            raise ValueError(f"{self.kind}: answer and style come together")


@dataclass(frozen=True, slots=True)
class Example:
    """Questions on the same passages, read one after the other. `made`: from text, by rule."""

    passages: tuple[Passage, ...]
    asks: tuple[Ask, ...]
    made: bool


def refusal(question: str, kind: str) -> Ask:
    """An ask that the passages do not answer."""
    return Ask(question, kind, refuses=True)

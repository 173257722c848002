"""What a retriever hands over within so many characters, so that all are compared on equal text.

It judges nothing.
"""

from collections.abc import Iterable, Sequence

from app.papers.records import Passage
from app.retrieve.base import Retriever
from app.retrieve.compression_xlstm import QuestionReader


def by_budget(
    retriever: Retriever, question: str, passages: Sequence[Passage], budgets: Sequence[int]
) -> list[str]:
    """What a reader would get in so many characters, of a retriever that takes a budget or not.

    Args:
        retriever: Made with its own budget, if it has one.
        question: In words.
        passages: What it finds so.
        budgets: Numbers of characters.
    """
    if "budget_chars" not in type(retriever).model_fields:
        return [joined(passages, budget) for budget in budgets]
    found = []
    for budget in budgets:
        within = retriever.model_copy(update={"budget_chars": budget})
        found.append(joined(within.search(question), budget))
    return found


def joined(passages: Iterable[Passage], budget: int) -> str:
    """The passages' texts one after the other, cut at so many characters."""
    return "\n".join(passage.text for passage in passages)[:budget]


class Remembering:
    """A reader that scores no text twice: for one question, whose budgets are tried in turn."""

    def __init__(self, reader: QuestionReader) -> None:
        self._reader, self._known = reader, {}

    def question_given(self, question: str, texts: Sequence[str]) -> list[list[float]]:
        """As the reader's own."""
        fresh = [text for text in dict.fromkeys(texts) if (question, text) not in self._known]
        for text, values in zip(fresh, self._reader.question_given(question, fresh)):
            self._known[question, text] = values
        return [self._known[question, text] for text in texts]

"""A conversation about papers: follow-up questions are completed; a reader may read on.

What was carried over is said with every answer, and nothing is kept outside of the object.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from app.answer import views
from app.answer.answer import AnswerReader, ReadPrompt, Searcher, Step, answer_steps
from app.answer.calibration import Calibration
from app.answer.followup import Followup, self_contained
from app.answer.prompt import Prompt, PromptSpec
from app.answer.records import Answer
from app.papers.records import Passage

ROOM = 200  # tokens that are kept free for evidence and answer


class CarryingReader(AnswerReader, Protocol):
    """What is needed of a reader that reads on."""

    def read(self, prompt: Prompt, state: Any | None = None) -> ReadPrompt:
        """Take a prompt in, after what a state holds already."""

    def carry(self, reading: ReadPrompt, evidence: str, style: str = "", text: str = "") -> Any:
        """The state after an answer."""


class Chat:
    """Questions one after the other; each may lean on the one before it.

    A follow-up ("and how does that compare?") is completed for the search by the words that it
    leans on (`followup.self_contained`, rules without a model), and the answer shows what was
    searched for. That form is also what the reader is asked.

    A reader trained for it (`continues` in its prompt.json) goes on from the state that the last
    answer left, so that earlier questions, passages and answers are in it without being read
    again; that state has one size however long the talk, and is dropped before more is read than
    `context_tokens`. The default reader was trained on single questions and is not such a one:
    carried on, it chose the right sentence half as often and would have declined nearly always
    (data/experiments/answer.md). It reads each question afresh, and it is the completed question
    that makes a follow-up work.

    Attributes:
        turns: The answers so far.
    """

    def __init__(
        self,
        retriever: Searcher,
        reader: CarryingReader,
        *,
        mode: str | None = None,
        k: int | None = None,
        carry: bool | None = None,
    ) -> None:
        """Start a conversation.

        Args:
            retriever: Finds the passages.
            reader: The local model.
            mode: As in `ask`.
            k: How many passages a question.
            carry: Whether the reader goes on from its state; None as its prompt.json says.
        """
        self.turns: list[Answer] = []
        self._retriever, self._mode, self._k = retriever, mode, k
        self._carry = reader.spec.continues if carry is None else carry
        self._reader = ReadingOn(reader)
        self._last: Followup | None = None

    def ask(self, question: str) -> Answer:
        """Answer the next question; errors as in `app.ask`, after which nothing has changed."""
        *_, answer = self.steps(question)
        return answer

    def steps(self, question: str) -> Iterator[Step]:
        """The same step by step, as in `answer_steps`; the turn counts when the last was given."""
        asked = self_contained(question, self._last)
        reader = self._reader
        if not self._carry:
            reader.forget()
        for step in answer_steps(
            question,
            self._retriever,
            reader,
            mode=self._mode,
            k=self._k,
            searched=asked.searched,
        ):
            if isinstance(step, Answer):
                reader.go_on(step)
                self._last = asked
                self.turns.append(step)
            yield step

    def to_html(self, base: str = ".") -> str:
        """The conversation as HTML; page links are relative to the folder `base`."""
        return views.chat_html(self.turns, base)

    def to_markdown(self, base: str = ".") -> str:
        """The conversation as Markdown; page links are relative to the folder `base`."""
        return "\n\n".join(turn.to_markdown(base).strip("\n") for turn in self.turns) + "\n"

    def _repr_html_(self) -> str:
        return self.to_html()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.turns)) or "no question yet"


class ReadingOn:
    """A reader that reads each prompt from the state after the last answer, where that fits."""

    def __init__(self, reader: CarryingReader) -> None:
        self._reader = reader
        self._state: Any | None = None
        self._tokens = 0  # in the state, with room for each answer
        self._reading: ReadPrompt | None = None

    @property
    def name(self) -> str:
        """The model's."""
        return self._reader.name

    @property
    def spec(self) -> PromptSpec:
        """How the model is asked."""
        return self._reader.spec

    def prompt(self, question: str, passages: Sequence[Any]) -> Prompt:
        """The prompt for a question on passages."""
        return self._reader.prompt(question, passages)

    def read(self, prompt: Prompt) -> ReadPrompt:
        """Take a prompt in, after the earlier turns where all together fits the reader."""
        before = self._tokens if self._state is not None else 0
        if before + len(prompt.ids) + ROOM > self.spec.context_tokens:
            self._state, before = None, 0
        self._reading = self._reader.read(prompt, self._state)
        self._tokens = before + len(prompt.ids) + ROOM
        return self._reading

    @property
    def calibration(self) -> Calibration:
        """How the model's signals are weighed."""
        return self._reader.calibration

    def likelihoods(self, reading: ReadPrompt, sentences: Sequence[str]) -> list[float]:
        """How likely each sentence is as evidence, over its length."""
        return self._reader.likelihoods(reading, sentences)

    def ranks(self, question: str, passages: Sequence[Passage]) -> list[list[float]]:
        """The ranker's log-odds of each sentence of each passage."""
        return self._reader.ranks(question, passages)

    def log_refusal(self, reading: ReadPrompt) -> float:
        """Log-probability that the first word is the refusal."""
        return self._reader.log_refusal(reading)

    def phrase(
        self, reading: ReadPrompt, evidence: str, style: str, *, held: bool = False
    ) -> Iterator[str]:
        """Pieces of an answer in that style, after the evidence; its own words in a row if held."""
        return self._reader.phrase(reading, evidence, style, held=held)

    def phrase_likelihoods(
        self, reading: ReadPrompt, evidence: str, style: str, texts: Sequence[str]
    ) -> list[float]:
        """How likely each text is as such an answer, over its length."""
        return self._reader.phrase_likelihoods(reading, evidence, style, texts)

    def forget(self) -> None:
        """Start afresh."""
        self._state = self._reading = None

    def go_on(self, answer: Answer) -> None:
        """Keep the state after an answer; one without evidence leaves it as it was."""
        if self._reading is None or not answer.evidence:
            return
        phrased = ("", "") if answer.mode == "quote" else (answer.mode, answer.text)
        evidence = answer.evidence[0].sentence.text
        self._state = self._reader.carry(self._reading, evidence, *phrased)
        self._reading = None

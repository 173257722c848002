"""Examples and texts as token ids, in the reader's own prompt form, with a code for each token.

The form is that of `app.answer.prompt`; nothing of it is written down a second time here.
"""

from dataclasses import dataclass, replace
from enum import IntEnum

from app.answer.prompt import PromptSpec, build_prompt, stripped
from app.model.tokenizer import Tokenizer
from app.papers.records import Chunk, Passage
from app.train.makers.records import Ask, Example


class Code(IntEnum):
    """What a token is, which decides how much it weighs in the loss."""

    GIVEN = 0  # padding, and marks that are always given: never predicted
    PROMPT = 1  # question and passages of a question set
    MADE_PROMPT = 2  # of an example made from text: words of that text, or a made-up question
    ANSWER = 3
    TEXT = 4
    EVIDENCE = 5
    CHOICE = 6  # the first token after the evidence mark: which sentence, or the refusal
    MADE_ANSWER = 7


@dataclass(frozen=True, slots=True)
class Encoded:
    """One example: ids, a code for each, and the kinds of the asks that are in it."""

    ids: tuple[int, ...]
    codes: tuple[int, ...]
    kinds: tuple[str, ...]


@dataclass(frozen=True)
class Encoder:
    """Puts examples into the prompt form.

    Args:
        spec: the reader's prompt form.
        tokenizer: the reader's tokenizer.
        most_tokens: of an example; asks that do not fit any more are left out.
    """

    spec: PromptSpec
    tokenizer: Tokenizer
    most_tokens: int = 1_900

    def encode(self, example: Example) -> Encoded | None:
        """An example's tokens, or None where its passages with the first ask do not fit."""
        ids = self._opening(example)
        if ids is None:
            return None
        prompt, answer = Code.PROMPT, Code.ANSWER
        if example.made:
            prompt, answer = Code.MADE_PROMPT, Code.MADE_ANSWER
        codes: list[int] = [prompt] * len(ids)
        kinds: list[str] = []
        for ask in example.asks:
            again = self._asked_again(ask.question) if kinds else []
            written, marks = self._written(ask, answer)
            if len(ids) + len(again) + len(written) > self.most_tokens:
                if not kinds:
                    return None
                continue
            ids += again + written
            codes += [prompt] * len(again) + marks
            kinds.append(ask.kind)
        return Encoded(tuple(ids), tuple(codes), tuple(kinds))

    def text(self, title: str, text: str) -> list[int]:
        """Ids of a document: the start token, its title where the text lacks it, the text."""
        head = "" if not title or text.startswith(title[:40]) else f"{title}\n"
        return [self._id("start"), *self._words(head + text)]

    @property
    def start_id(self) -> int:
        """The token that begins every example and every document."""
        return self._id("start")

    @property
    def end_id(self) -> int:
        """The token that ends an answer; also what fills a row."""
        return self._id("end")

    def _opening(self, example: Example) -> list[int] | None:
        """The prompt of the first ask, without the evidence mark; None where it does not fit."""
        question = example.asks[0].question
        if not 0 < len(self._words(question)) <= self.most_tokens // 4:
            return None
        spec = replace(
            self.spec,
            context_tokens=self.most_tokens + self.spec.answer_tokens,
            most_passages=len(example.passages),
        )
        passages = [whole_passage(title, text) for title, text in example.passages]
        prompt = build_prompt(spec, self.tokenizer, question, passages)
        return None if prompt.left_out else list(prompt.ids[:-1])

    def _asked_again(self, question: str) -> list[int]:
        """What the form puts between the passages and the evidence mark, for one more question."""
        after = self.spec.template[self.spec.template.index("{passages}") + 1 :]
        ids: list[int] = []
        for part in after:
            ids += self._words(question) if part == "{question}" else [self._id(part)]
        return ids

    def _written(self, ask: Ask, answer: Code) -> tuple[list[int], list[int]]:
        """The mark that says how to answer, and what the reader writes after it."""
        if ask.refuses:
            ids = [self._id("evidence"), self._id("refusal"), self._id("end")]
            return ids, [Code.GIVEN, Code.CHOICE, Code.EVIDENCE]
        ids, codes = [], []
        if ask.evidence is not None:
            words = self._words(ask.evidence)
            ids += [self._id("evidence"), *words]
            codes += [Code.GIVEN, Code.CHOICE, *[Code.EVIDENCE] * (len(words) - 1)]
        if ask.style is not None and ask.answer is not None:
            words = self._words(ask.answer)
            ids += [self.tokenizer.id_of(self.spec.styles[ask.style]), *words]
            codes += [Code.EVIDENCE if codes else Code.GIVEN, *[answer] * len(words)]
        return [*ids, self._id("end")], [*codes, answer if ask.answer else Code.EVIDENCE]

    def _words(self, text: str) -> list[int]:
        return self.tokenizer.encode(stripped(text).strip(), start=False)

    def _id(self, role: str) -> int:
        return self.tokenizer.id_of(self.spec.tokens[role])


def whole_passage(title: str, text: str) -> Passage:
    """A passage that is read whole or not at all: it has no sentences to be cut at."""
    chunk = Chunk("", "", title, "", "main", "", text, (), ())
    return Passage(chunk, 0.0, 1, "training")

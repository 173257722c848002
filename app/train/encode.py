"""Examples and texts as token ids, in the reader's own prompt form, with a code for each token.

The form is that of `app.answer.prompt`; nothing of it is written down a second time here.
"""

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from app.answer.prompt import Prompt, PromptSpec, build_prompt, stripped
from app.model.tokenizer import Tokenizer
from app.papers.records import Chunk, Passage, Sentence
from app.papers.sentences import split_sentences
from app.train.makers.records import Ask, Example


class Code(IntEnum):
    """What a token is, which decides how much it weighs in the loss."""

    GIVEN = 0  # padding, and marks that are always given: never predicted
    PROMPT = 1  # question and passages of a question set
    MADE_PROMPT = 2  # of an example made from text: words of that text, or a made-up question
    ANSWER = 3
    TEXT = 4
    EVIDENCE = 5
    CHOICE = 6  # of the evidence or the refusal: tokens that tell it from the other sentences
    MADE_ANSWER = 7
    QUESTION = 8  # to be asked of a passage


# Added to the code of a sentence's last token in the passages of an example whose first question
# has evidence or is refused: the loss that ranks sentences reads them there.
SENTENCE, EVIDENT = 16, 32
RANKED_WORDS = range(4, 91)  # shorter ones are headings, longer ones tables


def token_kinds(codes: np.ndarray) -> np.ndarray:
    """What each token is, as values of Code."""
    return codes % SENTENCE


def sentence_ends(codes: np.ndarray) -> np.ndarray:
    """What each token ends: 1 a sentence that is ranked, 2 one that is evidence, 0 none."""
    return codes // SENTENCE


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
        passages = [whole_passage(title, text) for title, text in example.passages]
        opening = self._opening(example.asks[0].question, passages)
        if opening is None:
            return None
        prompt, answer = Code.PROMPT, Code.ANSWER
        if example.made:
            prompt, answer = Code.MADE_PROMPT, Code.MADE_ANSWER
        ids = list(opening.ids[:-1])
        codes: list[int] = [prompt] * len(ids)
        for place, flag in _flags(opening, passages, example.asks[0]).items():
            codes[place] += flag
        sentences = [s.text for passage in passages for s in passage.sentences]
        kinds: list[str] = []
        for ask in example.asks:
            again = self._asked_again(ask.question) if kinds else []
            written, marks = self._written(ask, answer, sentences)
            if len(ids) + len(again) + len(written) > self.most_tokens:
                if not kinds:
                    return None
                continue
            ids += again + written
            codes += [prompt] * len(again) + marks
            kinds.append(ask.kind)
        return Encoded(tuple(ids), tuple(codes), tuple(kinds))

    def asked_of(self, passage: str, question: str) -> Encoded:
        """A passage and then a question that it answers, whose tokens are what is learnt."""
        given = [self._id("start"), self._id("passage"), *self._words(passage)]
        asked = [*self._words(question), self._id("evidence")]
        ids = [*given, self._id("question"), *asked]
        codes = [Code.PROMPT] * len(given) + [Code.GIVEN] + [Code.QUESTION] * len(asked)
        return Encoded(tuple(ids), tuple(codes), ("asked of",))

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

    def _opening(self, question: str, passages: list[Passage]) -> Prompt | None:
        """The prompt of the first ask; None where it does not fit."""
        if not 0 < len(self._words(question)) <= self.most_tokens // 4:
            return None
        spec = replace(
            self.spec,
            context_tokens=self.most_tokens + self.spec.answer_tokens,
            most_passages=len(passages),
        )
        prompt = build_prompt(spec, self.tokenizer, question, passages)
        return None if prompt.left_out else prompt

    def _asked_again(self, question: str) -> list[int]:
        """What the form puts between the passages and the evidence mark, for one more question."""
        after = self.spec.template[self.spec.template.index("{passages}") + 1 :]
        ids: list[int] = []
        for part in after:
            ids += self._words(question) if part == "{question}" else [self._id(part)]
        return ids

    def _written(self, ask: Ask, answer: Code, sentences: list[str]) -> tuple[list[int], list[int]]:
        """The mark that says how to answer, and what the reader writes after it."""
        if ask.refuses:
            ids = [self._id("evidence"), self._id("refusal"), self._id("end")]
            return ids, [Code.GIVEN, Code.CHOICE, Code.EVIDENCE]
        ids, codes = [], []
        if ask.evidence is not None:
            words, marks = self._evidence(ask.evidence, sentences)
            ids += [self._id("evidence"), *words]
            codes += [Code.GIVEN, *marks]
        if ask.style is not None and ask.answer is not None:
            words = self._words(ask.answer)
            ids += [self.tokenizer.id_of(self.spec.styles[ask.style]), *words]
            codes += [Code.EVIDENCE if codes else Code.GIVEN, *[answer] * len(words)]
        return [*ids, self._id("end")], [*codes, answer if ask.answer else Code.EVIDENCE]

    def _evidence(self, evidence: str, sentences: list[str]) -> tuple[list[int], list[int]]:
        """Evidence; a token decides which sentence it is where others begin as it does so far."""
        text = stripped(evidence).strip()
        ids, ends = self.tokenizer.encode_with_ends(text)
        others = {other for other in sentences if other != evidence}
        codes = [Code.CHOICE]
        for end in ends[:-1]:
            others = {other for other in others if other.startswith(text[:end])}
            codes.append(Code.CHOICE if others else Code.EVIDENCE)
        return ids, codes

    def _words(self, text: str) -> list[int]:
        return self.tokenizer.encode(stripped(text).strip(), start=False)

    def _id(self, role: str) -> int:
        return self.tokenizer.id_of(self.spec.tokens[role])


def whole_passage(title: str, text: str) -> Passage:
    """A passage that is read whole or not at all."""
    found = tuple(Sentence(text[a:b], a, b, ()) for a, b in split_sentences(text))
    return Passage(Chunk("", "", title, "", "main", "", text, (), found), 0.0, 1, "training")


def _flags(opening: Prompt, passages: list[Passage], ask: Ask) -> dict[int, int]:
    """Places of the sentences' last tokens, and what is added to their codes; maybe none."""
    found: dict[int, int] = {}
    if ask.evidence is None and not ask.refuses:
        return found
    for passage, ends in zip(passages, opening.ends):
        for sentence, end in zip(passage.sentences, ends):
            if sentence.text == ask.evidence:
                found[end] = EVIDENT
            elif len(sentence.text.split()) in RANKED_WORDS:
                found.setdefault(end, SENTENCE)
    return found if ask.refuses or EVIDENT in found.values() else {}

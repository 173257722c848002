"""What a phrased answer says: the reader's words where they say what the evidence says, else its.

What the reader wrote is never taken on trust, and what is the paper's is marked as such.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from app.answer import support, trim
from app.answer.cite import quotation, split_answer, with_support
from app.answer.records import AnswerSentence, Evidence
from app.answer.wording import says_the_same, stands_in, unprefixed
from app.papers.records import Passage

LEAST_POINTS = 2  # of the reader's own; one alone says less than the evidence
# Shown with an answer that has a sentence of the paper's.
IN_ITS_WORDS = "in the paper's words, shortened: the reader's own did not say the same"

YES_NO = ("yes", "no", "maybe")


class Phraser(Protocol):
    """What is needed of a reader."""

    def phrase(
        self, reading: Any, evidence: str, style: str, *, held: bool = False
    ) -> Iterator[str]:
        """Pieces of an answer in that style, after the evidence; its own words in a row if held."""

    def phrase_likelihoods(
        self, reading: Any, evidence: str, style: str, texts: Sequence[str]
    ) -> list[float]:
        """How likely each text is as such an answer, over its length."""


def phrased(
    reader: Phraser,
    reading: Any,
    question: str,
    passages: Sequence[Passage],
    chosen: Sequence[Evidence],
    style: str,
) -> tuple[AnswerSentence, ...]:
    """The answer in a style, each sentence with what supports it; none where nothing was written.

    Args:
        reader: The local model.
        reading: The prompt of this question, read.
        question: As the reader was asked.
        passages: As retrieved.
        chosen: The evidence, best first; only bullet points use more than the first.
        style: `sentence`, `short` or `bullets`.
    """
    best = chosen[0]
    if style == "sentence":
        text, own = sentence(reader, reading, question, *_place(passages, best))
        if not own:
            return (quotation(best, text),)
        lines = split_answer(text, style)
    elif style == "short":
        lines = split_answer(short(reader, reading, best.sentence.text), style)
    else:
        lines = points(reader, reading, best.sentence.text)
        if not lines:
            return tuple(
                quotation(item, line)
                for item in chosen
                for line in trim.listed(trim.quotation(*_place(passages, item), question))
            )
    return tuple(with_support(line, passages) for line in lines)


def _place(passages: Sequence[Passage], evidence: Evidence) -> tuple[list[str], int]:
    """The sentences of the evidence's passage, and its index among them."""
    found = passages[evidence.source - 1].sentences
    return [each.text for each in found], found.index(evidence.sentence)


def sentence(
    reader: Phraser, reading: Any, question: str, sentences: Sequence[str], index: int
) -> tuple[str, bool]:
    """The likeliest of what the evidence says in its own words, in fewer, and in the reader's.

    Args:
        reader: The local model.
        reading: The prompt of this question, read.
        question: As the reader was asked.
        sentences: Of the passage that holds the evidence, in order.
        index: Of the evidence among them.

    Returns:
        The sentence, and whether it is the reader's.
    """
    evidence, whole = sentences[index], trim.quotation(sentences, index, question)
    written = unprefixed("".join(reader.phrase(reading, evidence, "sentence")).strip(), whole)
    forms = [written, *trim.shorter(whole)]
    texts = [whole, *(form for form in forms if says_the_same(form, whole, question))]
    if len(texts) == 1:
        return whole, False
    likely = reader.phrase_likelihoods(reading, evidence, "sentence", texts)
    best = texts[max(range(len(texts)), key=likely.__getitem__)]
    return best, best == written


def short(reader: Phraser, reading: Any, evidence: str) -> str:
    """Words that stand in the evidence in a row, or yes, no or maybe.

    Where the reader writes something else, it is asked again, held to the evidence's words.
    """
    written = "".join(reader.phrase(reading, evidence, "short")).strip()
    if support.word_for_word(written, evidence) or written.rstrip(".").lower() in YES_NO:
        return written
    return "".join(reader.phrase(reading, evidence, "short", held=True)).strip()


def points(reader: Phraser, reading: Any, evidence: str) -> list[str]:
    """Bullet points that stand in the evidence and mostly say something new, or none.

    None where fewer than LEAST_POINTS would be left.
    """
    kept, said = [], set()
    for line in split_answer("".join(reader.phrase(reading, evidence, "bullets")), "bullets"):
        keys = {word.key for word in support.words(line)}
        if stands_in(line, evidence) and 2 * len(keys - said) > len(keys):
            kept.append(line)
            said |= keys
    return kept if len(kept) >= LEAST_POINTS else []

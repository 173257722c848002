"""What a phrased answer says: the reader's words where they say what the evidence says, else its.

A sentence of the reader's is never taken on trust, and one of the paper's is marked as such.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from app.answer.trim import quotation, shorter
from app.answer.wording import says_the_same, unprefixed

# Shown with an answer that has such a sentence.
IN_ITS_WORDS = "in the paper's words, shortened: the reader's own did not say the same"


class Phraser(Protocol):
    """What is needed of a reader."""

    def phrase(self, reading: Any, evidence: str, style: str) -> Iterator[str]:
        """Pieces of an answer in that style, after the evidence."""

    def phrase_likelihoods(
        self, reading: Any, evidence: str, style: str, texts: Sequence[str]
    ) -> list[float]:
        """How likely each text is as such an answer, over its length."""


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence of an answer; `quoted` where its words are the paper's, with pieces left out."""

    text: str
    quoted: bool


def sentence(
    reader: Phraser, reading: Any, question: str, sentences: Sequence[str], index: int
) -> Said:
    """The likeliest of what the evidence says in its own words, in fewer, and in the reader's.

    Args:
        reader: The local model.
        reading: The prompt of this question, read.
        question: As the reader was asked.
        sentences: Of the passage that holds the evidence, in order.
        index: Of the evidence among them.
    """
    evidence, whole = sentences[index], quotation(sentences, index, question)
    written = unprefixed("".join(reader.phrase(reading, evidence, "sentence")).strip(), whole)
    forms = [written, *shorter(whole)]
    texts = [whole, *(form for form in forms if says_the_same(form, whole, question))]
    if len(texts) == 1:
        return Said(whole, quoted=True)
    likely = reader.phrase_likelihoods(reading, evidence, "sentence", texts)
    best = texts[max(range(len(texts)), key=likely.__getitem__)]
    return Said(best, quoted=best != written)

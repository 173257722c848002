"""Measures of answers as pure functions of strings; each has a test computed by hand.

The normalisation, and the F1 of words, are in `app.answer.agree`.
"""

from collections.abc import Sequence

from app.answer.agree import normalised


def exact_match(answer: str, golds: Sequence[str]) -> bool:
    """Whether the answer is one of the gold ones, after normalisation.

    One that begins with yes, no or maybe counts as that where it is asked for.
    """
    said, wanted = normalised(answer), {normalised(gold) for gold in golds}
    return said in wanted or said.partition(" ")[0] in wanted & {"yes", "no", "maybe"}


def holds_answer(text: str, golds: Sequence[str]) -> bool:
    """Whether one of the gold answers stands in the text, word for word after normalisation."""
    words = f" {normalised(text)} "
    return any(f" {inner} " in words for gold in golds if (inner := normalised(gold)))


def word_for_word(text: str, passages: Sequence[str]) -> bool:
    """Whether the text stands in one of the passages; only the width of blanks may differ."""
    wanted = " ".join(text.split())
    return bool(wanted) and any(wanted in " ".join(passage.split()) for passage in passages)


def citation_precision(cited: Sequence[int], right: Sequence[int]) -> float | None:
    """Share of the citations that name a passage which answers; None where nothing is cited."""
    return sum(number in right for number in cited) / len(cited) if cited else None

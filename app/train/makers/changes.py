"""Questions with one detail changed, so that the passages that answered them do so no more."""

import random
import re
from collections.abc import Sequence

from app.train.makers.language import WORD, content_words, is_stop, sentences
from app.train.makers.records import Ask, refusal
from app.train.read import Pair

_NUMBER = re.compile(r"\b\d{1,4}\b")
_NAME = re.compile(r"\b(?:[A-Z][\w\-]*|[a-z]+[A-Z]\w*)(?: (?:[A-Z][\w\-]*))*")
_PAIRS_OF_OPPOSITES = """
first last, largest smallest, highest lowest, increase decrease, increased decreased, before after,
more fewer, most least, higher lower, best worst, north south, east west, oldest newest, with
without, male female, early late, major minor, maximum minimum, positive negative, longest
shortest, upper lower, left right, inside outside, fastest slowest, won lost, advantage
disadvantage, better worse, larger smaller, longer shorter, northern southern, eastern western,
start end, began ended, strengths weaknesses, improve worsen, above below, include exclude,
included excluded, support oppose, supported opposed, allowed forbidden, early late, gain lose,
encoder decoder, input output, supervised unsupervised, training test, success failure
"""
OPPOSITES = {
    a: b
    for one, other in (pair.split() for pair in _PAIRS_OF_OPPOSITES.split(","))
    for a, b in ((one, other), (other, one))
}


def changed(pair: Pair, shown: Sequence[str], draw: random.Random) -> Ask | None:
    """The question with one detail changed so that nothing shown answers it: to refuse."""
    if not pair.answerable:
        return None
    for change in draw.sample(_CHANGES, len(_CHANGES)):
        if (asked := change(pair.question, shown, draw)) is not None:
            return refusal(asked, f"pair, {change.__name__.replace('_', ' ')}")
    return None


def other_number(question: str, shown: Sequence[str], draw: random.Random) -> str | None:
    """One of its numbers changed to one that no passage holds."""
    found = list(_NUMBER.finditer(question))
    if not found:
        return None
    match = draw.choice(found)
    number = str(int(match[0]) + draw.choice((-7, -3, 2, 5, 11)))
    if any(number in text for text in shown):
        return None
    return _replaced(question, match, number)


def other_name(question: str, shown: Sequence[str], draw: random.Random) -> str | None:
    """One of its names changed to another that is shown, of which the same is not said."""
    found = [m for m in _NAME.finditer(question) if m.start() and not is_stop(m[0])]
    if not found:
        return None
    match = draw.choice(found)
    names = {m[0] for text in shown for m in _NAME.finditer(text) if text[m.start() - 2] != "."}
    names = sorted(n for n in names if n not in question and not is_stop(n) and len(n) > 1)
    if not names:
        return None
    name = draw.choice(names)
    return _replaced(question, match, name) if _unsaid(question, match, name, shown) else None


def opposite(question: str, shown: Sequence[str], draw: random.Random) -> str | None:
    """One of its words turned into its opposite, of which the same is not said."""
    found = [m for m in WORD.finditer(question) if m[0].lower() in OPPOSITES]
    if not found:
        return None
    match = draw.choice(found)
    word = OPPOSITES[match[0].lower()]
    return _replaced(question, match, word) if _unsaid(question, match, word, shown) else None


_CHANGES = (other_number, other_name, opposite)


def _replaced(text: str, match: re.Match[str], word: str) -> str:
    return text[: match.start()] + word + text[match.end() :]


def _unsaid(question: str, match: re.Match[str], word: str, shown: Sequence[str]) -> bool:
    """Whether no sentence has the word beside a third or more of the question's other words."""
    others = set(content_words(_replaced(question, match, "")))
    new = word.lower()
    return not any(
        new in sentence.lower() and 3 * len(others & set(content_words(sentence))) >= len(others)
        for text in shown
        for sentence in sentences(text)
    )

"""Numbers for comparing answers: words in common, passages in common, what a gold answer asks for.

Pure functions of strings and sets; nothing here asks a model or knows a retriever.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Set

from app.answer import support

_WORD = re.compile(r"[^\W_]+")
_ARTICLES = frozenset({"a", "an", "the"})


def tokens(text: str) -> list[str]:
    """Words and numbers in small letters, after NFKC, without articles."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return [word for word in _WORD.findall(folded) if word not in _ARTICLES]


def token_f1(answer: str, gold: str) -> float:
    """Harmonic mean of the shares of words in common, from 0 to 1 (SQuAD's measure)."""
    given, wanted = Counter(tokens(answer)), Counter(tokens(gold))
    common = sum((given & wanted).values())
    return 2 * common / (given.total() + wanted.total()) if common else 0.0


def share_of_words(wanted: str, text: str) -> float:
    """Share of the different content words and numbers of one text that occur in another."""
    keys = {word.key for word in support.words(wanted)}
    there = {word.key for word in support.words(text)}
    return len(keys & there) / len(keys) if keys else 0.0


def common(left: Set[str], right: Set[str]) -> tuple[int, int]:
    """How many both have, and how many there are in all."""
    return len(left & right), len(left | right)

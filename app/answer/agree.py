"""Numbers for comparing answers: words in common, passages in common, what a gold answer asks for.

Pure functions of strings and sets; nothing here asks a model or knows a retriever. Words in common
are counted as SQuAD does: small letters, without marks, articles and extra blanks.
"""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence, Set

from app.answer import support

_ARTICLE = re.compile(r"\b(a|an|the)\b")
_MARKS = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> str:
    """NFKC, small letters, no marks, no articles, single blanks."""
    folded = unicodedata.normalize("NFKC", text).lower().translate(_MARKS)
    return " ".join(_ARTICLE.sub(" ", folded).split())


def token_f1(answer: str, golds: Sequence[str]) -> float:
    """F1 of the words in common with the gold answer that is nearest; 0 without one."""
    return max((_f1(answer, gold) for gold in golds), default=0.0)


def _f1(answer: str, gold: str) -> float:
    said, wanted = normalised(answer).split(), normalised(gold).split()
    if not said or not wanted:
        return float(said == wanted)
    shared = sum((Counter(said) & Counter(wanted)).values())
    return 2 * shared / (len(said) + len(wanted))


def share_of_words(wanted: str, text: str) -> float:
    """Share of the different content words and numbers of one text that occur in another."""
    keys = {word.key for word in support.words(wanted)}
    there = {word.key for word in support.words(text)}
    return len(keys & there) / len(keys) if keys else 0.0


def common(left: Set[str], right: Set[str]) -> tuple[int, int]:
    """How many both have, and how many there are in all."""
    return len(left & right), len(left | right)

"""The little that makers know of English: words, words without content, sentences."""

import re
from collections.abc import Iterable

from app.papers.sentences import split_sentences

WORD = re.compile(r"[^\W_](?:[\w'’\-]*[^\W_])?")
_STOP = """
a an the of in on at to for from by with and or but nor so yet as is are was were be been being
it its this that these those he she they him his them her their we us our you your i me my not
no than then there here which who whom whose what when where why how can could may might must
shall should will would do does did done has have had having also such into over under between
among about after before during through each other more most some any all both only same very
just if while because since until although though however thus hence therefore moreover
furthermore
"""
STOP = frozenset(_STOP.split())


def sentences(text: str, longest: int = 700) -> list[str]:
    """Sentences of a text of at most so many characters, as the reader sees them."""
    return [text[a:b] for a, b in split_sentences(text) if b - a <= longest]


def word_count(text: str) -> int:
    """Words between blanks."""
    return text.count(" ") + 1


def between(texts: Iterable[str], least: int, most: int) -> list[str]:
    """Those with so many words."""
    return [text for text in texts if least <= word_count(text) <= most]


def content_words(text: str) -> list[str]:
    """Words that carry content, in small letters, without a plural s, in order."""
    return [w.lower().rstrip("s") for w in WORD.findall(text) if len(w) > 1 and not is_stop(w)]


def is_stop(word: str) -> bool:
    """Whether a word has no content of its own."""
    return word.lower() in STOP


def capitalised(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]

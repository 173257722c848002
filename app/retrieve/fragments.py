"""Which sentences are fragments, no evidence: labels of a figure, headings, names.

Shapes of words only, so that it holds for any language with capitals; it drops nothing itself.
"""

import re

_END = re.compile(r"[.!?:;…,][)\]”\"’']*\d{0,3}$")
_SIGN = re.compile(r"[=<>≤≥←→∈∼≈∑∏∫]")
_WORD = re.compile(r"[^\W\d_]{2,}(?:[’'-][^\W\d_]+)*")
_NUMBER = re.compile(r"[(\[]?[-+−±]?\d[\d.,/%±+−-]*[%kKMB†‡*]?[)\]]?")
_MARKS = "()[]{}“”\"'‘’.,;:!?"
LEAST_SMALL = 0.5  # share of a sentence's tokens that are words in small letters


def is_fragment(text: str) -> bool:
    """Whether a text is no running sentence: no mark ends it and few of its words are small.

    In running text most words begin with a small letter; labels and headings begin theirs with
    capitals, or are numbers. A formula is none, nor is a row of a table: a name and its numbers.
    """
    tokens = text.split()
    if not tokens or _SIGN.search(text):
        return not tokens
    last = tokens[-1]
    if _NUMBER.fullmatch(last):
        return not any(_WORD.search(token) for token in tokens)
    if _END.search(last):
        return False
    words = [token.strip(_MARKS) for token in tokens]
    small = sum(bool(_WORD.fullmatch(word)) and word[0].islower() for word in words)
    return small < LEAST_SMALL * len(tokens)

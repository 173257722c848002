"""Marks that the extraction of text from PDFs leaves: split words, ligatures, stray numbers."""

import random
import re
from collections.abc import Callable

_LONG_WORD = re.compile(r"[a-z]{7,}")


def noisy(sentence: str, draw: random.Random) -> str:
    """The sentence with one kind of mark of extraction; at times there is no place for it."""
    return draw.choices(MARKS, (25, 20, 15, 15, 10))[0](sentence, draw)


def split_word(sentence: str, draw: random.Random) -> str:
    """A long word broken as at the end of a line."""
    words = list(_LONG_WORD.finditer(sentence))
    if not words:
        return sentence
    word = draw.choice(words)
    at = draw.randint(word.start() + 2, word.end() - 3)
    return sentence[:at] + draw.choice(("- ", "-", " ", "\u00ad")) + sentence[at:]


def ligatures(sentence: str, draw: random.Random) -> str:
    """Letters fi and fl as one sign."""
    return sentence.replace("fi", "\ufb01").replace("fl", "\ufb02")


def stray(sentence: str, draw: random.Random) -> str:
    """A citation, a line number or a footnote mark between two words."""
    words = sentence.split(" ")
    number = draw.randint(1, 90)
    mark = draw.choice((f"[{number}]", f"({number})", str(number), "†", f"Fig. {number % 9 + 1}"))
    words.insert(draw.randrange(len(words)), mark)
    return " ".join(words)


def joined_words(sentence: str, draw: random.Random) -> str:
    """Two words without the blank between them."""
    blanks = [i for i, c in enumerate(sentence) if c == " "]
    if not blanks:
        return sentence
    at = draw.choice(blanks)
    return sentence[:at] + sentence[at + 1 :]


def spaced_marks(sentence: str, draw: random.Random) -> str:
    """Blanks where there are none, and none where there are."""
    return sentence.replace(", ", " , ").replace(" (", "(")


MARKS: tuple[Callable[[str, random.Random], str], ...] = (
    split_word,
    ligatures,
    stray,
    joined_words,
    spaced_marks,
)

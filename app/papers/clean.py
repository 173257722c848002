"""Mending of what PDFs do to text: encodings, accents, hyphens, running heads, page numbers.

Works on lines with their place on the page; it never decides what a line is for.
"""

import re
import unicodedata
from collections import Counter
from typing import NamedTuple

# Codes of TeX's old text encoding (OT1) where a font's glyphs have no names that say so.
LIGATURES = {"\x0b": "ff", "\x0c": "fi", "\r": "fl", "\x0e": "ffi", "\x0f": "ffl"}
OT1_SIGNS = {"\x7f": "¨", "\x13": "´", "\x12": "ˋ", "\\": "“", '"': "”", "{": "–", "|": "—"}
ACCENTS = {"´": "\u0301", "ˋ": "\u0300", "¨": "\u0308", "^": "\u0302", "ˆ": "\u0302", "˜": "\u0303",
           "¯": "\u0304", "˘": "\u0306", "ˇ": "\u030c", "˚": "\u030a", "¸": "\u0327", "˙": "\u0307",
           "˝": "\u030b"}  # fmt: skip
PLAIN = {"´": "'", "ˋ": "`", "¨": '"', "ˆ": "^", "˜": "~", "¯": "-", "\u2010": "-", "\u2011": "-",
         "¸": ",", "˙": "", "˘": "", "˚": "°", "˝": '"', "\u2044": "/"}  # fmt: skip
UNREADABLE = "\ufffd"
STAMP = re.compile(r"^arXiv:\s?((?:\d{4}\.\d{4,5}|[a-z-]+(?:\.[A-Z]{2})?/\d{7})(?:v\d+)?)\b")
# The blank that a font change leaves before an accent: "J ¨urgen", "EVALUACI ´ON".
ACCENT_GAP = re.compile(
    r"(?:(?<=[A-Z])(?= [´ˋ¨ˆ˜] ?[A-Z])"
    r"|(?<=\b[B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z])(?= [´ˋ¨ˆ˜][a-zı])) "
)
# Words that English joins to others without a hyphen: "moreover", "understand", "within".
GLUED = frozenset(
    (
        "more",
        "over",
        "ever",
        "how",
        "where",
        "there",
        "under",
        "out",
        "with",
        "any",
        "every",
        "some",
    )
)
WORD = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*")
# Of a line read from its end: a search from its start would try every letter of a long run.
HALF_REVERSED = re.compile(r"-([^\W\d_]+(?:-[^\W\d_]+)*)")
LONGEST_HALF = 200  # characters; no word of any language is longer
LINE_START_HALF = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")


class Line(NamedTuple):
    """A line of a page: text, left edge and base line in points, type size, bold, turned."""

    text: str
    x: float
    y: float
    size: float
    bold: bool = False
    turned: bool = False


class FontFaults(NamedTuple):
    """What a file's fonts do to its text throughout."""

    slashes: bool
    ligatures: bool


def find_font_faults(text: str) -> FontFaults:
    """Look for glyph names that kept a slash, and for ligatures that came as control characters."""
    marks = len(re.findall(r"[0-9.,;:()]", text))
    slashed = len(re.findall(r"/[0-9.,;:()]", text))
    between = len(re.findall(r"[a-z]/?[\x0b-\x0f][a-z]", text))
    return FontFaults(slashes=marks > 200 and slashed * 2 > marks, ligatures=between >= 20)


NO_FAULTS = FontFaults(slashes=False, ligatures=False)


def mend_characters(text: str, faults: FontFaults = NO_FAULTS) -> str:
    """One line in plain Unicode (NFKC): no ligatures, control or private-use characters.

    A control character that stands for a sign of its own becomes U+FFFD: a sign was there and
    cannot be read. A letter and a separate accent are composed where Unicode has the letter.
    """
    if faults.slashes:
        text = text.replace("/BnZr", "-")  # dvips' name for the first sign of TeX's symbol font
        text = re.sub(r"/(?=[^\w\s]|[\d_\x00-\x1f])", "", text)
    if faults.ligatures:
        text = re.sub(
            r"(?<=[^\W\d_])[\x0b-\x0f]|[\x0b-\x0f](?=[^\W\d_])", lambda m: LIGATURES[m[0]], text
        )
        text = "".join(OT1_SIGNS.get(char, char) for char in text)
    text = compose_accents(text)
    text = "".join(PLAIN.get(char, char) for char in text)
    text = unicodedata.normalize("NFKC", text)
    text = "".join(map(_readable, text))
    return re.sub(r"[ \u2028\u2029]+", " ", text).strip()


def compose_accents(text: str) -> str:
    """Put spacing accents onto the letter after them: "detecci´on" becomes "detección"."""
    text = ACCENT_GAP.sub("", text)

    def compose(match: re.Match[str]) -> str:
        whole, start, end = match.string, match.start(), match.end()
        before, after = whole[max(0, start - 1) : start], whole[end : end + 2]
        if not before.isalpha() and not (len(after) == 2 and after.isalpha()):
            return match[0]  # a sign of a formula: the "~O" of complexity is no Portuguese
        letter = {"ı": "i", "ȷ": "j"}.get(match[2], match[2])
        composed = unicodedata.normalize("NFC", letter + ACCENTS[match[1]])
        return composed if len(composed) == 1 else match[0]

    return re.sub(r"([´ˋ¨ˆ˜¯˘ˇ˚¸˙˝]) ?([^\W\d_])", compose, text)


def _readable(char: str) -> str:
    category = unicodedata.category(char)
    if char in "\t\xa0" or category == "Zs":
        return " "
    if category == "Cc":
        return UNREADABLE
    if char == "\xad":
        return "-"
    return "" if category in ("Cf", "Co", "Cs", "Cn") else char


def line_end_half(text: str) -> str | None:
    """The first half of a word that is hyphenated at the end of `text`, without that hyphen."""
    found = HALF_REVERSED.match(text[: -LONGEST_HALF - 1 : -1])
    return found[1][::-1] if found else None


def vocabulary(lines: list[Line]) -> Counter[str]:
    """Lower-case words of the lines with their counts, without the halves around line ends."""
    counts: Counter[str] = Counter()
    after_hyphen = False
    for line in lines:
        text = line.text
        if after_hyphen:
            text = LINE_START_HALF.sub("", text, count=1) if text[:1].islower() else text
        half = line_end_half(text)
        after_hyphen = half is not None
        if half is not None:
            text = text[: -len(half) - 1]
        for word in WORD.findall(text.lower()):
            counts[word] += 1
            if "-" in word:
                counts.update(word.split("-"))
    return counts


def join_lines(before: str, after: str, words: Counter[str]) -> str:
    """Two consecutive lines as one text; a word hyphenated between them is made whole.

    The hyphen stays in true compounds: where the file writes the word with it more often than
    without, or writes both halves as words of their own and never the whole.
    """
    left, right = line_end_half(before), LINE_START_HALF.match(after)
    if not left or not right:
        glued = before.endswith("-") and not before.endswith(" -") and after[:1].isalnum()
        return before + after if glued else f"{before} {after}"
    if not after[0].islower():
        return before + after
    half, rest = left.lower(), right[0].lower()
    whole, compound = words[half + rest], words[f"{half}-{rest}"]
    halves = half.split("-")[-1], rest.split("-")[0]
    two_words = words[halves[0]] > 0 and words[halves[1]] > 0 and len(half) > 2
    keep = compound > whole or (not whole and two_words and not GLUED.intersection(halves))
    return before + after if keep else before[:-1] + after


class Furniture(NamedTuple):
    """What stood around the text: the id in arXiv's stamp, and printed numbers by physical page."""

    arxiv_id: str | None
    printed: dict[int, int]


def drop_page_furniture(pages: list[list[Line]]) -> tuple[list[list[Line]], Furniture]:
    """Pages without running heads, page numbers and the arXiv stamp; and what these told."""
    pages = [list(lines) for lines in pages]
    stamp = None
    for lines in pages[:2]:
        for i, line in enumerate(lines):
            if found := STAMP.match(line.text):
                stamp = stamp or found[1]
                del lines[i]
                break
    in_heads = _drop_repeated(pages)
    return pages, Furniture(stamp, _drop_numbers(pages) or _count_pages(in_heads))


def _drop_repeated(pages: list[list[Line]]) -> dict[int, set[int]]:
    """Take out lines that stand at the same place with the same words on a third of the pages.

    Gives the numbers in them by physical page.
    """

    def key(line: Line) -> tuple[str, int]:
        return re.sub(r"\d+", "#", line.text), round(line.y / 3)

    edges = [[*lines[:4], *lines[-4:]] for lines in pages]
    counts = Counter(k for lines in edges for k in {key(line) for line in lines})
    least = max(3, round(len(pages) * 0.35))
    heads = {k for k, n in counts.items() if n >= least and re.search(r"[^\W\d_]", k[0])}
    numbers: dict[int, set[int]] = {}
    for page, (lines, edge) in enumerate(zip(pages, edges), 1):
        drop = {line for line in edge if key(line) in heads}
        lines[:] = [line for line in lines if line not in drop]
        numbers[page] = {int(n) for line in drop for n in re.findall(r"\b\d{1,5}\b", line.text)}
    return numbers


def _count_pages(numbers: dict[int, set[int]]) -> dict[int, int]:
    """Of the numbers in running heads those that count the pages, by physical page."""
    counts = Counter(n - page for page, found in numbers.items() for n in found)
    constant, pages_with_it = counts.most_common(1)[0] if counts else (0, 0)
    if pages_with_it < max(3, 0.5 * len(numbers)):
        return {}
    return {page: page + constant for page, found in numbers.items() if page + constant in found}


def _drop_numbers(pages: list[list[Line]]) -> dict[int, int]:
    """Take out a lone number that is the page's own: its index plus one constant of the file.

    Gives the printed number by physical page; "2771" on page 2 is page 2 of the file, 771 printed.
    """

    def offsets(number: int, line: Line) -> set[int]:
        if not re.fullmatch(r"\d{1,6}", line.text):
            return set()
        own = str(number)
        readings = {line.text}
        if line.text.startswith(own) and len(line.text) > max(3, len(own)):
            readings.add(line.text[len(own) :])
        return {int(reading) - number for reading in readings}

    printed: dict[int, int] = {}
    for place in (-1, 0):
        found = {n: offsets(n, lines[place]) for n, lines in enumerate(pages, 1) if lines}
        counts = Counter(value for values in found.values() for value in values)
        constant, pages_with_it = counts.most_common(1)[0] if counts else (0, 0)
        if pages_with_it < max(2, 0.3 * len(pages)):
            continue
        for number in (n for n, values in found.items() if constant in values):
            lines = pages[number - 1]
            del lines[place]
            printed[number] = number + constant
            if lines and constant and lines[place].text == str(number):
                del lines[place]  # the other half of a doubled number
    return printed

"""Sentence ends in the text of papers: citations, abbreviations, initials, decimals, bullets.

Rules only, no data; it never changes a character.
"""

import re

# Abbreviations after which a sentence goes on, without the last dot.
ABBREVIATIONS = frozenset(
    (
        "al",
        "cf",
        "e.g",
        "i.e",
        "eg",
        "ie",
        "vs",
        "fig",
        "figs",
        "eq",
        "eqs",
        "eqn",
        "sec",
        "secs",
        "tab",
        "ref",
        "refs",
        "app",
        "ch",
        "chap",
        "vol",
        "no",
        "nos",
        "pp",
        "p",
        "ed",
        "eds",
        "proc",
        "conf",
        "trans",
        "int",
        "univ",
        "dept",
        "inc",
        "ltd",
        "co",
        "corp",
        "dr",
        "prof",
        "mr",
        "mrs",
        "ms",
        "st",
        "approx",
        "resp",
        "viz",
        "etc",
        "ca",
        "w.r.t",
        "i.i.d",
        "s.t",
        "a.k.a",
        "thm",
        "prop",
        "def",
        "lem",
        "cor",
        "alg",
        "ex",
        "jan",
        "feb",
        "mar",
        "apr",
        "jun",
        "jul",
        "aug",
        "sep",
        "sept",
        "oct",
        "nov",
        "dec",
        "u.s",
        "u.k",
        "ph.d",
        "m.s",
        "b.s",
        "jr",
        "sr",
        "wrt",
        "aka",
    )
)
# Of these a sentence may well end, where a capital letter follows.
MAY_END = frozenset(("al", "etc", "no", "co", "inc", "ltd", "corp", "jr", "sr"))
# After these words a single capital is a name of a part, not an initial: "in Appendix A. We".
LETTERED = frozenset(
    (
        "appendix",
        "section",
        "table",
        "figure",
        "part",
        "type",
        "case",
        "class",
        "group",
        "panel",
        "sentence",
        "set",
        "task",
        "model",
        "state",
        "stage",
        "option",
        "matrix",
        "layer",
        "experiment",
    )
)
# A footnote's number may follow the full stop: "the library.1 Because".
CANDIDATE = re.compile(
    r"[.!?…][\"'”’)\]]*(?=\s)|(?<=[a-z)\]])[.!?][\"'”’)]*\d{1,2}(?=\s+[A-Z“])|\n"
)
NEXT_START = re.compile(r"\s*[\"'“‘(\[]*([^\s\"'“‘(\[])")
# A small letter begins a sentence in names like "xLSTM", Greek signs, and "(ii)" of a list.
SMALL_START = re.compile(r"\s*(?:\((?:[ivx]{1,4}|[a-z])\)\s|[a-z]{1,2}[A-Z]|[α-ωϕ]\s)")
EQUATION_NUMBER = re.compile(r"\s*\([A-Z]?\.?\d{1,3}(?:\.\d{1,3})?\w?\)\s*$")
LIST_NUMBER = re.compile(r"[:;.]\s+\(?\d{1,2}$")
NUMBERED = re.compile(r"(?:^|\s)\(?(?:\d{1,2}(?:\.\d{1,2})*|[IVX]{1,4}|[A-Z])$")


def split_sentences(text: str) -> list[tuple[int, int]]:
    """Start and end of each sentence of `text`, without the white space between them.

    A line break always ends one: the cleaned text has none inside a paragraph.
    """
    spans, start = [], 0
    for match in CANDIDATE.finditer(text):
        if match[0] == "\n" or _ends_sentence(text, start, match):
            spans.append((start, match.end()))
            start = match.end()
    spans.append((start, len(text)))
    return [trimmed for span in spans if (trimmed := _trim(text, *span))]


def _trim(text: str, start: int, end: int) -> tuple[int, int] | None:
    inner = text[start:end]
    body = inner.strip()
    if not body:
        return None
    start += len(inner) - len(inner.lstrip())
    return start, start + len(body)


def _ends_sentence(text: str, start: int, match: re.Match[str]) -> bool:
    following = NEXT_START.match(text, match.end())
    if not following:
        return True
    first = following[1]
    if first in ",;:)]–-=<>≤≥" or EQUATION_NUMBER.match(text, match.end()):
        return False
    if first.islower() and not SMALL_START.match(text, match.end()):
        return False
    # An unclosed bracket farther back is a fault of the text.
    near = text[max(start, match.start() - 160) : match.start()]
    if near.count("(") > near.count(")") + match[0].count(")"):
        return False
    if match[0][0] != ".":
        return True
    return _dot_ends_sentence(near, first)


def _dot_ends_sentence(sentence: str, first: str) -> bool:
    """Whether a dot after `sentence` ends it, where the next word starts with `first`."""
    word = re.split(r"[\s(\[“\"]", sentence)[-1]
    lower = word.lower()
    if lower in ABBREVIATIONS:
        return lower in MAY_END and first.isupper()
    if len(word) == 1 and word.isupper():  # an initial, or the name of a part
        return any(name in LETTERED for name in sentence.lower().split()[-2:-1])
    if re.fullmatch(r"(?:[A-Z]\.-?)+[A-Z]", word):
        return False  # initials: "J.-P"
    if LIST_NUMBER.search(sentence):
        return False  # "...: 1. The first"
    alone = sentence.strip()
    # "2.", "3.1." or "A." alone before a heading or in front of an item of a list
    return not NUMBERED.fullmatch(alone) if len(alone) <= 8 else True

"""An evidence sentence as an answer: with what it leans on, without what points elsewhere.

It leaves words out and joins neighbours; it never adds a word and never changes their order.
"""

import re
from collections.abc import Sequence

from app.retrieve.fragments import is_fragment

MOST_WORDS = 70  # of a sentence with its neighbour
LEAST_WORDS = 6  # of a shorter form


def any_of(*patterns: str, before: str = r"\b", after: str = r"\b") -> re.Pattern[str]:
    """One of several patterns, without regard to capitals."""
    return re.compile(f"{before}(?:{'|'.join(patterns)}){after}", re.IGNORECASE)


_ITEM = re.compile(  # a sign of a list: "•", "(ii)", "3."
    r"^\s*(?:[•▪◦‣·*\ufffd]\s*|\(?(?:[ivx]{1,4}|[a-h]|\d{1,2})\)\s+|\d{1,2}\.\s+(?=[A-Z]))+"
)
_NUMBER = re.compile(r"\((?:[ivx]{1,4}|[a-h]|\d{1,2})\)\s")
_LAST = re.compile(r"[,;]?\s+(?:and|or)$|^(?:and|or)\s+")
_YEAR = r"(?:19|20)\d\d[a-z]?"
_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_SEE = r"(?:see |e\.g\.,? |cf\.? |also )*"
_REFERENCES = (
    # "[12, 13]", but no interval, and not where a word before it needs it: "as in [12]"
    re.compile(
        r"(?<!\bin)(?<!\bby)(?<!\bfrom)(?<!\bof)(?<!\bwith)(?<!\bsee)(?<!\brange)(?<!\binterval)"
        r"(?:(?<=[.,;)”\"'’])|(?<=[a-z]{3})|(?<=\w)(?=\s))\s?"
        r"\[[1-9]\d{0,2}(?:\s*[,;–-]\s*[1-9]\d{0,2})*\](?=[\s.,;:)]|$)"
    ),
    # "(Gu & Dao, 2023; Smith 2020)", "(2023)" behind a name
    re.compile(
        rf"\s*\({_SEE}(?!{_MONTH})[A-ZÀ-Ý][^()\d]*(?:,|\bal\.?,?|\s)\s*{_YEAR}(?:\s*[,;][^()]*)?\)"
    ),
    re.compile(rf"(?<=[\w.])\s*\({_YEAR}(?:\s*[,;]\s*{_YEAR})*\)"),
    # "(see left panel of Figure 2)"
    re.compile(
        rf"\s*[(\[]{_SEE}(?:\w+ (?:panel|column|row)s? (?:of|in) )?(?:Figs?\b|Figures?\b|Tables?\b|"
        r"Tab\.|Sections?\b|Secs?\.|§|Appendi|Eqs?\b|Equations?\b|Algorithms?\b|Alg\.|Supplement|"
        r"Chapter)[^()\[\]]*[)\]]"
    ),
)
# Ties to the text before, and who says it where.
_TIE = any_of(
    "however", "therefore", "nevertheless", "nonetheless", "furthermore", "moreover",
    "additionally", "in addition", "besides", "further", "finally", "lastly", "first(?:ly)?",
    "second(?:ly)?", "third(?:ly)?", "fourth(?:ly)?", "next", "then", "thus", "hence",
    "consequently", "accordingly", "still", "interestingly", "notably", "remarkably",
    "importantly", "unexpectedly", "surprisingly", "in particular", "in fact", "indeed",
    "specifically", "concretely", "for (?:example|instance)", "in other words", "that is",
    "as a (?:result|consequence)", "on the (?:one|other) hand", "(?:by|in) contrast",
    "conversely", "similarly", "likewise", "also", "again", "meanwhile", "instead", "overall",
    "in summary", "to summarize", "in short", "here", "note",
    "in (?:this|our) (?:work|paper|study|section|experiment|article)",
    before="^", after=r",\s+",
)  # fmt: skip
_AND = re.compile(r"^(?:However|But|And|Yet|So)\s+(?!far\b|called\b)(?=[a-z])")
_SAID = any_of(
    r"(?:as|like) (?:shown|noted|seen|illustrated|depicted|described|discussed|reported|mentioned|"
    r"indicated|detailed|can be seen|we (?:show|see))\b[^,]{0,40},",
    r"(?:note(?: also)?|recall|observe|it (?:should|can|must) be noted) that,?",
    r"we (?:also |further |then )?(?:show|showed|find|found|observed?|note|see|demonstrated?)"
    r"(?: (?:in|by) [^,]{0,30},?)? that,?",
    before="^", after=r"\s+",
)  # fmt: skip
_FOLLOWS = any_of(
    "therefore", "thus", "hence", "consequently", "accordingly", "so", "for this reason",
    "as a (?:result|consequence)",
    "(?:to (?:avoid|address|mitigate|overcome|solve|handle|remedy)|because of|due to) "
    "(?:this|these|that|it)",
    before="^",
)  # fmt: skip
WHY = any_of("why", "reasons?", "what (?:makes|causes|motivates)")
# After a comma, before what adds to a sentence that could end there.
ADDS = (
    "which", "where", "who", "so", "as", "since", "because", "although", "though", r"\w+ing",
    "especially", "including", "see", "and (?:therefore|thus|hence)",
)  # fmt: skip
_MAY_END = any_of(*ADDS, before=r"(?:,|;|\s–|\s—)\s+(?=(?:", after=r")\b)")
_BEGINS_AMISS = any_of("and", "or", "but", "so", "because", "which", "who", "where", before="^")
_END = re.compile(r"[.!?][)\]”\"’']*$")
_FOOTNOTE = re.compile(r"(?<=[a-z)\]][.!?])\d{1,2}$")
_FORMULA = re.compile(r"[=≈≤≥∼←∈]")
_EQUATION_NUMBER = re.compile(r"\s*[.,]?\s*\([A-Z]?\.?\d{1,3}(?:\.\d{1,3})?[a-z]?\)\s*$")


def plain(sentence: str) -> str:
    """A sentence without list signs, references, and what ties it to the text around it.

    Citations, pointers to figures, tables and sections, "However,", "In this work,", "We show
    that" go; numbers, names and everything that is claimed stay.
    """
    text, before = _without_references(sentence), ""
    while before != text:
        before = text
        for pattern in (_TIE, _AND, _SAID):
            text = pattern.sub("", text.strip())
    return _finished(_capital(text))


def quotation(sentences: Sequence[str], index: int, question: str) -> str:
    """A sentence of a passage, with the neighbour that it needs, as it can stand alone.

    Where the question asks why, the sentence before belongs to one that begins with "Therefore" or
    "To avoid this"; an equation belongs to the sentence that it broke off, and to one that ends in
    a colon the items "(i)", "(ii)" after it, of each its first sentence.

    Args:
        sentences: Of the passage, in order.
        index: Of the sentence.
        question: As asked.
    """
    sentence, before = sentences[index], sentences[index - 1] if index else ""
    after = sentences[index + 1] if index + 1 < len(sentences) else ""
    broken = not _END.search(sentence) and not sentence.rstrip().endswith((":", ";"))
    if broken and _FORMULA.search(after) and _fit(sentence, after):
        return plain(f"{sentence} {_EQUATION_NUMBER.sub('', after)}")
    if sentence.rstrip().endswith(":") and (listed := _items(sentence, sentences[index + 1 :])):
        return plain(f"{sentence} {listed}")
    text = _without_references(sentence)
    if WHY.search(question) and _FOLLOWS.match(text) and _runs(before) and _fit(sentence, before):
        return f"{plain(before)} {_finished(text)}"
    return plain(sentence)


def listed(sentence: str) -> list[str]:
    """The items of a sentence that numbers them, or lists them behind a colon; else the sentence.

    "(i) ... and (ii) ...", or "...: ...; ...; ...".
    """
    marks = list(_NUMBER.finditer(sentence))
    if len(marks) > 1 and marks[0][0].strip() in ("(i)", "(1)", "(a)"):
        ends = [*(mark.start() for mark in marks[1:]), len(sentence)]
        items = [sentence[mark.end() : end] for mark, end in zip(marks, ends)]
    else:
        items = sentence.partition(": ")[2].split("; ")
    items = [_LAST.sub("", item.strip()).rstrip(" ,;.") for item in items]
    whole = len(items) > 1 and all(len(item.split()) > 1 for item in items)
    return [_finished(_capital(item)) for item in items] if whole else [sentence]


def shorter(sentence: str) -> list[str]:
    """Forms of a sentence without what stands before a comma, or after one; some make no sense."""
    body = sentence.rstrip().rstrip(".")
    starts = [0, *(found.end() for found in re.finditer(r",\s+", body))][:3]
    ends = [len(body), *(found.start() for found in _MAY_END.finditer(body))]
    pieces = [body[a:b].strip() for a in starts for b in ends if a < b]
    made = [
        _finished(_capital(piece))
        for piece in pieces
        if len(piece.split()) >= LEAST_WORDS and not _BEGINS_AMISS.match(piece)
    ]
    return [form for form in dict.fromkeys(made) if form != sentence]


def _items(sentence: str, after: Sequence[str]) -> str:
    """The numbered items that follow a sentence, as many as fit; empty where the first is none."""
    if not after or not _NUMBER.match(after[0]):
        return ""
    found: list[str] = []
    for text in after:
        if _NUMBER.match(text) and _fit(sentence, *found, text):
            found.append(text)
    return " ".join(found)


def _without_references(sentence: str) -> str:
    text = _ITEM.sub("", sentence)
    for pattern in _REFERENCES:
        text = pattern.sub("", text)
    return re.sub(r"\s+(?=[,.;:)!?](?:\s|$))", "", " ".join(text.split()))


def _capital(text: str) -> str:
    """A capital at the start, but for names such as xLSTM and for signs such as x."""
    first = re.match(r"[a-z]+(?![^\W\d_]*[A-Z])\b", text)
    return text[:1].upper() + text[1:] if first and (first[0] == "a" or first.end() > 1) else text


def _finished(text: str) -> str:
    text = re.sub(r"(?<=[a-z])\.\.$", ".", _FOOTNOTE.sub("", text).rstrip(" ,;:–—"))
    return text if not text or _END.search(text) else f"{text}."


def _runs(text: str) -> bool:
    return _END.search(text) is not None and len(text.split()) >= 5 and not is_fragment(text)


def _fit(*texts: str) -> bool:
    return sum(len(text.split()) for text in texts) <= MOST_WORDS

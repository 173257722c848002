"""Whether a written sentence says what its evidence says, and nothing else.

A small model puts the right words in a wrong order. What it wrote is taken only where it is the
evidence with pieces left out that can be spared. Words and marks only; no model is asked.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from app.answer import support
from app.answer.support import Word
from app.answer.trim import ADDS, WHY, any_of

_FINISHED = re.compile(r"[.!?][)\]”\"’']*$")
_YES_NO = re.compile(r"^\s*(yes|no)\b[,.:;\s]*", re.IGNORECASE)
_CUT = any_of("because", "which", "whereas", "so", "and", "or", "but", before="^")
_BRACKETS = (("(", ")"), ("[", "]"), ("“", "”"))

# What a question asks for, where an answer without it is none.
_NUMBER = any_of(
    r"how (?:many|much|often|long|large|big|far|fast|deep|wide|high|accurate|good|well)",
    r"(?:by|to|at) (?:what|which|how)",
    r"what (?:\w+ ){0,2}(?:numbers?|share|percentage|fraction|factor|sizes?|rates?|accuracy|scores?"
    r"|perplexit\w+|costs?|speed-?up)",
)
# These ask for two things.
_TWO = any_of(
    "(?:and|or) (?:why|how|what|which|who|where|when|does|do|did|is|are|was|were|by|on|from|for)",
    r"differ\w*", r"compar\w*", "versus", "than", "better", "worse", "improvements?", "advantages?",
)  # fmt: skip
# What may follow the end of a shortened sentence: it adds to what was said.
_ADDS = any_of(
    *ADDS, "e\\.g", "i\\.e", "both", "with", "for", "in", before=r"^[”\"’'\s]*[,;:–—]\s*"
)
# How a part begins that says when, where or how, before a comma.
_ADVERBIAL = any_of(
    "in", "on", "at", "for", "with", "when", "as", "if", "since", "although", "though", "while",
    "despite", "after", "before", "by", "under", "through", "to", "from", "during", "given",
    "because", "further", r"\w+ly", "note", "here", "then", "also", "so", "and", "but", "hence",
    "thus", "therefore", "however", "still", "moreover", "furthermore", "first", "second", "next",
    before=r"^\W*",
)  # fmt: skip
_CONDITION = any_of("if", "when", "unless", "once", "provided", "as long as", before=r"^\W*")
_SHOWS = re.compile(
    r"(?:\bwe|[,;]|\band|^[\w\s.()&]{0,60})\s*(?:\w+\s){0,2}"
    r"(?:show|find|found|demonstrat|observ|not|stat|conclud|report|indicat|prov|discover)\w*"
    r"\s+that\W+(?:\w+\W+)?$",
    re.IGNORECASE,
)
_WE = re.compile(r"(?:^|[,;:]|\band)\s*(?:we|authors)\s+(?:\w+\s+){1,3}$", re.IGNORECASE)
_THAT = any_of("that", "which")  # after "we use a gate", its verb becomes that of the sentence
_BECAUSE = any_of("because", "since", "as", "due to", "so that", after=r"\W+(?:\w{1,4}\W+)?$")
_REASON = any_of("because", "since", "as", "due to", "so", "so that", "therefore", "thus", "hence",
               "in order to", "^to", "for", "which", "by")  # fmt: skip
# Without these the sense is another.
_TURNING = any_of(
    "contrast", "contrary", "unlike", "except", "instead", "rather", r"fail\w*", r"lack\w*",
    "rarely", "hardly", "barely", "seldom", "only", "without", "less", "least", "fewer", "neither",
    "nor", "not", "no", "never", "cannot", r"avoid\w*", r"prevent\w*", r"almost", r"about",
    r"around", "roughly", "nearly", "up to",
)  # fmt: skip
_DOUBT = any_of("may", "might", "could", "would", "possibly", "perhaps", "probably", r"likely",
              r"hypothesi\w+", r"believe\w*", r"suspect\w*", r"suspicion", r"assum\w+",
              r"suggest\w*", r"seems?", r"appears?")  # fmt: skip
# These relate two parts of a sentence, and are not to be made up.
_RELATES = any_of("because", "since", "so", "therefore", "thus", "hence", "while", "whereas", "but",
                "although", "though", "however", "unless", "or", "than", "before", "after",
                "without", "instead", "only", "not")  # fmt: skip
_FOLLOWS = frozenset(("so", "therefore", "thus", "hence", "since", "because", "as"))
_LETTERS = re.compile(r"[^\W\d_]+")


def unprefixed(written: str, evidence: str) -> str:
    """The sentence without a first "Yes" or "No", for which the evidence has no word.

    A "No" stays where the evidence negates too.
    """
    found = _YES_NO.match(written)
    if not found or (found[1].lower() == "no" and support.negates(evidence)):
        return written
    rest = written[found.end() :]
    return rest[:1].upper() + rest[1:]


def says_the_same(written: str, evidence: str, question: str) -> bool:
    """Whether a written sentence is its evidence with pieces left out that can be spared.

    Its content words stand in the evidence in the same order; before the first of them there may be
    words of the question. Left out may be: what stands in brackets or between commas, one or two
    words before a noun, an adverbial or "we show that" at the start, what a comma and a connective
    add at the end. Never: a number or a reason that is asked for, a word of the question that is
    not said elsewhere, a condition, a doubt, a word that turns the sense.
    """
    return not why_not(written, evidence, question)


def stands_in(written: str, evidence: str) -> bool:
    """Whether all content words of a text stand in the evidence in the same order, none denied."""
    pair = _Pair.of(written, evidence, "")
    held = sum(size for _, _, size in pair.blocks)
    return 0 < len(pair.ours) == held and not support.denied(written, evidence)


def why_not(written: str, evidence: str, question: str) -> str:
    """The first reason against `says_the_same`; empty where there is none."""
    body = _YES_NO.sub("", written).strip()
    amiss = _CUT.match(body) and not _CUT.match(evidence)
    if amiss or not _FINISHED.search(body) or not _balanced(body, evidence):
        return "broken off"
    pair = _Pair.of(body, evidence, question)
    if not pair.blocks:
        return "no word of the evidence"
    return (
        pair.added() or pair.misses() or pair.turned() or pair.head() or pair.gaps() or pair.tail()
    )


def _balanced(body: str, evidence: str) -> bool:
    return all(
        body.count(a) == body.count(b) or evidence.count(a) != evidence.count(b)
        for a, b in _BRACKETS
    )


@dataclass(frozen=True, slots=True)
class _Pair:
    """A sentence and its evidence: texts, content words, and the runs that both have in order.

    A block is (first word in `ours`, first word in `theirs`, how many words).
    """

    body: str
    evidence: str
    question: str
    ours: Sequence[Word]
    theirs: Sequence[Word]
    blocks: Sequence[tuple[int, int, int]]
    asked: frozenset[str]

    @classmethod
    def of(cls, body: str, evidence: str, question: str) -> "_Pair":
        ours, theirs = support.words(body), support.words(evidence)
        keys = [word.key for word in ours], [word.key for word in theirs]
        found = SequenceMatcher(None, *keys, autojunk=False).get_matching_blocks()
        blocks = [(block.a, block.b, block.size) for block in found if block.size]
        asked = frozenset(word.key for word in support.words(question))
        return cls(body, evidence, question, ours, theirs, blocks, asked)

    @property
    def kept(self) -> list[Word]:
        """The words of the evidence that are said."""
        return [word for _, a, size in self.blocks for word in self.theirs[a : a + size]]

    def added(self) -> str:
        """A word that is not the evidence's, nor the question's before the evidence begins."""
        matched = {i for start, _, size in self.blocks for i in range(start, start + size)}
        said = {self.ours[i].key for i in matched}
        first = min((i for i in matched if self.ours[i].key not in self.asked), default=0)
        for i, word in enumerate(self.ours):
            if i not in matched and (word.key not in self.asked - said or i > first):
                return f"added: {word.key}"
        return "" if said - self.asked else "the question again"

    def misses(self) -> str:
        """Something that the question asks for and that the evidence has."""
        said = {word.key for word in self.kept}
        for word in self.theirs[self.blocks[0][1] :]:
            if word.key in self.asked and word.key not in said:
                return f"left out of the question: {word.key}"
        numbers = {word.key for word in self.theirs if word.is_number}
        if _NUMBER.search(self.question) and not numbers <= said:
            return "a number is left out"
        return ""

    def turned(self) -> str:
        """A negation, a relation or a doubt that only one side has."""
        if support.denied(self.body, self.evidence):
            return "negated on one side"
        there = {word.lower() for word in _LETTERS.findall(self.evidence)}
        for found in _RELATES.finditer(self.body):
            word = found[0].lower()
            if word not in there and not (word in _FOLLOWS and there & _FOLLOWS):
                return f"related by: {word}"
        inner = self.evidence[self.kept[0].start : self.kept[-1].end]
        here = {word.lower() for word in _LETTERS.findall(self.body)}
        for found in _DOUBT.finditer(inner):
            if found[0].lower() not in here:
                return f"a doubt is left out: {found[0]}"
        return ""

    def head(self) -> str:
        """What is left out before the first word that is said, where it cannot be spared."""
        first = self.blocks[0][1]
        text = self.evidence[: self.theirs[first].start]
        keys = {word.key for word in self.theirs[:first]}
        if _TWO.search(self.question) and not keys <= self.asked and not _SHOWS.search(text):
            return f"one of two things is left out: {text}"
        if WHY.search(self.question):
            if _BECAUSE.search(text):
                return ""
            if _REASON.search(text):
                return f"a reason is left out: {text}"
        if _TURNING.search(text) or _DOUBT.search(text):
            return f"left out at the start: {text}"
        if keys <= self.asked | {"since", "although"} or _SHOWS.search(text):
            return ""
        verbs = len(_THAT.findall(self.evidence)) > len(_THAT.findall(self.body))
        if _WE.search(text) and verbs:
            return ""
        rest = {word.key for word in support.words(text[max(map(text.rfind, ",:")) + 1 :])}
        adverbial = _ADVERBIAL.match(text) and max(map(text.rfind, ",:")) > 0
        free = not _CONDITION.match(text) or keys & self.asked
        return "" if adverbial and free and rest <= self.asked else f"left out at the start: {text}"

    def gaps(self) -> str:
        """What is left out between two words that are said, where it cannot be spared."""
        for (i, a, size), (j, b, _) in zip(self.blocks, self.blocks[1:]):
            gap = self.evidence[self.theirs[a + size - 1].end : self.theirs[b].start]
            kept = self.body[self.ours[i + size - 1].end : self.ours[j].start]
            if b == a + size and len(_TURNING.findall(gap)) > len(_TURNING.findall(kept)):
                return f"left out: {gap}"
            if b > a + size and not _spared(gap, kept, b - a - size):
                return f"left out: {gap}"
        return ""

    def tail(self) -> str:
        """What is left out after the last word that is said, where it cannot be spared."""
        last = self.blocks[-1][1] + self.blocks[-1][2]
        text = re.sub(r"^\w+", "", self.evidence[self.theirs[last - 1].end :])  # the x of 10x
        text = re.sub(r"^[”\"’'\s]*\([^()]*\)", "", text)
        if not support.words(text):
            return ""
        start = self.evidence[: self.theirs[self.blocks[0][1]].start]
        if WHY.search(self.question) and _BECAUSE.search(start) and text.startswith(","):
            return ""  # it was the reason of that
        reason = WHY.search(self.question) and _REASON.search(text)
        if reason or _TWO.search(self.question) or _DOUBT.search(text):
            return f"asked for and left out: {text}"
        return "" if _ADDS.match(text) else f"left out at the end: {text}"


def _spared(gap: str, kept: str, words: int) -> bool:
    """Whether so many words between two that are said can be left out; `kept` is what stays."""
    inner = gap.strip(" ”\"’'")
    if _TURNING.search(gap) and not inner.startswith(("(", "[")):
        return False
    if inner.startswith(("(", "[")) and ")" in inner.replace("]", ")"):
        after = re.split(r"[)\]]", inner)[-1]
        return not support.words(after)
    if inner[:1] in tuple(",;:–—") and inner[-1:] in tuple(",;:–—"):
        return True
    plain = re.fullmatch(r"[\s\w-]*", gap) is not None
    return words <= 2 and plain and _small(gap) <= _small(kept)


def _small(text: str) -> set[str]:
    """The function words of a piece of text."""
    content = {(word.start, word.end) for word in support.words(text)}
    return {m[0].lower() for m in _LETTERS.finditer(text) if m.span() not in content}

"""Asks whose answer is a span: one that recurs, an abbreviation, a number, a statement changed."""

import random
import re
from collections import defaultdict
from collections.abc import Sequence

from app.train.makers.language import WORD, between, content_words, is_stop
from app.train.makers.records import Ask, refusal

BLANK = "____"
_REACH = 14  # sentences among which a recurring span is looked for
_LONG_FORM = re.compile(
    r"((?:[A-Za-z][\w\-]*[ \-]){1,6}[A-Za-z][\w\-]*) \(([A-Z][A-Za-z]?[A-Z]+)s?\)"
)
_COUNT = re.compile(r"\b(\d[\d,.]*\d|\d+)\s+([a-z][a-z\-]+(?: [a-z\-]+)?)")
_WHOLE = re.compile(r"\b\d+\b")


def recurring_span(sentences: Sequence[str], draw: random.Random) -> tuple[list[str], Ask] | None:
    """Blank a span that stands in two sentences or more; that sentence becomes the question.

    Returns:
        The other sentences, and the ask: mostly with the sentence as evidence that shares most
        with the question; rarely all sentences with the span go, and the ask refuses.
    """
    start = draw.randrange(max(1, len(sentences) - _REACH + 1))
    found = _recurring(sentences[start : start + _REACH])
    if not found:
        return None
    span, places = draw.choices(found, [_worth(span) for span, _ in found])[0]
    number, at = draw.choice(places)
    number += start
    sentence = sentences[number]
    rest = [*sentences[:number], *sentences[number + 1 :]]
    holders = [other for other in rest if span in other and other != sentence]
    if not holders or len(sentence.split()) < 6:
        return None
    question = sentence[:at] + BLANK + sentence[at + len(span) :]
    without = [other for other in rest if span.lower() not in other.lower()]
    if draw.random() < 0.06 and len(without) >= 3:
        return without, refusal(question, "recurring span, none")
    asked = set(content_words(question))
    best = max(holders, key=lambda other: len(asked & set(content_words(other))))
    evidence = best if draw.random() < 0.75 and len(best.split()) <= 70 else None
    return rest, Ask(question, "recurring span", evidence=evidence, style="short", answer=span)


def _recurring(sentences: Sequence[str]) -> list[tuple[str, list[tuple[int, int]]]]:
    """Spans of one to five words in two to five places, with (sentence, character) of each."""
    places: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for number, sentence in enumerate(sentences):
        words = list(WORD.finditer(sentence))
        begins = [_loose(sentence, w.start() - 1) and not is_stop(w[0]) for w in words]
        ends = [_loose(sentence, w.end()) and not is_stop(w[0]) for w in words]
        for first in range(len(words)):
            for last in range(first, min(first + 5, len(words))):
                if begins[first] and ends[last] and (last > first or len(words[first][0]) > 3):
                    span = sentence[words[first].start() : words[last].end()]
                    places[span].append((number, words[first].start()))
    return [(s, p) for s, p in places.items() if len(p) <= 5 and len({n for n, _ in p}) > 1]


def _loose(sentence: str, at: int) -> bool:
    """Whether the character at a word's edge does not tie it to more: 2.0, 1/2, C++ are whole."""
    if not 0 <= at < len(sentence) - 1:
        return True
    return sentence[at] in ' ()[]"“”;:?!' or (sentence[at] in ",." and sentence[at + 1] == " ")


def _worth(span: str) -> float:
    """Longer spans, names and numbers are asked for more often."""
    marked = any(c.isupper() or c.isdigit() for c in span)
    return len(span.split()) ** 1.5 * (2 if marked else 1)


def acronym(sentences: Sequence[str], draw: random.Random) -> Ask | None:
    """What an abbreviation stands for, or how a term is abbreviated, where a sentence says so."""
    found = []
    for sentence in between(sentences, 1, 60):
        for match in _LONG_FORM.finditer(sentence):
            if long_form := _long_form(match[1], match[2]):
                found.append((sentence, long_form, match[2]))
    if not found:
        return None
    sentence, long_form, short = draw.choice(found)
    if draw.random() < 0.75:
        form = draw.choice(("What does {} stand for?", "What is {} short for?", "{} meaning"))
        asked, answer = form.format(short), long_form
    else:
        form = draw.choice(("What is the abbreviation of {}?", "How is {} abbreviated?"))
        asked, answer = form.format(long_form), short
    return Ask(asked, "acronym", evidence=sentence, style="short", answer=answer)


def _long_form(before: str, short: str) -> str | None:
    """The last words of `before` whose initials are the capitals of `short`."""
    capitals = [c.lower() for c in short if c.isupper()]
    words = list(re.finditer(r"[\w]+", before))
    for count in range(len(capitals), min(len(capitals) + 3, len(words) + 1)):
        tail = words[-count:]
        initials = [word[0][0].lower() for word in tail if not is_stop(word[0])]
        if initials == capitals and not is_stop(tail[0][0]):
            return before[tail[0].start() :]
    return None


def number(sentences: Sequence[str], draw: random.Random) -> Ask | None:
    """How many of something, where one sentence alone counts it."""
    found = [(s, m) for s in between(sentences, 6, 50) for m in _COUNT.finditer(s)]
    found = [(s, m) for s, m in found if not any(map(is_stop, (m[2].split()[0], m[2].split()[-1])))]
    if not found:
        return None
    sentence, match = draw.choice(found)
    if sum(match[2] in other for other in sentences) > 1:
        return None
    form = draw.choice(("How many {}?", "How many {} were there?", "number of {}"))
    return Ask(form.format(match[2]), "number", sentence, "short", match[1])


def truth(sentences: Sequence[str], draw: random.Random) -> Ask | None:
    """A sentence with one number kept or changed: is it right?"""
    fit = [s for s in between(sentences, 6, 40) if _WHOLE.search(s)]
    if not fit:
        return None
    sentence = draw.choice(fit)
    match = draw.choice(list(_WHOLE.finditer(sentence)))
    right = draw.random() < 0.5
    value = match[0] if right else str(int(match[0]) + draw.choice((1, 2, 3, 5, 10)))
    stated = (sentence[: match.start()] + value + sentence[match.end() :]).rstrip(".")
    form = draw.choice(("Is it right that {}?", "True or false: {}", "Is it stated that {}?"))
    return Ask(form.format(stated), "truth", sentence, "short", "yes" if right else "no")

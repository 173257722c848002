"""Asks whose answer is a sentence to copy: by words in it, by a part of it, by its place."""

import random
from collections.abc import Sequence

from app.train.makers.language import WORD, between, is_stop
from app.train.makers.records import Ask, refusal

ORDINALS = ("first", "second", "third", "fourth", "fifth")
_KEYWORD_FORMS = (
    "What does it say about {}?",
    "What is said of {}?",
    "{}?",
    "{}",
    "{}",
    "Tell me about {}.",
    "What do we learn about {}?",
    "How are {} related?",
    "What about {}?",
    "Find the sentence with the words {}.",
)


def keywords(sentences: Sequence[str], draw: random.Random) -> Ask | None:
    """Two to four words that only one sentence holds; that sentence is the evidence."""
    cue = _cue(sentences, draw)
    if cue is None:
        return None
    return Ask(_keyword_question(cue[1], draw), "keywords", evidence=cue[0])


def foreign(elsewhere: Sequence[str], sentences: Sequence[str], draw: random.Random) -> Ask | None:
    """A question by words of another text, of which no sentence here holds more than half."""
    cue = _cue(elsewhere, draw)
    if cue is None:
        return None
    words = [word.lower() for word in cue[1]]
    if any(2 * sum(word in s.lower() for word in words) > len(words) for s in sentences):
        return None
    return refusal(_keyword_question(cue[1], draw), "foreign")


def _cue(sentences: Sequence[str], draw: random.Random) -> tuple[str, list[str]] | None:
    """A sentence and some words of it that no other sentence holds all of."""
    fit = between(sentences, 7, 50)
    if not fit:
        return None
    sentence = draw.choice(fit)
    words = list(dict.fromkeys(w for w in WORD.findall(sentence) if len(w) > 3 and not is_stop(w)))
    if len(words) < 4:
        return None
    chosen = draw.sample(words, draw.randint(2, 4))
    if any(all(word in other for word in chosen) for other in sentences if other != sentence):
        return None
    return sentence, chosen


def _keyword_question(words: Sequence[str], draw: random.Random) -> str:
    """The words in one of several forms, some as a hurried user types them."""
    typed = [word.rstrip("s") if draw.random() < 0.15 else word for word in words]
    typed = [word.lower() if draw.random() < 0.15 else word for word in typed]
    spelled = ", ".join(typed[:-1]) + " and " + typed[-1]
    return draw.choice(_KEYWORD_FORMS).format(" ".join(typed) if draw.random() < 0.3 else spelled)


def completion(sentences: Sequence[str], draw: random.Random) -> Ask | None:
    """The beginning of a sentence is given; the sentence, or its rest, is asked for."""
    fit = between(sentences, 8, 50)
    if not fit:
        return None
    sentence = draw.choice(fit)
    words = sentence.split(" ")
    count = draw.randint(2, min(6, len(words) - 4))
    head = " ".join(words[:count])
    if sum(other.startswith(head) for other in sentences) > 1:
        return None
    form = draw.choice(("Complete: {} ...", "{} ...", "How does it go on: {}", 'Quote "{} ..."'))
    if draw.random() < 0.35:
        rest = " ".join(words[count:])
        return Ask(form.format(head), "completion", style="sentence", answer=rest)
    return Ask(form.format(head), "completion", evidence=sentence)


def ending(sentences: Sequence[str], draw: random.Random) -> Ask | None:
    """The end of a sentence is given; the sentence is asked for."""
    fit = between(sentences, 8, 50)
    if not fit:
        return None
    sentence = draw.choice(fit)
    words = sentence.split(" ")
    tail = " ".join(words[-draw.randint(2, min(6, len(words) - 4)) :])
    if sum(other.endswith(tail) for other in sentences) > 1:
        return None
    form = draw.choice(('Which sentence ends with "{}"?', "... {}", "Quote the one ending in: {}"))
    return Ask(form.format(tail), "ending", evidence=sentence)


def nth(passages: Sequence[Sequence[str]], draw: random.Random) -> Ask | None:
    """The n-th or last sentence of one of the passages, each given by its sentences."""
    number = draw.randrange(len(passages))
    passage = passages[number]
    place = draw.randrange(min(len(ORDINALS), len(passage)))
    last = draw.random() < 0.25
    sentence = passage[-1] if last else passage[place]
    if not between([sentence], 4, 60):
        return None
    where = f" of passage {number + 1}"
    if len(passages) == 1:
        where = ""
    elif number < len(ORDINALS) and draw.random() < 0.5:
        where = f" of the {ORDINALS[number]} passage"
    form = draw.choice(("Copy the {}{}.", "Quote the {}{}.", "What is the {}{}?"))
    which = "last" if last else ORDINALS[place]
    return Ask(form.format(f"{which} sentence", where), "nth", evidence=sentence)


def following(passages: Sequence[Sequence[str]], draw: random.Random) -> Ask | None:
    """A sentence is given; the one after it in the same passage is asked for."""
    passage = draw.choice(passages)
    if len(passage) < 2:
        return None
    place = draw.randrange(len(passage) - 1)
    before, after = passage[place : place + 2]
    if not between([before], 1, 40) or not between([after], 4, 60):
        return None
    form = draw.choice(
        ("What comes after: {}", 'Quote the sentence after "{}"', "What follows? {}")
    )
    return Ask(form.format(before), "following", evidence=after)

"""From a document to examples: cut it into windows, hide facts, group passages, ask.

The makers are elsewhere; here is how often each is asked and what surrounds its sentence.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from app.train.makers import copying, patterns, spans
from app.train.makers.language import sentences, word_count
from app.train.makers.needles import Needles, needles
from app.train.makers.noise import noisy
from app.train.makers.records import Ask, Example, Passage
from app.train.read import Document

_ELSEWHERE_CHARS = 4_000  # of another document, for distractors and foreign questions
_PASSAGE_WORDS = (40, 160)


@dataclass(frozen=True, slots=True)
class Window:
    """Consecutive sentences, grouped into passages; `elsewhere` are sentences of another text."""

    sentences: tuple[str, ...]
    passages: tuple[tuple[str, ...], ...]
    elsewhere: tuple[str, ...]


Maker = Callable[[Window, random.Random], Ask | None]
# How often each is tried. Copying by a cue is learnt early and then only kept up; what stays hard
# is choosing the sentence, so most asks are by content.
MAKERS: tuple[tuple[float, Maker], ...] = (
    (0.36, lambda window, draw: copying.keywords(window.sentences, draw)),
    (0.04, lambda window, draw: copying.completion(window.sentences, draw)),
    (0.015, lambda window, draw: copying.ending(window.sentences, draw)),
    (0.02, lambda window, draw: copying.nth(window.passages, draw)),
    (0.015, lambda window, draw: copying.following(window.passages, draw)),
    (0.12, lambda window, draw: spans.acronym(window.sentences, draw)),
    (0.06, lambda window, draw: spans.number(window.sentences, draw)),
    (0.05, lambda window, draw: spans.truth(window.sentences, draw)),
    (0.12, lambda window, draw: patterns.definition(window.sentences, draw)),
    (0.08, lambda window, draw: patterns.reason(window.sentences, draw)),
    (0.04, lambda window, draw: patterns.contribution(window.sentences, draw)),
    (0.08, lambda window, draw: copying.foreign(window.elsewhere, window.sentences, draw)),
)


def document_examples(
    document: Document, other: Document | None, draw: random.Random, share: float = 1.0
) -> Iterator[Example]:
    """Examples from a document, window after window.

    Args:
        document: the text.
        other: another text: some windows get passages of it, and questions on it that are refused.
        draw: where every choice comes from.
        share: of the windows that are used.
    """
    text, far = sentences(document.text), _elsewhere(other, draw)
    start = draw.randrange(max(1, min(8, len(text) - 3)))
    while start < len(text):
        wanted = draw.randint(60, 420) if draw.random() < 0.8 else draw.randint(420, 900)
        end, words = start, 0
        while end < len(text) and words < wanted:
            words += word_count(text[end])
            end += 1
        window, start = text[start:end], end
        if words >= 50 and len(window) >= 3 and draw.random() < share:
            example = _example(window, document.title, far, other, draw)
            if example is not None:
                yield example


def _elsewhere(other: Document | None, draw: random.Random) -> list[str]:
    if other is None:
        return []
    start = draw.randrange(max(1, len(other.text) - _ELSEWHERE_CHARS))
    return sentences(other.text[start : start + _ELSEWHERE_CHARS], longest=500)[1:-1]


def _example(
    text: Sequence[str],
    title: str,
    far: Sequence[str],
    other: Document | None,
    draw: random.Random,
) -> Example | None:
    if draw.random() < 0.15:
        text = [noisy(s, draw) if draw.random() < 0.4 else s for s in text]
    text, first = _with_hidden_facts(list(text), draw)
    groups = grouped(text, draw)
    passages: list[Passage] = [(title, " ".join(group)) for group in groups]
    if len(far) > 6 and other is not None and draw.random() < 0.35:
        start = draw.randrange(len(far) - 5)
        near = grouped(far[start : start + draw.randint(2, 6)], draw)[:2]
        passages += [(other.title, " ".join(group)) for group in near]
        groups += near
    if draw.random() < 0.5:
        order = draw.sample(range(len(passages)), len(passages))
        passages, groups = [passages[i] for i in order], [groups[i] for i in order]
    if draw.random() < 0.3:
        passages = [("", text) for _, text in passages]
    window = Window(tuple(s for g in groups for s in g), tuple(map(tuple, groups)), tuple(far))
    asks = _asks(window, first, draw)
    return Example(tuple(passages), tuple(asks), made=True) if asks else None


def _with_hidden_facts(text: list[str], draw: random.Random) -> tuple[list[str], list[Ask]]:
    """The text for the passages, and asks that changed it: a blanked span, or hidden facts."""
    kind = draw.random()
    if kind < 0.3:
        found = spans.recurring_span(text, draw)
        return (found[0], [found[1]]) if found else (text, [])
    if kind < 0.48:
        return hide(text, needles(draw), draw)
    return text, []


def hide(text: Sequence[str], hidden: Needles, draw: random.Random) -> tuple[list[str], list[Ask]]:
    """Put the facts at random places; ask for up to two of them, and at times for one unsaid."""
    text = list(text)
    for sentence in hidden.sentences:
        text.insert(draw.randrange(len(text) + 1), sentence)
    asks = draw.sample(hidden.asks, min(2, len(hidden.asks)))
    if hidden.unanswered and draw.random() < 0.6:
        asks.append(draw.choice(hidden.unanswered))
    return text, asks


def grouped(text: Sequence[str], draw: random.Random) -> list[list[str]]:
    """Sentences as passages of some 40 to 160 words."""
    groups: list[list[str]] = [[]]
    words, wanted = 0, draw.randint(*_PASSAGE_WORDS)
    for sentence in text:
        if words >= wanted:
            groups.append([])
            words, wanted = 0, draw.randint(*_PASSAGE_WORDS)
        groups[-1].append(sentence)
        words += word_count(sentence)
    return groups


def _asks(window: Window, first: list[Ask], draw: random.Random) -> list[Ask]:
    """One to five asks, `first` among them; none twice, each with its evidence in a passage."""
    asks = list(first)
    wanted = len(asks) + draw.randint(0, 3) if asks else draw.randint(1, 5)
    weights = [weight for weight, _ in MAKERS]
    for _, maker in draw.choices(MAKERS, weights, k=3 * wanted):
        if len(asks) >= wanted:
            break
        ask = maker(window, draw)
        if ask and all(ask.question != other.question for other in asks):
            asks.append(ask)
    if draw.random() < 0.7:
        draw.shuffle(asks)
    return asks

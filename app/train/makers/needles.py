"""Sentences with made-up facts to hide in a text, and asks about them, answered or not.

Names and numbers are drawn letter by letter, so no answer can be known without reading.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from app.train.makers.language import capitalised
from app.train.makers.records import Ask, refusal

Draw = random.Random


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_SYLLABLES = _words("""
ba be bi bo bra cal cor da del dor el en fa fel gar gol hal hen ia ik jor ka kel kri la lem lo lur
ma mel mir mo na nel nor o or os pel per qui ra rel rin ro sa sel sen ta tel tho tor u ul va vel
vi wen xa yl za zer
""")
_MONTHS = _words("""
January February March April May June July August September October November December
""")
_UNITS = _words("""
K nm kg % ms km mg/L Hz GB kDa years patients dB mm hours µM eV m/s layers samples epochs tokens
""")
_THINGS = _words("""
method model cohort algorithm protein lake valley bridge trial reactor network task sensor corpus
""")


def name(draw: Draw) -> str:
    """A made-up name such as Lorkelmo."""
    syllables = "".join(draw.choice(_SYLLABLES) for _ in range(draw.randint(2, 3)))
    return (syllables + draw.choice(("", "n", "s", "r", "x", "th", "m"))).capitalize()


def person(draw: Draw) -> str:
    """A made-up person, full or with initials."""
    first, last = name(draw), name(draw)
    return draw.choice((f"{first} {last}", f"{first[0]}. {last}", f"Dr. {last}"))


def label(draw: Draw) -> str:
    """A code such as KX-204."""
    letters = "".join(draw.choice("ABCDEFGHKLMNPRSTXZ") for _ in range(draw.randint(1, 4)))
    return f"{letters}{draw.choice(('-', '', ''))}{draw.randint(1, 9999)}"


def quantity(draw: Draw) -> str:
    """A number with a unit."""
    value = draw.choice(
        (
            str(draw.randint(2, 99)),
            f"{draw.randint(1, 999)}.{draw.randint(0, 99)}",
            f"{draw.randint(1, 99)},{draw.randint(0, 999):03d}",
            f"0.{draw.randint(0, 9999):04d}",
            str(draw.randint(100, 9999)),
        )
    )
    return f"{value} {draw.choice(_UNITS)}"


def date(draw: Draw) -> str:
    """A day or a month of a year."""
    month, year = draw.choice(_MONTHS), draw.randint(1750, 2024)
    day = draw.randint(1, 28)
    return draw.choice((f"{day} {month} {year}", f"{month} {day}, {year}", f"{month} {year}"))


def thing(draw: Draw) -> str:
    """What a fact is about: a name, a code, or the something method."""
    return draw.choice((name(draw), label(draw), f"the {name(draw)} {draw.choice(_THINGS)}"))


@dataclass(frozen=True, slots=True)
class Relation:
    """A kind of fact: ways to state it, ways to ask for its value, and how a value is drawn.

    In the forms {x} is the thing, {v} the value, {a} the attribute.
    """

    statements: tuple[str, ...]
    questions: tuple[str, ...]
    value: Callable[[Draw], str]
    attributes: tuple[str, ...] = ("",)


RELATIONS = (
    Relation(
        (
            "The {a} of {x} is {v}.",
            "{x} has a {a} of {v}.",
            "For {x}, the {a} was measured at {v}.",
        ),
        ("What is the {a} of {x}?", "{a} of {x}", "How large is the {a} of {x}?"),
        quantity,
        ("melting point", "error rate", "mean length", "learning rate", "half-life", "accuracy")
        + ("sampling rate", "response time", "batch size", "dose", "density", "prevalence", "loss"),
    ),
    Relation(
        ("{x} was developed by {v}.", "{v} developed {x}.", "{x} is the work of {v}."),
        ("Who developed {x}?", "Who made {x}?", "developer of {x}"),
        person,
    ),
    Relation(
        ("{x} was first described in a note of {v}.", "The first report on {x} dates from {v}."),
        ("When was {x} first described?", "date of the first report on {x}"),
        date,
    ),
    Relation(
        ("{x} is located in {v}.", "{x} can be found in {v}.", "In {v}, we find {x}."),
        ("Where is {x} located?", "Where can {x} be found?", "location of {x}"),
        name,
    ),
    Relation(
        ("{x} binds to {v}.", "{x} interacts with {v}.", "It was shown that {x} targets {v}."),
        ("What does {x} bind to?", "What does {x} interact with?", "target of {x}"),
        label,
    ),
    Relation(
        ("{x} was trained on {v}.", "We trained {x} on {v}.", "The training data of {x} is {v}."),
        ("What was {x} trained on?", "Which data was used for {x}?", "training data of {x}"),
        thing,
    ),
    Relation(
        ("The {a} of {x} is {v}.", "{x} has {v} as its {a}.", "{v} serves as {a} of {x}."),
        ("Who is the {a} of {x}?", "{a} of {x}?", "Name the {a} of {x}."),
        person,
        ("director", "author", "editor", "coach", "president", "founder", "reviewer", "owner"),
    ),
    Relation(
        ("{x} uses {v} for {a}.", "For {a}, {x} relies on {v}."),
        ("What does {x} use for {a}?", "Which method is used for {a} in {x}?"),
        thing,
        ("optimisation", "decoding", "segmentation", "cooling", "storage", "calibration"),
    ),
)


@dataclass(frozen=True, slots=True)
class Needles:
    """Sentences to hide, asks that they answer, and asks of the same form that nothing answers."""

    sentences: tuple[str, ...]
    asks: tuple[Ask, ...]
    unanswered: tuple[Ask, ...]


def needles(draw: Draw) -> Needles:
    """One or two kinds of facts about one to three things; some combinations are left unsaid."""
    things = [thing(draw) for _ in range(draw.randint(1, 3))]
    stated, asks, unanswered = [], [], []
    for relation in draw.sample(RELATIONS, draw.randint(1, 2)):
        attribute = draw.choice(relation.attributes)
        for x in (*things, thing(draw)):
            known = x in things and (not stated or draw.random() < 0.7)
            words = {"x": x, "a": attribute, "v": relation.value(draw)}
            question = capitalised(draw.choice(relation.questions).format(**words))
            if known:
                said, otherwise = draw.choices(relation.statements, k=2)
                stated.append(capitalised(said.format(**words)))
                again = capitalised(otherwise.format(**words))
                asks.append(_ask(question, stated[-1], words["v"], again, draw))
            else:
                unanswered.append(refusal(question, "needle, none"))
    return Needles(tuple(stated), tuple(asks), tuple(unanswered))


def _ask(question: str, stated: str, value: str, again: str, draw: Draw) -> Ask:
    """With evidence and the value; or a sentence, the value at once, or the evidence alone."""
    form = draw.random()
    if form < 0.6:
        return Ask(question, "needle", stated, "short", value)
    if form < 0.75:
        return Ask(question, "needle", stated, "sentence", again)
    if form < 0.9:
        return Ask(question, "needle", style="short", answer=value)
    return Ask(question, "needle", stated)

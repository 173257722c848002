"""A small world of texts and questions, drawn from a seed: enough to make and learn examples."""

import random

from app.train.makers.language import capitalised
from app.train.makers.needles import RELATIONS, person, thing
from app.train.read import Document

_NOUNS = [
    "gate",
    "memory",
    "layer",
    "cell",
    "token",
    "matrix",
    "sensor",
    "valley",
    "bridge",
    "protein",
    "cohort",
    "network",
]
_VERBS = [
    "holds",
    "carries",
    "scales",
    "forgets",
    "reads",
    "writes",
    "crosses",
    "measures",
    "follows",
    "repeats",
]
_HOW = "slowly in every block of the stack,after the first hour of the trial,without a sign of loss"


def toy_sentence(draw: random.Random) -> str:
    """A sentence that says something about somebody, with a number in it now and then."""
    if draw.random() < 0.4:
        relation = draw.choice(RELATIONS)
        words = {"x": thing(draw), "v": relation.value(draw), "a": draw.choice(relation.attributes)}
        return capitalised(draw.choice(relation.statements).format(**words))
    noun, verb, other = draw.choice(_NOUNS), draw.choice(_VERBS), draw.choice(_NOUNS)
    how = draw.choice(_HOW.split(","))
    count = draw.randint(2, 900)
    return f"The {noun} of {person(draw)} {verb} {count} {other}s {how}."


def toy_document(seed: int, count: int = 60) -> Document:
    """A document of so many sentences."""
    draw = random.Random(seed)
    text = " ".join(toy_sentence(draw) for _ in range(count))
    return Document(f"toy:{seed}", f"On toy {seed}", text)

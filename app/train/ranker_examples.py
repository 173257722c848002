"""Examples for the ranker: a question, passages, and which of their sentences answer it.

The makers of the reader's examples make these too; here only sentences get their labels.
"""

import random
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.papers.sentences import split_sentences
from app.train.makers.pairs import BOUND, carrying_sentence, paper_examples, question_examples
from app.train.makers.records import Ask, Example
from app.train.read import Pair, pairs
from app.train.sources import DataConfig, find_file

# Name -> how many examples a pass makes of each passage, as in `sources.QUESTIONS`; what is no
# question on a text (summaries, dialogues, facts put together) is left out.
QUESTIONS = {
    "bioasq": 4.0,
    "bioasq_more": 3.0,
    "boolq": 0.3,
    "boolq_train": 0.3,
    "contrast": 0.5,
    "covidqa": 8.0,
    "integreat": 2.0,
    "medquad": 0.2,
    "mediqa": 1.0,
    "multihop": 0.7,
    "multispanqa": 1.5,
    "neural_bridge": 3.0,
    "nq": 3.0,
    "nq_qed": 1.0,
    "nq_swap": 1.0,
    "policyqa": 0.3,
    "pubmedqa": 4.0,
    "qed": 3.0,
    "quoref": 1.0,
    "selqa": 1.5,
    "squad": 3.0,
    "squad_train_part": 0.8,
    "squadshifts": 0.3,
}
HELD_PAPERS = 40  # one paper of so many is kept for measuring
_PASSAGES = (2, 3, 3, 4, 4, 5, 6)  # how many an example is filled up to
_LEAST_SPAN = 3  # characters of an answer that is looked for word for word

Place = tuple[int, int]  # number of a passage and of its sentence, both from 0


@dataclass(frozen=True, slots=True)
class Choice:
    """A question on passages, each as its sentences.

    `right` are the places of the sentences that answer, none where the passages do not; `open`
    are those that may or may not: they hold the short answer, but another carries it better.
    """

    question: str
    passages: tuple[tuple[str, ...], ...]
    right: tuple[Place, ...]
    open: tuple[Place, ...] = ()


def sentences_of(text: str) -> tuple[str, ...]:
    """Every sentence of a text."""
    return tuple(text[a:b] for a, b in split_sentences(text))


def held_out(pair: Pair) -> bool:
    """Whether a pair's paper is kept for measuring."""
    return zlib.crc32(pair.document.encode()) % HELD_PAPERS == 0


def from_sources(
    config: DataConfig,
    folder: Path,
    leave_out: frozenset[str],
    passes: int,
    seed: int,
    say: Callable[[str], None],
) -> Iterator[tuple[Choice, bool]]:
    """The choices of every source, and whether each is only for measuring.

    Args:
        config: Which sources; one that may not ship cannot be named.
        folder: Of the question sets.
        leave_out: Ids of pairs that never enter.
        passes: How often the pairs on papers are gone over, each time made anew.
        seed: Of what is drawn.
        say: Takes a line for each source.
    """
    for name in (*config.own, *config.questions):
        known, own = list(pairs(find_file(folder, name), leave_out)), name in config.own
        count = 0
        for turn in range(passes if own else 1):
            draw = random.Random(f"{seed} {name} {turn}")
            used = [pair for pair in known if not (own and held_out(pair))]
            for choice in choices(name, used, draw, own=own):
                count += 1
                yield choice, False
        say(f"{name}: {len(known)} pairs, {count} examples")
        if own:
            aside = [pair for pair in known if held_out(pair)]
            for choice in choices(name, aside, random.Random(f"{seed} {name} held"), own=True):
                yield choice, True


def choices(
    name: str, known: Sequence[Pair], draw: random.Random, *, own: bool
) -> Iterator[Choice]:
    """One pass over a set of questions.

    Args:
        name: Of the set.
        known: All of it: the passages of one document are one another's distractors.
        draw: Where every choice comes from.
        own: Whether these are pairs on papers.
    """
    siblings = _siblings(known)
    if own:
        examples = paper_examples(known, draw)
    else:
        examples = question_examples(known, draw, repeats=QUESTIONS[name], bound=name in BOUND)
    for example in examples:
        for ask in example.asks:
            texts = _filled(example, ask, siblings, draw)
            if (choice := labelled(ask, texts)) is not None:
                yield choice


def labelled(ask: Ask, texts: Sequence[str]) -> Choice | None:
    """The choice that an ask means; None where its evidence is not known or is no sentence."""
    passages = tuple(map(sentences_of, texts))
    if ask.refuses:
        return Choice(ask.question, passages, ())
    if ask.evidence is None:
        return None
    wanted = {ask.evidence}
    if ask.style == "bullets":
        holding = [text for text in texts if ask.evidence in text]
        for line in (ask.answer or "").split("\n"):
            wanted.add(carrying_sentence(holding, ask.question, line.lstrip("- ")) or ask.evidence)
    places = [(i, j, text) for i, held in enumerate(passages) for j, text in enumerate(held)]
    right = tuple((i, j) for i, j, text in places if text in wanted)
    span = (ask.answer or "").lower() if ask.style == "short" else ""
    may = len(span) >= _LEAST_SPAN
    others = tuple((i, j) for i, j, text in places if may and span in text.lower())
    return Choice(ask.question, passages, right, tuple(set(others) - set(right))) if right else None


def _siblings(known: Sequence[Pair]) -> dict[str, list[str]]:
    """For each passage all of its document."""
    documents: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for pair in known:
        documents[pair.document] |= dict.fromkeys(text for _, text in pair.passages)
    return {text: list(texts) for texts in documents.values() for text in texts}


def _filled(
    example: Example, ask: Ask, siblings: dict[str, list[str]], draw: random.Random
) -> list[str]:
    """The example's passages with more of their document, in any order.

    A question whose answering passage was taken away gets none: it might come back.
    """
    texts = [text for _, text in example.passages]
    if ask.refuses and ("taken away" in ask.kind or ask.kind == "pair, none"):
        return texts
    near = sorted({t for text in texts for t in siblings.get(text, [])} - set(texts))
    texts += draw.sample(near, min(len(near), max(0, draw.choice(_PASSAGES) - len(texts))))
    draw.shuffle(texts)
    return texts

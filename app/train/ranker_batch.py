"""The ranker's batches: windows of whole examples, similar lengths together.

Arrays only; what is drawn is the order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from app.rank.windows import padded
from app.train.ranker_data import RankData, Window, windows_of

_PARTS = 6  # groups of windows of similar length in a step
_MULTIPLE = 8  # lengths are padded to a multiple of it


@dataclass(frozen=True, slots=True)
class Part:
    """Windows of similar length.

    `ids` and `owner` are as `windows.padded` makes them, `most` is the number of sentences of the
    largest. The score at `source` in the flattened (windows, most) belongs at `target` in the
    flattened (examples, sentences) of the batch.
    """

    ids: np.ndarray
    owner: np.ndarray
    most: int
    source: np.ndarray
    target: np.ndarray


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples in parts; `right` (examples, sentences) bool, no row of it for "none"."""

    parts: tuple[Part, ...]
    right: np.ndarray
    tokens: int


def batches(data: RankData, tokens: int, seed: int) -> Iterator[Batch]:
    """Batches of what is not held out, without end, every pass in another order."""
    draw, rows = np.random.default_rng(seed), np.flatnonzero(~data.held)
    if not len(rows):
        raise ValueError("nothing to train on: every example is held out")
    while True:
        yield from _in_turn(data, draw.permutation(rows), tokens)


def held_batches(data: RankData, tokens: int, most: int) -> Iterator[Batch]:
    """Batches of the first examples held out."""
    yield from _in_turn(data, np.flatnonzero(data.held)[:most], tokens)


def _in_turn(data: RankData, rows: Sequence[int], tokens: int) -> Iterator[Batch]:
    chosen: list[int] = []
    windows: list[list[Window]] = []
    held = 0
    for row in rows:
        made = list(windows_of(data, row))
        chosen.append(row)
        windows.append(made)
        held += sum(window.length for window in made)
        if held >= tokens:
            yield batch_of(data, chosen, windows)
            chosen, windows, held = [], [], 0
    if chosen:
        yield batch_of(data, chosen, windows)


def batch_of(data: RankData, rows: Sequence[int], windows: Sequence[Sequence[Window]]) -> Batch:
    """The examples of these numbers, given the windows of each."""
    places = [{p: n for n, p in enumerate(_places(made))} for made in windows]
    width = max(1, *map(len, places)) if len(places) > 1 else max(1, len(places[0]))
    right = np.zeros((len(rows), width), bool)
    for i, row in enumerate(rows):
        right[i, [places[i][place] for place in data.right[row]]] = True
    pairs = [(i, window) for i, made in enumerate(windows) for window in made]
    pairs.sort(key=lambda pair: pair[1].length)
    groups = [
        pairs[k * len(pairs) // _PARTS : (k + 1) * len(pairs) // _PARTS] for k in range(_PARTS)
    ]
    parts = []
    for group in filter(None, groups):
        ids, owner = padded([(w.question, w.sentences) for _, w in group], _MULTIPLE)
        most = max(len(window.places) for _, window in group)
        source, target = [], []
        for n, (i, window) in enumerate(group):
            hidden = set(data.open[rows[i]].tolist())
            for j, place in enumerate(window.places):
                if place not in hidden:
                    source.append(n * most + j)
                    target.append(i * width + places[i][place])
        ids, owner = ids.astype(np.int32), owner.astype(np.int16)
        parts.append(Part(ids, owner, most, np.array(source, int), np.array(target, int)))
    return Batch(tuple(parts), right, sum(window.length for _, window in pairs))


def _places(windows: Sequence[Window]) -> Iterator[int]:
    for window in windows:
        yield from window.places

"""Examples and texts in rows of one length, without cutting an example.

Arrays in, arrays out; what a token is was decided before.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from app.train.encode import Code, Encoded

_OPEN_ROWS = 24


@dataclass(frozen=True)
class Rows:
    """Packed rows: ids (R, S+1) uint16 and codes (R, S+1) uint8; kinds counts the asks in them."""

    ids: np.ndarray
    codes: np.ndarray
    kinds: dict[str, int]

    def __len__(self) -> int:
        return len(self.ids)


def pack_examples(
    examples: Sequence[Encoded], tokens: int, filler: int, draw: random.Random
) -> Rows:
    """Put examples, in random order, each into the fullest open row that still takes it.

    Args:
        examples: none longer than a row.
        tokens: of a row.
        filler: the id after the last example of a row; its code is GIVEN.
        draw: for the order.

    Raises:
        ValueError: an example longer than a row.
    """
    open_rows: list[list[Encoded]] = [[] for _ in range(_OPEN_ROWS)]
    used, full = [0] * _OPEN_ROWS, []
    for example in draw.sample(examples, len(examples)):
        length = len(example.ids)
        if length > tokens:
            raise ValueError(f"an example of {length} tokens does not fit a row of {tokens}")
        fitting = [n for n in range(_OPEN_ROWS) if used[n] + length <= tokens]
        row = max(fitting or range(_OPEN_ROWS), key=lambda n: used[n])
        if not fitting:
            full.append(open_rows[row])
            open_rows[row], used[row] = [], 0
        open_rows[row].append(example)
        used[row] += length
    return _rows([row for row in (*full, *open_rows) if row], tokens, filler)


def _rows(packed: Sequence[Sequence[Encoded]], tokens: int, filler: int) -> Rows:
    ids = np.full((len(packed), tokens), filler, np.uint16)
    codes = np.full((len(packed), tokens), Code.GIVEN, np.uint8)
    kinds: dict[str, int] = {}
    for number, row in enumerate(packed):
        at = 0
        for example in row:
            ids[number, at : at + len(example.ids)] = example.ids
            codes[number, at : at + len(example.ids)] = example.codes
            at += len(example.ids)
            for kind in example.kinds:
                kinds[kind] = kinds.get(kind, 0) + 1
    return Rows(ids, codes, kinds)


def pack_texts(texts: Iterable[Sequence[int]], tokens: int) -> Rows:
    """Texts one after the other, cut into rows wherever one is full; the last part row is lost."""
    parts = [np.asarray(text, np.uint16) for text in texts]
    line = np.concatenate(parts) if parts else np.zeros(0, np.uint16)
    count = len(line) // tokens
    ids = line[: count * tokens].reshape(count, tokens)
    return Rows(ids, np.full_like(ids, Code.TEXT, dtype=np.uint8), {"documents": len(parts)})

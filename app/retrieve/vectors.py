"""Unit vectors that are searched one by one up to a size, and by the lists nearest the query above.

It knows rows and scores only: no document, no filter.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

_BLOCK = 65_536  # vectors moved at once

Found = list[tuple[int, float]]  # rows with their cosines, best first


@dataclass(frozen=True)
class SearchSettings:
    """How many vectors are searched how; figures: data/experiments/index.md.

    Args:
        flat_up_to: Up to so many, each search compares the query with every vector (exact); above
            it, with those of the nearest lists (FAISS IVF), which are made before the first search.
        lists_per_root: Lists for each unit of the root of the number of vectors.
        probes: Lists that are searched.
        sample_per_list: Vectors for each list that the lists are learnt from.
    """

    flat_up_to: int = 150_000
    lists_per_root: int = 2
    probes: int = 96
    sample_per_list: int = 40


class Vectors:
    """Rows of length 1 and width `width`; scores are cosines.

    Args:
        width: Numbers in a vector.
        settings: When the search is exact.
    """

    def __init__(self, width: int, settings: SearchSettings) -> None:
        self.width, self.settings = width, settings
        self._parts: list[np.ndarray] = []  # as they were added; joined before a search
        self._lists: Any = None  # a FAISS index, which then holds all rows
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, rows: np.ndarray) -> None:
        """Add (n, width) float32 rows of length 1."""
        self._count += len(rows)
        if self._lists is None:
            self._parts.append(rows)
        else:
            self._lists.add(np.ascontiguousarray(rows))

    def nearest(self, query: np.ndarray, count: int) -> Found:
        """At most `count` rows with the highest cosine to a unit vector (width,), best first.

        Above `flat_up_to` they are the best of the nearest lists, which may hold fewer.
        """
        self.prepare()
        count = min(count, len(self))
        if self._lists is not None:
            return _pairs(*self._lists.search(query[None], count))
        scores = self._rows() @ query
        return _best(np.arange(len(scores)), scores, count)

    def among(self, query: np.ndarray, rows: np.ndarray, count: int) -> Found:
        """The same of these rows (n,) only, each of them looked at."""
        self.prepare()
        count = min(count, len(rows))
        if self._lists is None:
            return _best(rows, self._rows()[rows] @ query, count)
        import faiss

        only = faiss.SearchParametersIVF(sel=faiss.IDSelectorBatch(rows), nprobe=self._lists.nlist)
        return _pairs(*self._lists.search(query[None], count, params=only))

    def prepare(self) -> None:
        """Make the lists where they are due: seconds that no question should wait for."""
        if self._lists is not None or len(self) <= self.settings.flat_up_to:
            return
        import faiss

        s, rows = self.settings, self._rows()
        lists = int(s.lists_per_root * len(rows) ** 0.5)
        made = faiss.IndexIVFFlat(
            faiss.IndexFlatIP(self.width), self.width, lists, faiss.METRIC_INNER_PRODUCT
        )
        made.nprobe = s.probes
        sample = np.random.default_rng(0).permutation(len(rows))[: s.sample_per_list * lists]
        made.train(rows[np.sort(sample)])
        for start in range(0, len(rows), _BLOCK):
            made.add(rows[start : start + _BLOCK])
        self._lists, self._parts = made, []

    def _rows(self) -> np.ndarray:
        if len(self._parts) != 1:
            self._parts = [np.concatenate(self._parts)]
        return self._parts[0]


def _best(rows: np.ndarray, scores: np.ndarray, count: int) -> Found:
    """The `count` best of rows (n,) by their scores (n,)."""
    if count < len(rows):
        best = np.argpartition(scores, -count)[-count:]
        rows, scores = rows[best], scores[best]
    order = np.argsort(-scores)
    return _pairs(scores[order][None], rows[order][None])


def _pairs(scores: np.ndarray, rows: np.ndarray) -> Found:
    found = zip(rows[0].tolist(), scores[0].clip(-1, 1).tolist())
    return [(row, score) for row, score in found if row >= 0]  # -1: there were fewer

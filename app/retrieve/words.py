"""The words of texts as BM25 counts them, and the index of a library's words.

It knows no chunk, no paper and no vector.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

# A number with its dots and commas, or letters and digits with the hyphens between them.
_WORD = re.compile(r"\d+(?:[.,]\d+)+|[^\W_]+(?:[-\u2010\u2011][^\W_]+)*")
_HYPHEN = re.compile(r"[-\u2010\u2011]")


def terms(texts: Sequence[str]) -> list[list[str]]:
    """The terms of texts: small letters, without stop words, English stems.

    A word with hyphens counts as its parts and as one word without them, so that "pre-training",
    "pre training" and "pretraining" meet.
    """
    import Stemmer
    from bm25s.stopwords import STOPWORDS_EN_PLUS

    stop = frozenset(STOPWORDS_EN_PLUS)
    stemmer = Stemmer.Stemmer("english")  # made each time: it may not be shared by threads
    return [stemmer.stemWords([w for w in _words(text) if w not in stop]) for text in texts]


def _words(text: str) -> list[str]:
    found = []
    for word in _WORD.findall(unicodedata.normalize("NFKC", text).lower()):
        parts = _HYPHEN.split(word)
        found += parts
        if len(parts) > 1:
            found.append("".join(parts))
    return found


class WordIndex:
    """BM25 over texts (k1 = 1.5, b = 0.75, the form of Lucene), built once and then only read.

    Args:
        texts: What is searched.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        import bm25s

        self._index: Any = bm25s.BM25(method="lucene", k1=1.5, b=0.75, backend="numpy")
        # the empty word: a library without a single term can be indexed too
        rows = [row or [""] for row in terms(texts)]
        self._index.index(rows, show_progress=False)
        self._texts, self._holders = len(rows), Counter(word for row in rows for word in set(row))

    def scores(self, question: str) -> np.ndarray:
        """Score (n,) float32 of each text, from 0: none of the question's words is in it."""
        (words,) = terms([question])
        known = [word for word in words if word in self._index.vocab_dict]
        if not known:
            return np.zeros(self._index.scores["num_docs"], dtype=np.float32)
        return self._index.get_scores(known)

    def cover(self, question: str, texts: Sequence[str]) -> np.ndarray:
        """Share (n,) float64, from 0 to 1, of the question's words that each of n texts has.

        Each word weighs by how rare it is in the library, as in BM25; 0 for a question without any.
        """
        (words,) = terms([question])
        weights = {word: self._rarity(word) for word in words}
        total = sum(weights.values()) or 1.0
        found = [sum(weights.get(word, 0.0) for word in set(row)) for row in terms(texts)]
        return np.array(found) / total

    def _rarity(self, word: str) -> float:
        holders = self._holders[word]
        return math.log(1 + (self._texts - holders + 0.5) / (holders + 0.5))

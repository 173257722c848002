"""A question beside consecutive sentences, as token ids: what the cross-encoder reads at once.

Plain arrays; no text and no weights here.
"""

from collections.abc import Callable, Sequence

import numpy as np

Tokenize = Callable[[Sequence[str]], list[list[int]]]  # texts to ids, no special ones

PAD, CLS, SEP = 0, 101, 102  # of BERT's uncased vocabulary
WINDOW_TOKENS = 384  # of a window, special ones included
QUESTION_TOKENS = 64  # of a question that are read
# The longest sentence that fits beside the longest question: [CLS] question [SEP] sentence [SEP].
SENTENCE_TOKENS = WINDOW_TOKENS - QUESTION_TOKENS - 3


def cut(question: int, sentences: Sequence[int], most: int = WINDOW_TOKENS) -> list[range]:
    """Which sentences are read together: each once, in order, as many as fit.

    Args:
        question: Its tokens.
        sentences: Tokens of each; each is followed by one [SEP] more.
        most: Tokens of a window; a sentence that does not fit is alone in its own.
    """
    windows, start, used = [], 0, question + 2
    for i, length in enumerate(sentences):
        if i > start and used + length + 1 > most:
            windows.append(range(start, i))
            start, used = i, question + 2
        used += length + 1
    return [*windows, range(start, len(sentences))] if sentences else []


def padded(
    windows: Sequence[tuple[Sequence[int], Sequence[Sequence[int]]]], multiple: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Windows as arrays: `[CLS] question [SEP] sentence [SEP] sentence [SEP] ...`.

    Args:
        windows: For each, the ids of the question and of each of its sentences.
        multiple: The length is rounded up to a multiple of it.

    Returns:
        `ids` and `owner`, (windows, length) int64. `owner` says to which sentence a token belongs,
        from 1, its [SEP] included; 0 is the question and what pads.
    """
    lengths = [2 + len(q) + sum(len(s) + 1 for s in sentences) for q, sentences in windows]
    width = -(-max(lengths) // multiple) * multiple
    ids = np.full((len(windows), width), PAD, np.int64)
    owner = np.zeros_like(ids)
    for row, (question, sentences) in enumerate(windows):
        at = len(question) + 2
        ids[row, 0], ids[row, 1 : at - 1], ids[row, at - 1] = CLS, question, SEP
        for number, sentence in enumerate(sentences, 1):
            end = at + len(sentence) + 1
            ids[row, at : end - 1], ids[row, end - 1] = sentence, SEP
            owner[row, at:end] = number
            at = end
    return ids, owner

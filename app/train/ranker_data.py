"""The ranker's examples as token ids: made once, read by a trainer that has no tokenizer.

A passage that many examples show is stored once.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.rank.windows import QUESTION_TOKENS, SENTENCE_TOKENS, Tokenize, cut
from app.train.ranker_examples import Choice

_PLACE = 1 << 8  # a sentence's place is passage * _PLACE + sentence


class Ragged:
    """Rows of different lengths: `values` end to end, row i is values[starts[i]:starts[i + 1]]."""

    def __init__(self, values: np.ndarray, starts: np.ndarray) -> None:
        self.values, self.starts = values, starts

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], dtype: type) -> "Ragged":
        """From rows."""
        starts = np.cumsum([0, *map(len, rows)]).astype(np.int64)
        return cls(np.array([value for row in rows for value in row], dtype), starts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, i: int) -> np.ndarray:
        return self.values[self.starts[i] : self.starts[i + 1]]


@dataclass(frozen=True)
class RankData:
    """Examples by number.

    `sentences` are token ids, `passages` numbers of sentences, `questions` token ids; of example
    i, `asked[i]` is its question, `shown[i]` its passages, and `right[i]` and `open[i]` are places
    of sentences as `Choice` has them, passage * 256 + sentence. `held[i]` says that it is only for
    measuring.
    """

    sentences: Ragged
    passages: Ragged
    questions: Ragged
    asked: np.ndarray
    shown: Ragged
    right: Ragged
    open: Ragged
    held: np.ndarray

    def __len__(self) -> int:
        return len(self.asked)

    def save(self, path: Path) -> None:
        """One compressed file; starts are stored as lengths."""
        arrays = {}
        for name, value in vars(self).items():
            if isinstance(value, Ragged):
                arrays[name] = value.values
                arrays[f"{name}.lengths"] = np.diff(value.starts).astype(np.uint16)
            else:
                arrays[name] = value
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> "RankData":
        """As `save` wrote it."""
        with np.load(path, allow_pickle=False) as stored:
            fields = {}
            for name in cls.__dataclass_fields__:
                fields[name] = stored[name]
                if f"{name}.lengths" in stored:
                    starts = np.concatenate([[0], np.cumsum(stored[f"{name}.lengths"], dtype=int)])
                    fields[name] = Ragged(stored[name], starts)
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class Window:
    """A part of an example: ids of the question and the sentences, and each sentence's place."""

    question: np.ndarray
    sentences: list[np.ndarray]
    places: list[int]

    @property
    def length(self) -> int:
        """Tokens, special ones included."""
        return 2 + len(self.question) + sum(len(ids) + 1 for ids in self.sentences)


def windows_of(data: RankData, example: int) -> Iterator[Window]:
    """The windows of an example, those of each passage in order."""
    question = data.questions[data.asked[example]]
    for number, passage in enumerate(data.shown[example]):
        sentences = [data.sentences[i] for i in data.passages[passage]]
        for part in cut(len(question), [len(ids) for ids in sentences]):
            places = [number * _PLACE + i for i in part]
            yield Window(question, [sentences[i] for i in part], places)


def prepared(made: Iterable[tuple[Choice, bool]], tokenize: Tokenize) -> RankData:
    """Token ids of choices; each with whether it is held out.

    Args:
        made: The choices.
        tokenize: Token ids of texts, without special ones.
    """
    sentences, passages, questions = _Known(), _Known(), _Known()
    asked, shown, right, open, held = [], [], [], [], []
    for choice, aside in made:
        if any(len(passage) > _PLACE for passage in choice.passages):
            continue
        asked.append(questions.number(choice.question))
        shown.append([passages.number(tuple(map(sentences.number, p))) for p in choice.passages])
        right.append([i * _PLACE + j for i, j in choice.right])
        open.append([i * _PLACE + j for i, j in choice.open])
        held.append(aside)
    ids = tokenize([*sentences.numbers, *questions.numbers])
    known = len(sentences.numbers)
    return RankData(
        Ragged.of([row[:SENTENCE_TOKENS] for row in ids[:known]], np.uint16),
        Ragged.of(list(passages.numbers), np.int32),
        Ragged.of([row[:QUESTION_TOKENS] for row in ids[known:]], np.uint16),
        np.array(asked, np.int32),
        Ragged.of(shown, np.int32),
        Ragged.of(right, np.int32),
        Ragged.of(open, np.int32),
        np.array(held, bool),
    )


class _Known:
    """Numbers of things in the order in which they first came."""

    def __init__(self) -> None:
        self.numbers: dict = {}

    def number(self, key: object) -> int:
        return self.numbers.setdefault(key, len(self.numbers))

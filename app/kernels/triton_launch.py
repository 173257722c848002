"""Launching Triton kernels again and again with little work on the host. Computes nothing."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor


def aligned(tensors: Sequence[Tensor | None]) -> tuple[Any, ...]:
    """What compiled code depends on: GPU, dtype, strides, and whether data start at 16 bytes."""
    return tuple(
        (x.device, x.dtype, x.stride(), x.data_ptr() % 16 == 0) for x in tensors if x is not None
    )


def launch(
    kept: dict[Any, Any], key: Any, kernel: Any, grid: tuple[int, ...], args: tuple[Any, ...],
    constants: dict[str, Any],
) -> None:  # fmt: skip
    """Launch `kernel`, the second time with `key` without looking at its arguments again.

    kept: what earlier launches left. key: all that the compiled code depends on, beside `kept`.
    args: up to the last argument that is not in `constants`, which also holds warps and stages.
    """
    found = kept.get((kernel.__name__, key))
    if found is None:
        compiled = kernel[grid](*args, **constants)
        if compiled is not None:  # None: interpreted
            rest = tuple(constants[name] for name in kernel.arg_names[len(args) :])
            kept[kernel.__name__, key] = compiled, rest
        return
    compiled, rest = found
    compiled[(*grid, 1, 1)[:3]](*args, *rest)

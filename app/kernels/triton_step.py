"""One decode step of the mLSTM as one Triton launch: the state is read once and written once.

Importing this file imports Triton; `backends.resolve` does so on first use only. No gradient.
"""

# ruff: noqa: ANN001, ANN201, ANN202 - arguments of a kernel are pointers and numbers

import torch
import triton
import triton.language as tl
from torch import Tensor

from app.kernels.state import LARGEST_I, LOWEST_M, State, cell_dtype, check_step, enter

LOWEST = tl.constexpr(LOWEST_M)
LARGEST = tl.constexpr(LARGEST_I)
# Narrow tiles of columns: at batch 1 the launch needs many programs to draw the memory's speed.
MOST_ROWS = 64
MOST_COLUMNS = 32


def mlstm_step_triton(
    q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor, state: State, *, eps: float = 1e-6
) -> tuple[Tensor, State]:
    """Read one token per row, as `mlstm_step`.

    q, k: (B, H, Dk), v: (B, H, Dv), i, f: (B, H) pre-activations; any head widths and float dtype.
    Returns h (B, H, Dv) in v's dtype and the new state; the given one is left as it is.
    Raises ValueError for inputs or a state that do not fit, RuntimeError for a wanted gradient.
    """
    if torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v, i, f, *state)):
        raise RuntimeError(
            "the Triton step has no gradient; use mlstm_step or mlstm_chunkwise_triton, "
            "or call it under torch.no_grad()"
        )
    check_step(q, k, v, i, f)
    state = State(*(x.contiguous() for x in enter(state, q.unsqueeze(-2), v.unsqueeze(-2))))
    q, k, v, i, f = (x.contiguous() for x in (q, k, v, i, f))
    h, new = torch.empty_like(v), State(*(torch.empty_like(x) for x in state))
    dk, dv = q.shape[-1], v.shape[-1]
    tile_k, tile_v = _tile(dk, MOST_ROWS), _tile(dv, MOST_COLUMNS)
    acc = tl.float64 if cell_dtype(q) == torch.float64 else tl.float32
    step_kernel[(q.numel() // dk, triton.cdiv(dv, tile_v))](
        q, k, v, i, f, *state, h, *new, dk, dv, eps, tile_k, tile_v, acc
    )
    return h, new


def _tile(width: int, most: int) -> int:
    return max(16, min(most, triton.next_power_of_2(width)))


@triton.jit
def log_sigmoid(f):
    """min(f, 0) - log(1 + e^-|f|), exact also where the exponential is below 1's last digit."""
    x = tl.exp(-tl.abs(f))
    u = 1.0 + x
    gap = tl.where(u == 1.0, 1.0, u - 1.0)
    return tl.minimum(f, 0.0) - tl.where(u == 1.0, x, tl.log(u) * x / gap)


@triton.jit
def step_kernel(
    q, k, v, i, f, c, n, m, h, c_new, n_new, m_new,
    DK, DV,
    EPS: tl.constexpr,
    TILE_K: tl.constexpr, TILE_V: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """One head's step for one tile of columns; the first tile also keeps n and m."""
    b, tile_v = tl.program_id(0).to(tl.int64), tl.program_id(1)
    at_v = tile_v * TILE_V + tl.arange(0, TILE_V)
    in_v = at_v < DV
    scale = 1.0 / tl.sqrt(tl.cast(DK, ACC))

    log_i = tl.minimum(tl.load(i + b).to(ACC), LARGEST)
    carried = log_sigmoid(tl.load(f + b).to(ACC)) + tl.load(m + b)
    top = tl.maximum(tl.maximum(carried, log_i), LOWEST)
    kept, w = tl.exp(carried - top), tl.exp(log_i - top)

    values = tl.load(v + b * DV + at_v, mask=in_v, other=0.0).to(ACC)
    num = tl.zeros((TILE_V,), dtype=ACC)
    dot_n = tl.zeros((TILE_K,), dtype=ACC)
    for tile in range(0, tl.cdiv(DK, TILE_K)):
        at_k = tile * TILE_K + tl.arange(0, TILE_K)
        in_k = at_k < DK
        queries = tl.load(q + b * DK + at_k, mask=in_k, other=0.0).to(ACC) * scale
        keys = tl.load(k + b * DK + at_k, mask=in_k, other=0.0).to(ACC) * w
        vec = tl.load(n + b * DK + at_k, mask=in_k, other=0.0) * kept + keys
        tl.store(n_new + b * DK + at_k, vec, mask=in_k & (tile_v == 0))
        at = b * DK * DV + at_k[:, None] * DV + at_v[None, :]
        inside = in_k[:, None] & in_v[None, :]
        mat = tl.load(c + at, mask=inside, other=0.0) * kept + keys[:, None] * values[None, :]
        tl.store(c_new + at, mat, mask=inside)
        num += tl.sum(mat * queries[:, None], axis=0)
        dot_n += vec * queries
    den = tl.maximum(tl.abs(tl.sum(dot_n, axis=0)), tl.exp(-top)) + EPS
    tl.store(h + b * DV + at_v, (num / den).to(h.dtype.element_ty), mask=in_v)
    tl.store(m_new + b, top, mask=tile_v == 0)

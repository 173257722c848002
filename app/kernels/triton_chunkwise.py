"""The chunkwise mLSTM as Triton kernels: two launches forward, three backward, true gradient.

Importing this file imports Triton; `backends.resolve` does so on first use only.

Forward: `states_kernel` walks the chunks and stores the state before each; `outputs_kernel` then
makes every chunk's h at once. Equations and names are those of `chunkwise.py`.

Backward. With R_t = max(|den_t|, e^-M_t) + eps, X_t = dh_t . h_t and dnum_t = dh_t / R_t:

    dden_t = -X_t / R_t * sign(den_t) where |den_t| > e^-M_t, else 0       (rows_kernel)
    dC, dn before each chunk, walking the chunks from the end               (state_gradients_kernel)
    G[t, j] = P[t, j] (dnum_t . v_j + dden_t), the gradient of logD[t, j]   (gradients_kernel)

The stabiliser is a gauge: scaling C, n by e^-m and all else alike changes nothing but the weight
of eps, so dM_t = -X_t eps / R_t, and the last m, which is returned, gets
dm - dc . c - dn . n. Both go to whichever term won the maximum: a token of the chunk (added to G)
or the carried state, whose m was the M of the last row of the chunk before (`carry`).
"""

# ruff: noqa: ANN001, ANN202, ANN205 - the launches pass tensors and one _Size

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from app.kernels.state import (
    State,
    cell_dtype,
    check_sequence,
    enter,
    log_gates,
)
from app.kernels.triton_backward import gradients_kernel, rows_kernel, state_gradients_kernel
from app.kernels.triton_forward import outputs_kernel, states_kernel

# Rows of a chunk and columns of a tile that fit the registers; wider heads are looped over.
MOST_ROWS = 64
MOST_COLUMNS = 64


def mlstm_chunkwise_triton(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    i: Tensor,
    f: Tensor,
    state: State | None = None,
    *,
    chunk_size: int = 64,
    eps: float = 1e-6,
) -> tuple[Tensor, State]:
    """Read a sequence of any length in chunks of `chunk_size` tokens, at most 64 are taken.

    q, k: (B, H, S, Dk), v: (B, H, S, Dv), i, f: (B, H, S) pre-activations; any head widths.
    `state` None is the zero state. Padding is a token with i = -inf and f = +inf.
    Returns h (B, H, S, Dv) in v's dtype and the state after the last token, as `mlstm_chunkwise`;
    products of bfloat16 inputs are summed in float32. Differentiable once, in the state too.
    Raises ValueError for shapes that do not fit or a chunk size below 1.
    """
    check_sequence(q, k, v, i, f)
    if q.dim() != 4:
        raise ValueError(f"q has {q.dim()} axes; the Triton form needs (B, H, S, Dk)")
    if chunk_size < 1:
        raise ValueError(f"chunk_size is {chunk_size}; it must be at least 1")
    state = enter(state, q, v)
    i, lf = log_gates(i, f, cell_dtype(q))
    dtype = torch.promote_types(torch.promote_types(q.dtype, k.dtype), v.dtype)
    qkv = (x.to(dtype) for x in (q, k, v))
    h, *last = _Chunkwise.apply(*qkv, i, lf, *state, min(chunk_size, MOST_ROWS), eps)
    return h.to(v.dtype), State(*last)


class _Chunkwise(torch.autograd.Function):
    """Ties the forward and backward launches together; inputs in log gates."""

    @staticmethod
    def forward(ctx: Any, q, k, v, i, lf, c0, n0, m0, chunk, eps):
        q, k, v = (_rows_in_order(x) for x in (q, k, v))
        i, lf, c0, n0, m0 = (x.contiguous() for x in (i, lf, c0, n0, m0))
        size = _Size(q, v, chunk, eps)
        c, n, m, last = _launch_states(size, k, v, i, lf, c0, n0, m0)
        h, stable, den, winner = _launch_outputs(size, q, k, v, i, lf, c, n, m)
        ctx.save_for_backward(q, k, v, i, lf, c, n, m, h, stable, den, winner, *last[:2])
        ctx.size = size
        return h, *last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dh, dc, dn, dm):
        q, k, v, i, lf, c, n, m, h, stable, den, winner, c_last, n_last = ctx.saved_tensors
        size, dh = ctx.size, _rows_in_order(dh)
        dc, dn = dc.contiguous(), dn.contiguous()
        rows = _launch_rows(size, dh, h, stable, den)  # 1 / R, dden, dM
        to_m = dm - (dc * c_last).sum((-2, -1)) - (dn * n_last).sum(-1)
        dstates = _launch_state_gradients(
            size, q, dh, lf, m, stable, winner, *rows, dc, dn, to_m.contiguous()
        )
        grads = _launch_gradients(
            size, (q, k, v, dh), (i, lf, c, n, m, stable, winner), rows, dstates
        )
        dc0, dn0, dm0 = dstates[3:]
        dm0 = dm0 + (dc0 * c[:, :, 0]).sum((-2, -1)) + (dn0 * n[:, :, 0]).sum(-1)
        return *grads, dc0, dn0, dm0, None, None


class _Size:
    """Numbers that every launch needs, and the tiles for them."""

    def __init__(self, q: Tensor, v: Tensor, chunk: int, eps: float) -> None:
        self.eps = eps
        self.batch, self.heads, self.length, self.dk = q.shape
        self.dv = v.shape[-1]
        self.chunk = min(chunk, self.length)
        self.chunks = triton.cdiv(self.length, self.chunk)
        self.acc = cell_dtype(q)
        self.rows = _tile(self.chunk, MOST_ROWS)
        most = MOST_COLUMNS // (2 if self.acc == torch.float64 else 1)
        self.tile_k, self.tile_v = _tile(self.dk, most), _tile(self.dv, most)
        self.dot = tl.bfloat16 if q.dtype == torch.bfloat16 else _triton_dtype(self.acc)
        self.device = q.device

    @property
    def sequences(self) -> int:
        return self.batch * self.heads

    @property
    def numbers(self) -> tuple[int, ...]:
        return self.heads, self.length, self.chunk, self.chunks, self.dk, self.dv

    @property
    def meta(self) -> dict[str, Any]:
        return {
            "ROWS": self.rows,
            "TILE_K": self.tile_k,
            "TILE_V": self.tile_v,
            "ACC": _triton_dtype(self.acc),
            "DOT": self.dot,
            "EPS": self.eps,
            # Tiles of wider numbers do not fit the shared memory twice.
            "num_warps": 8 if max(self.tile_k, self.tile_v) == MOST_COLUMNS else 4,
            "num_stages": 2 if self.dot == tl.bfloat16 else 1,
        }

    def new(self, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        shape = (self.batch, self.heads, *shape)
        return torch.empty(shape, device=self.device, dtype=dtype or self.acc)


def _tile(width: int, most: int) -> int:
    return max(16, min(most, triton.next_power_of_2(width)))


def _triton_dtype(dtype: torch.dtype) -> tl.dtype:
    return tl.float64 if dtype == torch.float64 else tl.float32


def _rows_in_order(x: Tensor) -> Tensor:
    """Return `x` where its last axis is dense, else a copy: heads may be views of a wider row."""
    return x if x.stride(-1) == 1 else x.contiguous()


def _launch_states(size, k, v, i, lf, c0, n0, m0):
    c, n = size.new(size.chunks, size.dk, size.dv), size.new(size.chunks, size.dk)
    m = size.new(size.chunks + 1)
    last = torch.empty_like(c0), torch.empty_like(n0), torch.empty_like(m0)
    grid = size.sequences, triton.cdiv(size.dk, size.tile_k), triton.cdiv(size.dv, size.tile_v)
    states_kernel[grid](
        k, v, i, lf, c0, n0, m0, c, n, m, *last, *k.stride()[:3], *v.stride()[:3],
        *size.numbers, **size.meta,
    )  # fmt: skip
    return c, n, m, last


def _launch_outputs(size, q, k, v, i, lf, c, n, m):
    h = size.new(size.length, size.dv, dtype=v.dtype)
    stable, den = size.new(size.length), size.new(size.length)
    winner = size.new(size.length, dtype=torch.int32)
    grid = size.chunks, size.sequences, triton.cdiv(size.dv, size.tile_v)
    outputs_kernel[grid](
        q, k, v, i, lf, c, n, m, h, stable, den, winner,
        *q.stride()[:3], *k.stride()[:3], *v.stride()[:3],
        *size.numbers, **size.meta,
    )  # fmt: skip
    return h, stable, den, winner


def _launch_rows(size, dh, h, stable, den):
    rows = tuple(size.new(size.length) for _ in range(3))
    rows_kernel[(size.chunks, size.sequences)](
        dh, h, stable, den, *rows, *dh.stride()[:3], *size.numbers, **size.meta
    )
    return rows


def _launch_state_gradients(size, q, dh, lf, m, stable, winner, inverse, dden, dm, dc, dn, to_m):
    out = size.new(size.chunks, size.dk, size.dv), size.new(size.chunks, size.dk)
    carry = size.new(size.chunks)
    first = torch.empty_like(dc), torch.empty_like(dn), torch.empty_like(to_m)
    grid = size.sequences, triton.cdiv(size.dk, size.tile_k), triton.cdiv(size.dv, size.tile_v)
    state_gradients_kernel[grid](
        q, dh, lf, m, stable, winner, inverse, dden, dm, dc, dn, to_m, *out, carry, *first,
        *q.stride()[:3], *dh.stride()[:3], *size.numbers, **size.meta,
    )  # fmt: skip
    return *out, carry, *first


def _launch_gradients(size, wide, saved, rows, dstates):
    q, k, v, _ = wide
    strides = tuple(s for x in wide for s in x.stride()[:3])
    dq, dk = (size.new(size.length, size.dk, dtype=q.dtype) for _ in range(2))
    dv = size.new(size.length, size.dv, dtype=v.dtype)
    di, dlf = size.new(size.length), size.new(size.length)
    gradients_kernel[(size.chunks, size.sequences)](
        *wide, *saved, *rows, *dstates[:3], dq, dk, dv, di, dlf,
        *strides, *size.numbers, **size.meta,
    )  # fmt: skip
    return dq, dk, dv, di, dlf

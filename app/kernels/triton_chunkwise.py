"""The chunkwise mLSTM as Triton kernels: four launches forward, seven backward, true gradient.

Importing this file imports Triton; `backends.resolve` does so on first use only.

Forward: `chunk_gates_kernel` and `gates_kernel` make all that depends on gates alone, so that
nothing else has a maximum to keep, and what each chunk adds to n; `walk_kernel` walks the chunks
and stores the state before each; `outputs_kernel` then makes every block of h at once. Equations
and names are those of `chunkwise.py`; M_t is the m of the recurrent form, and the state before a
chunk is stored in the products' dtype.

Backward. With R_t = max(|den_t|, e^-M_t) + eps, X_t = dh_t . h_t and dnum_t = dh_t / R_t:

    dden_t = -X_t / R_t * sign(den_t) where |den_t| > e^-M_t, else 0       (rows_kernel)
    dC, dn before each chunk, walking the chunks from the end               (walk_kernel)
    G[t, j] = P[t, j] (dnum_t . v_j + dden_t), the gradient of logD[t, j]   (queries_, keys_kernel)

lf_u is in logD[t, j] for j < u <= t. Inside a chunk the sum of G over these is a sum over rows
t >= u less one over keys j >= u; what crosses the chunk's end is dC . C + dn . n there. With
r_t = q_t . dq_t and c_j = k_j . dk_j, each without dM (gate_gradients_kernel):

    dlf_u = sum_(t >= u) (r_t - c_t) + (dC . C + dn . n) at the chunk's end;    di_j = c_j

The stabiliser is a gauge: scaling C, n by e^-m and all else alike changes nothing but the weight
of eps, so dM_t = -X_t eps / R_t, and the last m, which is returned, gets
dm - dc . c - dn . n. As M_t = max(lf_t + M_(t-1), i_t), each goes back to the token that won.
"""

# ruff: noqa: ANN001, ANN002, ANN202, ANN205 - the launches pass tensors and one Plan

from typing import Any

import torch
import triton
from torch import Tensor
from torch.autograd.function import once_differentiable

from app.kernels.state import State, cell_dtype, check_sequence, enter
from app.kernels.triton_backward import (
    gate_gradients_kernel,
    keys_kernel,
    queries_kernel,
    rows_kernel,
    values_kernel,
)
from app.kernels.triton_forward import (
    chunk_gates_kernel,
    gates_kernel,
    outputs_kernel,
    sums_kernel,
    walk_kernel,
)
from app.kernels.triton_launch import aligned, launch
from app.kernels.triton_tiles import Plan, plan

# Rows that `rows_kernel` works on at once.
ROWS = 32


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
    """Read a sequence of any length in chunks; `chunk_size` from 64 on leaves their size open.

    q, k: (B, H, S, Dk), v: (B, H, S, Dv), i, f: (B, H, S) pre-activations; any head widths.
    `state` None is the zero state. Padding is a token with i = -inf and f = +inf.
    Returns h (B, H, S, Dv) in v's dtype and the state after the last token, as `mlstm_chunkwise`;
    products of bfloat16 inputs are summed in float32. A forget gate below -2^20 is -inf.
    Differentiable once, in the state too.
    Raises ValueError for shapes that do not fit or a chunk size below 1.
    """
    check_sequence(q, k, v, i, f)
    if q.dim() != 4:
        raise ValueError(f"q has {q.dim()} axes; the Triton form needs (B, H, S, Dk)")
    if chunk_size < 1:
        raise ValueError(f"chunk_size is {chunk_size}; it must be at least 1")
    acc, wanted = cell_dtype(q), v.dtype
    if state is not None:
        state = enter(state, q, v)
    if not q.dtype == k.dtype == v.dtype:
        dtype = torch.promote_types(torch.promote_types(q.dtype, k.dtype), v.dtype)
        q, k, v = (x.to(dtype) for x in (q, k, v))
    p = plan(q.shape, v.shape[-1], q.dtype, acc, chunk_size)
    x = (q, k, v, i, f, *(state or (None,) * 3))
    if torch.is_grad_enabled() and any(y is not None and y.requires_grad for y in x):
        h, *last = _Chunkwise.apply(*x, p, eps)
    else:
        h, last, _ = _forward(p, eps, *x)
    return h.to(wanted), State(*last)


class _Chunkwise(torch.autograd.Function):
    """Ties the forward and backward launches together."""

    @staticmethod
    def forward(ctx: Any, q, k, v, i, f, c0, n0, m0, p, eps):
        h, last, kept = _forward(p, eps, q, k, v, i, f, c0, n0, m0)
        ctx.save_for_backward(q, k, v, i, f, m0, h, *last[:2], *kept)
        ctx.plan, ctx.eps = p, eps
        ctx.set_materialize_grads(False)
        return h, *last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dh, *dlast):
        q, k, v, i, f, m0, h, c_last, n_last, *kept = ctx.saved_tensors
        dh = torch.zeros_like(h) if dh is None else _rows_in_order(dh)
        last = None
        if any(x is not None for x in dlast):
            dc, dn, dm = (
                torch.zeros_like(x) if y is None else y.contiguous()
                for x, y in zip((c_last, n_last, n_last[..., 0]), dlast)
            )
            crossing = (dc * c_last).sum((-2, -1)) + (dn * n_last).sum(-1)
            last = dc, dn, (dm - crossing).contiguous(), crossing
        x = tuple(_rows_in_order(y) for y in (q, k, v))
        return *_backward(ctx.plan, ctx.eps, x, i, f, m0, h, kept, dh, last), None, None


def _rows_in_order(x: Tensor) -> Tensor:
    """Return `x` where its last axis is dense, else a copy: heads may be views of a wider row."""
    return x if x.stride(-1) == 1 else x.contiguous()


def _new(p: Plan, like: Tensor, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
    return torch.empty(p.sequences, *shape, device=like.device, dtype=dtype or p.acc)


def _states(p: Plan, q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Room for c, n and m of every head."""
    lead = *q.shape[:2], p.dk
    return tuple(
        torch.empty(shape, device=q.device, dtype=p.acc)
        for shape in ((*lead, p.dv), lead, lead[:2])
    )


def _forward(p: Plan, eps: float, q, k, v, i, f, c0, n0, m0):
    """Return h, the last c, n, m, and what the backward pass needs."""
    q, k, v = (_rows_in_order(x) for x in (q, k, v))
    start = c0 is not None
    c0, n0, m0 = (x.contiguous() if start else q for x in (c0, n0, m0))
    key = eps, start, aligned((q, k, v, i, f, c0, n0, m0))
    of_tokens = torch.empty(5, p.sequences, p.length, device=q.device, dtype=p.acc)
    log_i, top, write, read, den = of_tokens.unbind()
    of_chunks = torch.empty(3, p.sequences, p.chunks, device=q.device, dtype=p.acc)
    forgotten, gained, keep = of_chunks.unbind()
    b = _new(p, q, p.length, dtype=torch.float64)
    c = _new(p, q, p.chunks, p.dk, p.dv, dtype=p.dot)
    sums, n = (_new(p, q, p.chunks, p.dk) for _ in range(2))
    last = _states(p, q)
    h = torch.empty(*q.shape[:3], p.dv, device=q.device, dtype=v.dtype)

    of_gates = *i.stride(), *f.stride()
    launch(p.compiled, key, chunk_gates_kernel, (p.chunks, p.sequences), (
        i, f, forgotten, gained, *of_gates, *p.numbers,
    ), {"ACC": p.types["ACC"], **p.tiles["chunk_gates"]})  # fmt: skip
    launch(p.compiled, key, gates_kernel, (p.chunks, p.sequences), (
        i, f, k, m0, forgotten, gained, log_i, b, top, write, read, keep, sums, last[2],
        *of_gates, *k.stride()[:3], *p.numbers, p.dk,
    ), {"ACC": p.types["ACC"], "START": start, **p.tiles["gates"]})  # fmt: skip
    grid = p.count("walk", p.dv, "TILE_V"), p.count("walk", p.dk, "TILE_K"), p.sequences
    launch(p.compiled, key, walk_kernel, grid, (
        k, v, write, sums, keep, c0, n0, c, n, *last[:2], c, n, n,
        *k.stride()[:3], *v.stride()[:3], *p.numbers, p.dk, p.dv,
    ), {"START": start, "LAST": True, "BACK": False, **p.types, **p.tiles["walk"]})  # fmt: skip
    grid = p.count("outputs", p.dv, "TILE_V"), p.blocks("outputs"), p.sequences
    launch(p.compiled, key, outputs_kernel, grid, (
        q, k, v, log_i, b, top, read, c, n, h, den,
        *q.stride()[:3], *k.stride()[:3], *v.stride()[:3], *p.numbers, p.dk, p.dv,
    ), {"EPS": eps, **p.types, **p.tiles["outputs"]})  # fmt: skip
    return h, last, (log_i, top, write, read, b, keep, c, n, den)


def _backward(p: Plan, eps: float, x, i, f, m0, h, kept, dh, last):
    """Return the gradients of q, k, v, i, f, c, n, m; None for a state that was not given.

    last: gradients of the last c, n and m, and the product of that state with them; or None.
    """
    q, k, v = x
    log_i, top, write, read, b, keep, c, n, den = kept
    inverse, dden, dm, mat_weight, vec_weight = (_new(p, q, p.length) for _ in range(5))
    rows_kernel[(triton.cdiv(p.length, ROWS), p.sequences)](
        dh, h, top, den, read, inverse, dden, dm, mat_weight, vec_weight,
        *dh.stride()[:3], p.heads, p.length, p.dv,
        ROWS=ROWS, TILE_V=p.tiles["values"]["TILE_V"], ACC=p.types["ACC"], EPS=eps,
    )  # fmt: skip

    weights = mat_weight, vec_weight, keep
    first, dc, dn, product = _walk_back(p, q, dh, weights, c, n, m0 is not None, last)
    dq, dk, dv = (torch.empty(y.shape, device=y.device, dtype=y.dtype) for y in x)
    shares = p.count("queries", p.dk, "TILE_K")
    of_row, of_key = (_new(p, q, shares, p.length) for _ in range(2))
    strides = tuple(s for y in (q, k, v, dh) for s in y.stride()[:3])
    queries_kernel[(shares, p.blocks("queries"), p.sequences)](
        q, k, v, dh, log_i, b, top, read, inverse, dden, c, n, dq, of_row,
        *strides, *p.numbers, p.dk, p.dv, **p.types, **p.tiles["queries"],
    )  # fmt: skip
    keys_kernel[(shares, p.blocks("keys"), p.sequences)](
        q, k, v, dh, log_i, b, top, write, inverse, dden, dc, dn, dk, of_key,
        *strides, *p.numbers, p.dk, p.dv, **p.types, **p.tiles["keys"],
    )  # fmt: skip
    values_kernel[(p.count("values", p.dv, "TILE_V"), p.blocks("values"), p.sequences)](
        q, k, dh, log_i, b, top, write, inverse, dc, dv,
        *strides[:6], *strides[9:], *p.numbers, p.dk, p.dv, **p.types, **p.tiles["values"],
    )  # fmt: skip
    di, df = (torch.empty(y.shape, device=y.device, dtype=y.dtype) for y in (i, f))
    start, ends = m0 is not None, last is not None
    gate_gradients_kernel[(p.sequences,)](
        i, f, m0 if start else q, top, of_row, of_key, dm, product, *(last or (q,) * 4)[2:],
        di, df, first[2], *i.stride(), *f.stride(), *p.numbers, product.shape[-1],
        SHARES=shares, MOST=triton.next_power_of_2(product.shape[-1]),
        ACC=p.types["ACC"], START=start, ENDS=ends, **p.tiles["gate_gradients"],
    )  # fmt: skip
    return dq, dk, dv, di, df, *(first if start else (None,) * 3)


def _walk_back(p: Plan, q, dh, weights, c, n, start, last):
    """Return the gradients of the first state, of those after each chunk, and their products."""
    mat_weight, vec_weight, keep = weights
    dc, dn, sums = torch.empty_like(c), torch.empty_like(n), torch.empty_like(n)
    first = _states(p, q) if start else (q,) * 3
    tiles = p.count("walk_back", p.dv, "TILE_V"), p.count("walk_back", p.dk, "TILE_K")
    product = _new(p, q, p.chunks, tiles[0] * tiles[1])
    sums_kernel[(p.count("sums", p.dk, "TILE_K"), p.chunks, p.sequences)](
        q, vec_weight, sums, *q.stride()[:3], *p.numbers, p.dk,
        ACC=p.types["ACC"], EVEN=p.types["EVEN"], **p.tiles["sums"],
    )  # fmt: skip
    walk_kernel[(*tiles, p.sequences)](
        q, dh, mat_weight, sums, keep, *(last or (q, q))[:2], dc, dn, *first[:2], c, n, product,
        *q.stride()[:3], *dh.stride()[:3], *p.numbers, p.dk, p.dv,
        START=last is not None, LAST=start, BACK=True, **p.types, **p.tiles["walk_back"],
    )  # fmt: skip
    return first, dc, dn, product

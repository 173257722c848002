"""What stands between the matrix products of many rows, each as one launch: norms and gates.

For a prompt or a batch, without gradients; equations and names are those of the layers. Importing
this file imports Triton.
"""

# ruff: noqa: ANN001, ANN201, ANN202 - arguments of a kernel are pointers and numbers

import torch
import triton
import triton.language as tl
from torch import Tensor


def add_norm(
    x: Tensor, added: Tensor | None, gain: Tensor, eps: float, dtype: torch.dtype
) -> Tensor:
    """Add to the residual stream in place, then norm it.

    Args:
        x: (R, E) float32, changed to x + added.
        added: (R, E) any float dtype, or None.
        gain: (E,) float32 weight of the root-mean-square norm.
        eps: inside its root.
        dtype: of the result.

    Returns:
        (R, E) in `dtype`.
    """
    rows, width = x.shape
    y = torch.empty(rows, width, device=x.device, dtype=dtype)
    tile = triton.next_power_of_2(width)
    add_norm_kernel[(rows,)](
        x, added, gain, y, width, eps, TILE=tile, num_warps=8 if tile > 1024 else 4
    )
    return y


@triton.jit
def add_norm_kernel(x, added, gain, y, E, eps, TILE: tl.constexpr):
    """One row a program."""
    row, at = tl.program_id(0).to(tl.int64), tl.arange(0, TILE)
    ok = at < E
    u = tl.load(x + row * E + at, mask=ok, other=0.0).to(tl.float32)
    if added is not None:
        u += tl.load(added + row * E + at, mask=ok, other=0.0).to(tl.float32)
        tl.store(x + row * E + at, u, mask=ok)
    u *= tl.rsqrt(tl.sum(u * u, axis=0) / E + eps)
    u *= tl.load(gain + at, mask=ok, other=0.0)
    tl.store(y + row * E + at, u.to(y.dtype.element_ty), mask=ok)


def gates_of(
    x: Tensor,
    gain: Tensor,
    eps: float,
    gates: tuple[Tensor, Tensor],
    cap: float | None,
    lengths: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Input and forget gates of the normed residual stream, exact to float32's last digits.

    Args:
        x: (B, S, E) float32.
        gain: (E,) float32 weight of the root-mean-square norm.
        eps: inside its root.
        gates: (2 H, E) float32 and (2 H,) biases, those of i and then of f.
        cap: of the gates; None is none.
        lengths: (B,) tokens of each row that exist; the others get i = -inf and f = +inf.

    Returns:
        Two (B, H, S) float32.
    """
    batch, tokens, width = x.shape
    weight, bias = gates
    out = torch.empty(len(bias), batch, tokens, device=x.device)
    rows = 1 if batch * tokens <= 256 else 4
    gates_kernel[(triton.cdiv(batch * tokens, rows),)](
        x, gain, weight, bias, lengths, out, batch * tokens, tokens, len(bias), eps, cap or 0.0,
        E=width, ROWS=rows, GATES=triton.next_power_of_2(len(bias)), COLUMNS=GATE_COLUMNS // rows,
        CAPPED=cap is not None, num_warps=8,
    )  # fmt: skip
    i, f = out.view(2, -1, batch, tokens).transpose(1, 2)
    return i, f


GATE_COLUMNS = 1024  # of one row that are read at once, fewer of several rows


@triton.jit(do_not_specialize=["R", "S"])
def gates_kernel(
    x, gain, weight, bias, lengths, out, R, S, G, eps, cap,
    E: tl.constexpr, ROWS: tl.constexpr, GATES: tl.constexpr, COLUMNS: tl.constexpr,
    CAPPED: tl.constexpr,
):  # fmt: skip
    """All gates of ROWS tokens a program; the norm's root is a factor of the sum."""
    rows, gates = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.arange(0, GATES)
    ok, real = rows < R, gates < G
    start = x + rows.to(tl.int64)[:, None] * E
    # Sums within a thread only, until the end.
    acc = tl.zeros((ROWS, GATES, COLUMNS // 4), dtype=tl.float32)
    squares = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    for first in range(0, E, COLUMNS):
        at = first + tl.arange(0, COLUMNS)
        inside = at < E
        u = tl.load(start + at[None, :], mask=ok[:, None] & inside[None, :], other=0.0)
        squares += u * u
        u *= tl.load(gain + at, mask=inside, other=0.0)[None, :]
        mask = real[:, None] & inside[None, :]
        w = tl.load(weight + gates[:, None] * E + at[None, :], mask=mask, other=0.0)
        product = tl.reshape(u[:, None, :] * w[None, :, :], (ROWS, GATES, COLUMNS // 4, 4))
        acc += tl.sum(product, axis=3)
    y = tl.sum(acc, axis=2) * tl.rsqrt(tl.sum(squares, axis=1) / E + eps)[:, None]
    y += tl.load(bias + gates, mask=real, other=0.0)[None, :]
    if CAPPED:
        y = cap * (2.0 * tl.sigmoid(2.0 * y / cap) - 1.0)
    if lengths is not None:
        pad = rows % S >= tl.load(lengths + rows // S, mask=ok, other=0)
        away = tl.where(gates < G // 2, float("-inf"), float("inf"))
        y = tl.where(pad[:, None], away[None, :], y)
    tl.store(out + gates[None, :] * R + rows[:, None], y, mask=ok[:, None] & real[None, :])


def head_norm_gate(h: Tensor, o: Tensor, gain: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    """LayerNorm of each head times gain times sigmoid(o).

    Args:
        h: (B, H, S, Dv), last axis dense.
        o: (B, S, H Dv) raw output gate, last axis dense.
        gain: (H Dv,) float32.
        eps: inside the root.
        dtype: of the result.

    Returns:
        (B, S, H Dv).
    """
    batch, heads, tokens, dv = h.shape
    y = torch.empty(batch, tokens, heads * dv, device=h.device, dtype=dtype)
    head_norm_gate_kernel[(batch * tokens, heads)](
        h, o, gain, y, *h.stride()[:3], *o.stride()[:2], tokens, heads, dv, eps,
        TILE=max(16, triton.next_power_of_2(dv)), num_warps=1 if dv <= 256 else 2,
    )  # fmt: skip
    return y


@triton.jit(do_not_specialize=["S"])
def head_norm_gate_kernel(
    h, o, gain, y, h_b, h_h, h_s, o_b, o_s, S, H, DV, eps, TILE: tl.constexpr
):  # fmt: skip
    """One head of one token a program."""
    row, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    at = tl.arange(0, TILE)
    ok = at < DV
    h += (row // S) * h_b + head * h_h + (row % S) * h_s
    u = tl.load(h + at, mask=ok, other=0.0).to(tl.float32)
    away = tl.where(ok, u - tl.sum(u, axis=0) / DV, 0.0)
    u = away * tl.rsqrt(tl.sum(away * away, axis=0) / DV + eps)
    u *= tl.load(gain + head * DV + at, mask=ok, other=0.0)
    o += (row // S) * o_b + (row % S) * o_s + head * DV
    u *= tl.sigmoid(tl.load(o + at, mask=ok, other=0.0).to(tl.float32))
    tl.store(y + (row * H + head) * DV + at, u.to(y.dtype.element_ty), mask=ok)


def silu_product(x: Tensor) -> Tensor:
    """silu(first half of the columns) * second half: (R, 2 U) -> (R, U) in the same dtype."""
    rows, width = x.shape[0], x.shape[1] // 2
    y = torch.empty(rows, width, device=x.device, dtype=x.dtype)
    silu_product_kernel[(rows, triton.cdiv(width, 2048))](x, y, width, TILE=2048)
    return y


@triton.jit
def silu_product_kernel(x, y, U, TILE: tl.constexpr):
    """One tile of one row a program."""
    row, at = tl.program_id(0).to(tl.int64), tl.program_id(1) * TILE + tl.arange(0, TILE)
    ok = at < U
    gate = tl.load(x + row * 2 * U + at, mask=ok, other=0.0).to(tl.float32)
    up = tl.load(x + row * 2 * U + U + at, mask=ok, other=0.0).to(tl.float32)
    tl.store(y + row * U + at, (gate * tl.sigmoid(gate) * up).to(y.dtype.element_ty), mask=ok)


FEW_ROWS = 64  # up to here `int8_matmul` is the faster one


def int8_matmul(x: Tensor, matrix: Tensor, scale: Tensor) -> Tensor:
    """Multiply x by the transpose of matrix * scale, whose weights are widened in registers.

    Args:
        x: (R, K) float, R at most FEW_ROWS.
        matrix: (N, K) int8.
        scale: (N,) float32.

    Returns:
        (R, N) in the dtype of x.
    """
    (rows, k), n = x.shape, len(matrix)
    y = torch.empty(rows, n, device=x.device, dtype=x.dtype)
    int8_matmul_kernel[(triton.cdiv(n, 32),)](
        x, matrix, scale, y, rows, n, K=k, ROWS=max(16, triton.next_power_of_2(rows)),
        num_warps=4, num_stages=4,
    )  # fmt: skip
    return y


@triton.jit(do_not_specialize=["R"])
def int8_matmul_kernel(x, matrix, scale, y, R, N, K: tl.constexpr, ROWS: tl.constexpr):
    """32 rows of the matrix a program, all rows of x."""
    outs, rows = tl.program_id(0) * 32 + tl.arange(0, 32), tl.arange(0, ROWS)
    starts = matrix + outs.to(tl.int64)[:, None] * K
    acc = tl.zeros((32, ROWS), dtype=tl.float32)
    for first in range(0, K, 256):
        at = first + tl.arange(0, 256)
        inside = at < K
        mask = (outs < N)[:, None] & inside[None, :]
        w = tl.load(starts + at[None, :], mask=mask, other=0)
        mask = (rows < R)[None, :] & inside[:, None]
        u = tl.load(x + rows[None, :] * K + at[:, None], mask=mask, other=0.0)
        acc = tl.dot(w.to(x.dtype.element_ty), u, acc, input_precision="tf32x3")
    acc *= tl.load(scale + outs, mask=outs < N, other=0.0)[:, None]
    mask = (rows < R)[None, :] & (outs < N)[:, None]
    tl.store(y + rows[None, :] * N + outs[:, None], acc.to(y.dtype.element_ty), mask=mask)

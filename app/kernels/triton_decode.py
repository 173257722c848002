"""What a decode step does between its matrices, on buffers that stay where they are.

Launched for a captured graph: nothing is allocated, the state is changed in place. Importing this
file imports Triton. About programmatic launches see `triton_matvec`.
"""

# ruff: noqa: ANN001, ANN201, ANN202 - arguments of a kernel are pointers and numbers

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from app.kernels.state import LARGEST_I, LOWEST_M, State
from app.kernels.triton_matvec import Weights, programmatic
from app.kernels.triton_step import log_sigmoid

LOWEST = tl.constexpr(LOWEST_M)
LARGEST = tl.constexpr(LARGEST_I)
TILE_NUMBERS = 8192  # of the memory that a program holds at once
NO_TOKEN = -1  # what `pick` gives where no logit is finite


class CellBuffers(NamedTuple):
    """State of one block where every tile of columns has its own n and m, and the cell's output.

    Programs of one launch may not read what another writes, so each of the T tiles keeps a copy.
    c: (B, H, Dk, Dv), n: (B, H, T, Dk), m: (B, H, T), all float32.
    """

    c: Tensor
    n: Tensor
    m: Tensor

    @classmethod
    def zeros(cls, batch: int, heads: int, dk: int, dv: int, device: torch.device) -> "CellBuffers":
        """The state before the first token."""
        tiles = triton.cdiv(dv, tile_width(dk, dv))
        shapes = (heads, dk, dv), (heads, tiles, dk), (heads, tiles)
        return cls(*(torch.zeros(batch, *shape, device=device) for shape in shapes))

    def load(self, state: State) -> None:
        """Take over a state of the same sizes."""
        self.c.copy_(state.c)
        self.n.copy_(state.n.unsqueeze(2))
        self.m.copy_(state.m.unsqueeze(2))

    def state(self) -> State:
        """A copy, as the other kernels have it."""
        return State(self.c.clone(), self.n[:, :, 0].clone(), self.m[:, :, 0].clone())


def tile_width(dk: int, dv: int) -> int:
    """Columns of the memory a program of `cell` takes, a power of two."""
    most = max(8, TILE_NUMBERS // max(16, triton.next_power_of_2(dk)))
    return min(most, max(8, triton.next_power_of_2(dv)))


def cell(
    rows: Tensor,
    gates: Tensor,
    state: CellBuffers,
    out: Tensor,
    *,
    eps: float,
    cap: float | None,
    gain: Tensor | None = None,
    stats: Tensor | None = None,
    planes: int = 1,
) -> None:
    """Read one token a row; the state is changed in place.

    Args:
        rows: (B, 2 H Dk + 2 H Dv) q, k, v and output gate of each row, any float dtype.
        gates: (B, 2 H) float32 pre-activations of i and of f, before the cap.
        state: before the token, then after it.
        out: (B, H, Dv) float32 for h; with `stats` (2, H Dv) for a and b, planar.
        eps: added to the denominator.
        cap: of the gates; None is none.
        gain: (H Dv,) float32 weight of the norm of the heads.
        stats: (2, H, P) float32, B = 1 only; P at least T, a power of two. Then what follows, the
            norm of each head times gain times the output gate, is (a - mean b) / deviation:
            a = h b, b = gain sigmoid(o), and stats holds each tile's mean of h and sum of squared
            deviations from it.
        planes: P of the matrix that a and b go to.
    """
    batch, heads, dk, dv = state.c.shape
    width = tile_width(dk, dv)
    pdl = programmatic(rows)
    cell_kernel[(batch * heads, triton.cdiv(dv, width))](
        rows, gates, *state, out, gain, stats,
        rows.stride(0), gates.stride(0), heads, eps, cap or 0.0,
        DK=dk, DV=dv, TILE_K=max(16, triton.next_power_of_2(dk)), TILE_V=width,
        PARTS=1 if stats is None else stats.shape[2], PLANES=planes, CAPPED=cap is not None,
        PDL=pdl, num_warps=8, **({"launch_pdl": True} if pdl else {}),
    )  # fmt: skip


@triton.jit
def capped(u, a, CAPPED: tl.constexpr):
    """Soft cap a tanh(u / a), where there is one."""
    return a * (2.0 * tl.sigmoid(2.0 * u / a) - 1.0) if CAPPED else u


@triton.jit
def cell_kernel(
    rows, gates, c, n, m, out, gain, stats,
    row_stride, gate_stride, H, eps, cap,
    DK: tl.constexpr, DV: tl.constexpr, TILE_K: tl.constexpr, TILE_V: tl.constexpr,
    PARTS: tl.constexpr, PLANES: tl.constexpr, CAPPED: tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    """One head's step for one tile of columns, which lies in registers as a whole."""
    sequence, tile = tl.program_id(0).to(tl.int64), tl.program_id(1)
    head = sequence % H
    at_k, at_v = tl.arange(0, TILE_K), tile * TILE_V + tl.arange(0, TILE_V)
    in_k, in_v = at_k < DK, at_v < DV
    places = c + sequence * DK * DV + at_k[:, None] * DV + at_v[None, :]
    inside = in_k[:, None] & in_v[None, :]
    if PDL > 0:
        gdc_launch_dependents()
    if PDL == 1:
        gdc_wait()
    mat = tl.load(places, mask=inside, other=0.0)
    if PDL == 2:  # no kernel of the same step but this one touches the memory
        gdc_wait()
    gates += sequence // H * gate_stride + head
    log_i = tl.minimum(capped(tl.load(gates), cap, CAPPED), LARGEST)
    copy = sequence * tl.num_programs(1) + tile
    carried = log_sigmoid(capped(tl.load(gates + H), cap, CAPPED)) + tl.load(m + copy)
    top = tl.maximum(tl.maximum(carried, log_i), LOWEST)
    kept, w = tl.exp(carried - top), tl.exp(log_i - top)

    rows += sequence // H * row_stride
    queries = tl.load(rows + head * DK + at_k, mask=in_k, other=0.0).to(tl.float32)
    queries *= 1.0 / tl.sqrt(tl.cast(DK, tl.float32))
    keys = tl.load(rows + (H + head) * DK + at_k, mask=in_k, other=0.0).to(tl.float32) * w
    rows += 2 * H * DK + head * DV
    values = tl.load(rows + at_v, mask=in_v, other=0.0).to(tl.float32)
    vec = tl.load(n + copy * DK + at_k, mask=in_k, other=0.0) * kept + keys
    mat = mat * kept + keys[:, None] * values[None, :]
    tl.store(places, mat, mask=inside)
    tl.store(n + copy * DK + at_k, vec, mask=in_k)
    tl.store(m + copy, top)
    den = tl.maximum(tl.abs(tl.sum(vec * queries, axis=0)), tl.exp(-top)) + eps
    h = tl.sum(mat * queries[:, None], axis=0) / den

    if stats is None:
        tl.store(out + sequence * DV + at_v, h, mask=in_v)
    else:
        o = tl.load(rows + H * DV + at_v, mask=in_v, other=0.0).to(tl.float32)
        b = tl.load(gain + head * DV + at_v, mask=in_v, other=0.0) * tl.sigmoid(o)
        place = head * DV + at_v
        place = place % PLANES * (H * DV // PLANES) + place // PLANES
        tl.store(out + place, h * b, mask=in_v)
        tl.store(out + H * DV + place, b, mask=in_v)
        mean = tl.sum(h, axis=0) / tl.minimum(DV - tile * TILE_V, TILE_V)
        away = tl.where(in_v, h - mean, 0.0)
        tl.store(stats + head * PARTS + tile, mean)
        tl.store(stats + (H + head) * PARTS + tile, tl.sum(away * away, axis=0))


def embed(tokens: Tensor, table: Weights, x: Tensor, planes: int = 1) -> None:
    """Write the rows of the table for tokens (B,) into x (B, E) float32, each row planar.

    A negative token gives zeros.
    """
    width = x.shape[1]
    embed_kernel[(len(tokens), triton.cdiv(width, 1024))](
        tokens, table.matrix, table.scale, x, width, planes, TILE=1024
    )


@triton.jit
def embed_kernel(tokens, table, scale, x, E, planes, TILE: tl.constexpr):
    """One tile of one row. Launched plainly: a new step begins when the last one has ended."""
    row, at = tl.program_id(0).to(tl.int64), tl.program_id(1) * TILE + tl.arange(0, TILE)
    token = tl.load(tokens + row)
    ok = (at < E) & (token >= 0)
    y = tl.load(table + token * E + at, mask=ok, other=0).to(tl.float32)
    if scale is not None:
        y *= tl.load(scale + tl.maximum(token, 0))
    tl.store(x + row * E + at % planes * (E // planes) + at // planes, y, mask=at < E)


def pick(logits: Tensor, tokens: Tensor, draw: Tensor, seed: Tensor) -> None:
    """Choose a token from each row of logits (B, V) float32, into tokens (B,) int64.

    Args:
        logits: as they are.
        tokens: the result; NO_TOKEN where the largest logit is not finite.
        draw: (1,) float32, 1 / temperature; 0 takes the likeliest token.
        seed: (2,) int64, a seed and how many tokens were drawn from it, which is counted on.
    """
    tile = min(16384, max(16, triton.next_power_of_2(logits.shape[1])))
    pdl = programmatic(logits)
    pick_kernel[(len(logits),)](
        logits, tokens, draw, seed, logits.shape[1], TILE=tile, PDL=pdl,
        num_warps=32 if tile > 4096 else 4, **({"launch_pdl": True} if pdl else {}),
    )  # fmt: skip


@triton.jit
def pick_kernel(logits, tokens, draw, seed, V, TILE: tl.constexpr, PDL: tl.constexpr):
    """The largest of logits / temperature + Gumbel noise is a draw from their softmax."""
    if PDL > 0:
        gdc_wait()
    row = tl.program_id(0).to(tl.int64)
    inverse, drawn = tl.load(draw), tl.load(seed + 1)
    best = tl.full((TILE,), float("-inf"), dtype=tl.float32)
    chosen = tl.zeros((TILE,), dtype=tl.int32)
    for start in range(0, V, TILE):
        at = start + tl.arange(0, TILE)
        score = tl.load(logits + row * V + at, mask=at < V, other=float("-inf"))
        score = tl.where(score == score, score, float("inf"))  # a NaN is told, not passed over
        if inverse > 0.0:
            place = (drawn * tl.num_programs(0) + row) * V + at
            noise = -tl.log(-tl.log(tl.rand(tl.load(seed), place)))
            score = score * inverse + noise
        chosen = tl.where(score > best, at, chosen)
        best = tl.maximum(score, best)
    top = tl.max(best, axis=0)
    first = tl.min(tl.where(best == top, chosen, V), axis=0)
    finite = (top > float("-inf")) & (top < float("inf"))
    tl.store(tokens + row, tl.where(finite, first, -1).to(tl.int64))
    if row == 0:
        tl.store(seed + 1, drawn + 1)

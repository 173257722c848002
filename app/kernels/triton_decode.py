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
from app.kernels.triton_matvec import Onward, Weights, leave, place_of, programmatic
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
        place = place_of(head * DV + at_v, H * DV, PLANES)
        tl.store(out + place, h * b, mask=in_v)
        tl.store(out + H * DV + place, b, mask=in_v)
        mean = tl.sum(h, axis=0) / tl.minimum(DV - tile * TILE_V, TILE_V)
        away = tl.where(in_v, h - mean, 0.0)
        tl.store(stats + head * PARTS + tile, mean)
        tl.store(stats + (H + head) * PARTS + tile, tl.sum(away * away, axis=0))


EMBED_TILE = 1024


def embed(
    tokens: Tensor, table: Weights, x: Tensor, planes: int = 1, onward: Onward | None = None
) -> None:
    """Write the rows of the table for tokens (B,) into x (B, E) float32, each row planar.

    A negative token gives zeros. `onward` is for B = 1.
    """
    width = x.shape[1]
    values, left, gain = (None, None, None) if onward is None else vars(onward).values()
    embed_kernel[(len(tokens), triton.cdiv(width, EMBED_TILE))](
        tokens, table.matrix, table.scale, x, values, left, gain, width,
        PLANES=planes, TILE=EMBED_TILE,
    )  # fmt: skip


@triton.jit
def embed_kernel(
    tokens, table, scale, x, values, left, gain, E,
    PLANES: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """One tile of one row. Launched plainly: a new step begins when the last one has ended."""
    row, at = tl.program_id(0).to(tl.int64), tl.program_id(1) * TILE + tl.arange(0, TILE)
    token = tl.load(tokens + row)
    ok = at < E
    y = tl.load(table + token * E + at, mask=ok & (token >= 0), other=0).to(tl.float32)
    if scale is not None:
        y *= tl.load(scale + tl.maximum(token, 0))
    place = place_of(at, E, PLANES)
    tl.store(x + row * E + place, y, mask=ok)
    if values is not None:
        leave(y, place, ok, values, left, gain, tl.program_id(1))


PICK_TILE = 1024


def pick(logits: Tensor, tokens: Tensor, draw: Tensor, seed: Tensor, best: Tensor) -> None:
    """Choose a token from each row of logits (B, V) float32, into tokens (B,) int64.

    Args:
        logits: as they are.
        tokens: the result; NO_TOKEN where the largest logit is not finite.
        draw: (1,) float32, 1 / temperature; 0 takes the likeliest token.
        seed: (2,) int64, a seed and how many tokens were drawn from it, which is counted on.
        best: room for the best of each tile, see `pick_room`.
    """
    batch, vocabulary = logits.shape
    pdl = programmatic(logits)
    options = {"PDL": pdl, **({"launch_pdl": True} if pdl else {})}
    tiles = triton.cdiv(vocabulary, PICK_TILE)
    scores_kernel[(batch, tiles)](
        logits, draw, seed, best, vocabulary, batch, TILE=PICK_TILE, num_warps=4, **options
    )
    pick_kernel[(batch,)](
        best, tokens, seed, vocabulary, tiles, TILES=triton.next_power_of_2(tiles),
        num_warps=1, **options,
    )  # fmt: skip


def pick_room(batch: int, vocabulary: int, device: object) -> Tensor:
    """(2, B, tiles) float32: the best score of each tile of the vocabulary, and its token."""
    return torch.zeros(2, batch, triton.cdiv(vocabulary, PICK_TILE), device=device)


@triton.jit
def scores_kernel(
    logits, draw, seed, best, V, B, TILE: tl.constexpr, PDL: tl.constexpr
):  # fmt: skip
    """The largest of logits / temperature + Gumbel noise is a draw from their softmax."""
    if PDL > 0:
        gdc_launch_dependents()
        gdc_wait()
    row, tile = tl.program_id(0), tl.program_id(1)
    at = tile * TILE + tl.arange(0, TILE)
    score = tl.load(logits + row.to(tl.int64) * V + at, mask=at < V, other=float("-inf"))
    score = tl.where(score == score, score, float("inf"))  # a NaN is told, not passed over
    inverse = tl.load(draw)
    if inverse > 0.0:
        place = (tl.load(seed + 1) * B + row) * V + at
        score = score * inverse - tl.log(-tl.log(tl.rand(tl.load(seed), place)))
    top = tl.max(score, axis=0)
    first = tl.min(tl.where(score == top, at, V), axis=0)
    slot = row * tl.num_programs(1) + tile
    tl.store(best + slot, top)
    # A float32 holds whole numbers up to 2^24, more than any vocabulary has.
    tl.store(best + B * tl.num_programs(1) + slot, first.to(tl.float32))


@triton.jit
def pick_kernel(best, tokens, seed, V, T, TILES: tl.constexpr, PDL: tl.constexpr):
    """The best tile's best token; the first of equals."""
    if PDL > 0:
        gdc_wait()
    row, tile = tl.program_id(0), tl.arange(0, TILES)
    score = tl.load(best + row * T + tile, mask=tile < T, other=float("-inf"))
    places = best + (tl.num_programs(0) + row) * T + tile
    token = tl.load(places, mask=tile < T, other=0.0).to(tl.int64)
    top = tl.max(score, axis=0)
    first = tl.min(tl.where(score == top, token, V), axis=0)
    finite = (top > float("-inf")) & (top < float("inf"))
    tl.store(tokens + row, tl.where(finite, first, -1).to(tl.int64))
    if row == 0:
        tl.store(seed + 1, tl.load(seed + 1) + 1)

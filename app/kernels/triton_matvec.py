"""Matrix times one vector, bounded by the read of the matrix: the work of a decode step at B = 1.

One kernel for every dtype of the weights. Rows of W are read once as 32-bit words, 16 bytes a
thread, taken apart in registers and multiplied in float32; what stands before the product (a norm)
and after it (a residual, an activation) is done in the same launch. Importing this file imports
Triton.

A word holds P neighbouring weights, so vectors are kept in planar order: value k of K stands at
(k mod P) K/P + k div P, and the values that belong to a thread's words are dense again.

An int8 w is read as the byte w + 128, in place: masked, it is a denormal float32 (w + 128) 2^-149,
or 2^8 or 2^16 times that. The vector is scaled by 2^60 to meet it, and 128 times its sum is taken
off at the end: one masking and one multiplication a weight, and no conversion.

With programmatic launch the next kernel's programs start while this one's last ones run: so no
kernel may write, or read what another has written, before its wait.
"""

# ruff: noqa: ANN001, ANN201, ANN202 - arguments of a kernel are pointers and numbers

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

# What stands before the product ...
PLAIN = tl.constexpr(0)
RMS = tl.constexpr(1)  # x * gain / rms(x)
HEADS = tl.constexpr(2)  # (a - mean b) / deviation, head by head, from what `cell_kernel` leaves
INPUTS = {(False, False): PLAIN, (True, False): RMS, (False, True): HEADS}
# ... and after it.
STORE = tl.constexpr(0)
ADD = tl.constexpr(1)  # y += W x
SWIGLU = tl.constexpr(2)  # silu(first half of the rows) * second half
CAP = tl.constexpr(3)  # a tanh(W x / a)

FLOAT32, BFLOAT16, FLOAT16, INT8 = (tl.constexpr(n) for n in range(4))
KINDS = {
    torch.float32: FLOAT32, torch.bfloat16: BFLOAT16, torch.float16: FLOAT16, torch.int8: INT8
}  # fmt: skip
VECTOR = tl.constexpr(4)  # words of one load
GATE_ROWS = tl.constexpr(2)  # rows of the gates a program


@dataclass(frozen=True)
class Tiles:
    """Rows and columns (in words) of W that a program reads at once, and its warps."""

    rows: int
    words: int
    warps: int


# By bytes of a weight: up to so many rows, with more rows, and for rows that are several tiles.
# Measured on an H200 (data/experiments/decode.md).
TILES = {
    1: (16384, Tiles(8, 1024, 8), Tiles(4, 1024, 4), Tiles(8, 512, 4)),
    2: (8192, Tiles(4, 2048, 8), Tiles(8, 2048, 8), Tiles(8, 512, 4)),
    4: (8192, Tiles(4, 1024, 8), Tiles(4, 1024, 8), Tiles(4, 1024, 8)),
}
# How launches overlap where the device can: 0 not at all, 1 a kernel waits first, 2 it loads its
# first weights before it waits. 2 is the fastest (0.875 of the bound for 0.78 in bfloat16). On a
# GPU it was compared in int8 only and outside a graph, so it is not the default before
# `tests/kernels/test_decode_gpu.py` and `tests/model/test_graphs_gpu.py` have passed with it.
PROGRAMMATIC = 1


def programmatic(x: Tensor) -> int:
    """Whether launches on the device of `x` may overlap: compute capability 9 and above."""
    return PROGRAMMATIC if x.is_cuda and torch.cuda.get_device_capability(x.device)[0] >= 9 else 0


def planar(x: Tensor, planes: int) -> Tensor:
    """The last axis in planar order."""
    return x.unflatten(-1, (-1, planes)).transpose(-1, -2).flatten(-2).contiguous()


@dataclass(frozen=True)
class Weights:
    """A matrix (N, K) and, where it is int8, the float32 scale of each row."""

    matrix: Tensor
    scale: Tensor | None = None

    @property
    def planes(self) -> int:
        """P, weights in a word."""
        return 4 // self.matrix.element_size()

    @property
    def bytes(self) -> int:
        """What a product with one vector reads."""
        scale = 0 if self.scale is None else self.scale.numel() * 4
        return self.matrix.numel() * self.matrix.element_size() + scale


def tiles_for(w: Weights) -> Tiles:
    """The tiles of a matrix."""
    rows, few, many, wide = TILES[w.matrix.element_size()]
    tiles = few if len(w.matrix) <= rows else many
    return tiles if w.matrix.shape[1] <= tiles.words * w.planes else wide


def matvec(
    w: Weights,
    x: Tensor,
    y: Tensor,
    *,
    gain: Tensor | None = None,
    stats: Tensor | None = None,
    part: int = 1,
    eps: float = 0.0,
    gates: tuple[Tensor, Tensor] | None = None,
    output: tl.constexpr = STORE,
    cap: float = 0.0,
    tiles: Tiles | None = None,
) -> Tensor:
    """Write W applied to one vector into `y` (float32), and return it.

    Args:
        w: (N, K), float32, float16, bfloat16 or int8; K, and with `stats` K / H, divides by P.
        x: (K,) float32, planar; with `stats` (2, K), the a and b of `cell_kernel`.
        y: (N,); (N / 2,) for SWIGLU; with `gates` (N + G,). Planar for ADD and SWIGLU.
        gain: (K,) float32, planar; x is first divided by its root mean square and multiplied by it.
        stats: (2, H, T) mean and sum of squared deviations of each part of each of H heads.
        part: values of a head in one of the T parts; the last may have fewer.
        eps: inside that root, or inside that of the heads' deviation.
        gates: (G, K) float32 rows, planar as x is, and their (G,) biases; they follow the N rows.
        output: STORE, ADD, SWIGLU or CAP.
        cap: a of CAP.
        tiles: None takes those of the dtype.
    """
    n, k = w.matrix.shape
    t = tiles or tiles_for(w)
    heads, parts = (1, 1) if stats is None else stats.shape[1:]
    words = k // heads // w.planes
    if k % (heads * w.planes):
        raise ValueError(f"{k} columns are no {heads} segments of whole words of {w.planes}")
    width = min(t.words, max(32, triton.next_power_of_2(words)))
    columns = min(t.words, width * triton.next_power_of_2(heads))
    programs = triton.cdiv(n, t.rows) if output != SWIGLU else triton.cdiv(n // 2, t.rows // 2)
    extra, bias = gates or (None, None)
    few = 0 if extra is None else triton.cdiv(len(extra), GATE_ROWS.value)
    pdl = programmatic(x)
    matvec_kernel[(programs + few,)](
        w.matrix.view(torch.int32), w.scale, x, gain, stats, y, extra, bias,
        n, 0 if extra is None else len(extra), few, eps, cap,
        KW=words, SEGMENTS=heads, PARTS=parts, PART=part, PLANES=w.planes,
        ROWS=t.rows, COLUMNS=columns, WIDTH=width, KIND=KINDS[w.matrix.dtype],
        INPUT=INPUTS[gain is not None, stats is not None], OUTPUT=output, PDL=pdl,
        num_warps=t.warps, **({"launch_pdl": True} if pdl else {}),
    )  # fmt: skip
    return y


@triton.jit
def head_statistics(
    stats, first, eps,
    K: tl.constexpr, SEGMENTS: tl.constexpr, PARTS: tl.constexpr, PART: tl.constexpr,
    COUNT: tl.constexpr,
):  # fmt: skip
    """Means and inverse deviations (COUNT,) of heads, from those of their parts PART wide."""
    heads, part = first + tl.arange(0, COUNT), tl.arange(0, PARTS)
    counts = tl.minimum(tl.maximum(K - part * PART, 0), PART).to(tl.float32)[None, :]
    at = heads[:, None] * PARTS + part[None, :]
    ok = (heads < SEGMENTS)[:, None] & (counts > 0)
    means = tl.load(stats + at, mask=ok, other=0.0)
    squares = tl.load(stats + SEGMENTS * PARTS + at, mask=ok, other=0.0)
    mean = tl.sum(means * counts, axis=1) / K
    away = means - mean[:, None]
    total = tl.sum(squares + counts * away * away, axis=1)
    return mean, tl.rsqrt(total / K + eps)


@triton.jit
def weight_of(word, plane: tl.constexpr, KIND: tl.constexpr):
    """One of the weights of each word, in float32; int8 as `meeting` expects it."""
    if KIND == FLOAT32:
        return word.to(tl.float32, bitcast=True)
    if KIND == BFLOAT16:
        half = word << 16 if plane == 0 else word & -65536
        return half.to(tl.float32, bitcast=True)
    if KIND == FLOAT16:
        half = (word >> (16 * plane)).to(tl.int16)
        return half.to(tl.float16, bitcast=True).to(tl.float32)
    byte = word.to(tl.uint32, bitcast=True) ^ 0x80808080
    byte = byte >> 24 if plane == 3 else byte & (0xFF << (8 * plane))
    return byte.to(tl.float32, bitcast=True)


@triton.jit
def meeting(plane: tl.constexpr, KIND: tl.constexpr):
    """What the vector is multiplied by, so that all products are 2^-89 of what they stand for."""
    if KIND != INT8 or plane == 0 or plane == 3:
        return 1.0 if KIND != INT8 else 1152921504606846976.0  # 2^60
    return 4503599627370496.0 if plane == 1 else 17592186044416.0  # 2^52, 2^44


@triton.jit
def columns_of(step, KW: tl.constexpr, SEGMENTS: tl.constexpr, COLUMNS: tl.constexpr,
               WIDTH: tl.constexpr):  # fmt: skip
    """Words of a tile's columns: WIDTH of a segment, COLUMNS // WIDTH segments."""
    tiles: tl.constexpr = (KW + WIDTH - 1) // WIDTH
    local = tl.arange(0, COLUMNS)
    segment = (step // tiles) * (COLUMNS // WIDTH) + local // WIDTH
    inner = (step % tiles) * WIDTH + local % WIDTH
    return segment * KW + inner, (inner < KW) & (segment < SEGMENTS)


@triton.jit
def load_words(
    starts, ok, step,
    KW: tl.constexpr, SEGMENTS: tl.constexpr, COLUMNS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """One tile of W; zeros past its last row and column."""
    whole: tl.constexpr = KW % WIDTH == 0 and SEGMENTS % (COLUMNS // WIDTH) == 0
    at, inside = columns_of(step, KW, SEGMENTS, COLUMNS, WIDTH)
    mask = ok[:, None] if whole else ok[:, None] & inside[None, :]
    return tl.load(starts + at[None, :], mask=mask, other=0, eviction_policy="evict_first")


@triton.jit
def first_words(
    starts, ok,
    KW: tl.constexpr, SEGMENTS: tl.constexpr, COLUMNS: tl.constexpr, WIDTH: tl.constexpr,
    PDL: tl.constexpr,
):  # fmt: skip
    """The first tile of W, and after it the results of earlier kernels are there to be read."""
    if PDL > 0:
        gdc_launch_dependents()
    if PDL == 1:
        gdc_wait()
    words = load_words(starts, ok, 0, KW, SEGMENTS, COLUMNS, WIDTH)
    if PDL == 2:
        gdc_wait()
    return words


@triton.jit
def load_plane(
    x, gain, mean, inverse, plane: tl.constexpr, at, inside,
    WORDS: tl.constexpr, PLANES: tl.constexpr, COLUMNS: tl.constexpr, WIDTH: tl.constexpr,
    INPUT: tl.constexpr,
):  # fmt: skip
    """The values of x that meet one weight of each word: as they are, and as the product wants."""
    raw = tl.load(x + plane * WORDS + at, mask=inside, other=0.0)
    u = raw
    if INPUT == RMS:
        u = raw * tl.load(gain + plane * WORDS + at, mask=inside, other=0.0)
    if INPUT == HEADS:
        b = tl.load(x + (PLANES + plane) * WORDS + at, mask=inside, other=0.0)
        shape: tl.constexpr = (COLUMNS // WIDTH, WIDTH)
        centred = tl.reshape(raw, shape) - mean[:, None] * tl.reshape(b, shape)
        u = tl.reshape(centred * inverse[:, None], (COLUMNS,))
    return raw, u


@triton.jit
def rows_times_vector(
    w, rows, ok, x, gain, stats, eps,
    KW: tl.constexpr, SEGMENTS: tl.constexpr, PARTS: tl.constexpr, PART: tl.constexpr,
    PLANES: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, WIDTH: tl.constexpr,
    KIND: tl.constexpr, INPUT: tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    """Products (ROWS,) of rows of W with the normed vector; the next tile is always on its way."""
    together: tl.constexpr = COLUMNS // WIDTH
    tiles: tl.constexpr = (KW + WIDTH - 1) // WIDTH
    steps: tl.constexpr = tiles * ((SEGMENTS + together - 1) // together)
    plane_words: tl.constexpr = KW * SEGMENTS
    starts = w + rows[:, None] * plane_words
    words = first_words(starts, ok, KW, SEGMENTS, COLUMNS, WIDTH, PDL)
    acc = tl.zeros((ROWS, COLUMNS // VECTOR), dtype=tl.float32)
    squares = tl.zeros((COLUMNS,), dtype=tl.float32)
    plain = tl.zeros((COLUMNS,), dtype=tl.float32)
    for step in range(steps):
        more = ok & (step + 1 < steps)
        following = load_words(starts, more, step + 1, KW, SEGMENTS, COLUMNS, WIDTH)
        at, inside = columns_of(step, KW, SEGMENTS, COLUMNS, WIDTH)
        mean, inverse = 0.0, 1.0
        if INPUT == HEADS:
            first = step // tiles * together
            mean, inverse = head_statistics(
                stats, first, eps, KW * PLANES, SEGMENTS, PARTS, PART, together
            )
        for plane in tl.static_range(PLANES):
            raw, u = load_plane(
                x, gain, mean, inverse, plane, at, inside,
                plane_words, PLANES, COLUMNS, WIDTH, INPUT,
            )  # fmt: skip
            if INPUT == RMS:
                squares += raw * raw
            if KIND == INT8:
                plain += u
                u *= meeting(plane, KIND)
            product = weight_of(words, plane, KIND) * u[None, :]
            # Sums within a thread only: the words of one load are neighbours.
            acc += tl.sum(tl.reshape(product, (ROWS, COLUMNS // VECTOR, VECTOR)), axis=2)
        words = following
    total = tl.sum(acc, axis=1)
    if KIND == INT8:
        total = total * 618970019642690137449562112.0 - 128.0 * tl.sum(plain, axis=0)  # 2^89
    if INPUT == RMS:
        total *= tl.rsqrt(tl.sum(squares, axis=0) / (plane_words * PLANES) + eps)
    return total


@triton.jit
def matvec_kernel(
    w, scale, x, gain, stats, y, extra, bias,
    N, EXTRA_ROWS, EXTRA_PROGRAMS, eps, cap,
    KW: tl.constexpr, SEGMENTS: tl.constexpr, PARTS: tl.constexpr, PART: tl.constexpr,
    PLANES: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, WIDTH: tl.constexpr,
    KIND: tl.constexpr, INPUT: tl.constexpr, OUTPUT: tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    """ROWS rows of W a program; where there are gates, the first programs do their rows."""
    program, local = tl.program_id(0), tl.arange(0, ROWS)
    if extra is not None:
        if program < EXTRA_PROGRAMS:
            rows = program * GATE_ROWS + tl.arange(0, GATE_ROWS)
            ok = rows < EXTRA_ROWS
            total = rows_times_vector(
                extra, rows, ok, x, gain, stats, eps, KW * PLANES, 1, PARTS, PART, 1,
                GATE_ROWS, COLUMNS, COLUMNS, FLOAT32, INPUT, PDL,
            )  # fmt: skip
            total += tl.load(bias + rows, mask=ok, other=0.0)
            tl.store(y + N + rows, total, mask=ok)
            return
        program -= EXTRA_PROGRAMS
    half: tl.constexpr = ROWS // 2
    if OUTPUT == SWIGLU:
        rows = program * half + local % half
        ok = rows < N // 2
        rows += tl.where(local < half, 0, N // 2)
    else:
        rows = program * ROWS + local
        ok = rows < N
    total = rows_times_vector(
        w, rows.to(tl.int64), ok, x, gain, stats, eps, KW, SEGMENTS, PARTS, PART, PLANES,
        ROWS, COLUMNS, WIDTH, KIND, INPUT, PDL,
    )  # fmt: skip
    if scale is not None:
        total *= tl.load(scale + rows, mask=ok, other=0.0)
    if OUTPUT == SWIGLU:
        pair = tl.reshape(total, (2, half))
        first = tl.arange(0, 2)[:, None] == 0
        gate, up = tl.sum(tl.where(first, pair, 0.0), 0), tl.sum(tl.where(first, 0.0, pair), 0)
        rows = program * half + tl.arange(0, half)
        place = rows % PLANES * (N // 2 // PLANES) + rows // PLANES
        tl.store(y + place, gate * tl.sigmoid(gate) * up, mask=rows < N // 2)
    elif OUTPUT == ADD:
        y += rows % PLANES * (N // PLANES) + rows // PLANES
        tl.store(y, total + tl.load(y, mask=ok, other=0.0), mask=ok)
    else:
        if OUTPUT == CAP:
            total = cap * (2.0 * tl.sigmoid(2.0 * total / cap) - 1.0)
        tl.store(y + rows, total, mask=ok)

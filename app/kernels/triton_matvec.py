"""Matrix times one vector, bounded by the read of the matrix: the work of a decode step at B = 1.

One kernel for every dtype of the weights. Rows of W are read once as 32-bit words, 16 bytes a
thread, taken apart in registers and multiplied in float32; what stands after the product (a
residual, an activation) is done in the same launch, and the norm before it is one factor at the
end: whoever made the vector left its gain in it and the sums of its squares beside it. Importing
this file imports Triton.

A word holds P neighbouring weights, so vectors are kept in planar order: value k of K stands at
(k mod P) K/P + k div P, and the values that belong to a thread's words are dense again.

int8 weights are multiplied as `triton_digits` says.

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

from app.kernels.triton_digits import int8_products

# What stands before the product ...
PLAIN = tl.constexpr(0)
RMS = tl.constexpr(1)  # x gain / rms(x), the division left to the end
HEADS = tl.constexpr(2)  # (a - mean b) / deviation, head by head, from what `cell_kernel` leaves
INPUTS = {(False, False): PLAIN, (True, False): RMS, (False, True): HEADS}  # squares, stats
# ... and after it.
STORE = tl.constexpr(0)
ADD = tl.constexpr(1)  # y += W x, and what the next norm wants of it
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


# By bytes of a weight: where a row is one tile, and for wider rows; measured on an H200
# (data/experiments/decode.md).
TILES = {
    1: (Tiles(8, 1024, 4), Tiles(8, 512, 4)),
    2: (Tiles(4, 2048, 4), Tiles(8, 512, 4)),
    4: (Tiles(4, 1024, 8), Tiles(4, 1024, 8)),
}
PROGRAMMATIC = 2  # 0 never, 1 wait first, 2 load the first weights before


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

    @property
    def tiles(self) -> Tiles:
        """How a program reads it."""
        one, many = TILES[self.matrix.element_size()]
        return one if self.matrix.shape[1] <= one.words * self.planes else many


@dataclass(frozen=True)
class Onward:
    """What a residual stream leaves for the norm and the product behind it.

    values: (K,) float32, planar, stream times gain; squares: (S,) sums of the stream's squares, one
    a program; gain: (K,) float32, planar, or None for ones.
    """

    values: Tensor
    squares: Tensor
    gain: Tensor | None

    @classmethod
    def room(cls, width: int, programs: int, gain: Tensor | None, device: object) -> "Onward":
        """Buffers for so many values, written by so many programs."""
        squares = torch.zeros(triton.next_power_of_2(programs), device=device)
        return cls(torch.zeros(width, device=device), squares, gain)


def matvec(
    w: Weights,
    x: Tensor,
    y: Tensor,
    *,
    squares: Tensor | None = None,
    stats: Tensor | None = None,
    part: int = 1,
    eps: float = 0.0,
    gates: tuple[Tensor, Tensor] | None = None,
    output: tl.constexpr = STORE,
    cap: float = 0.0,
    onward: Onward | None = None,
    tiles: Tiles | None = None,
) -> Tensor:
    """Write W applied to one vector into `y` (float32), and return it.

    Args:
        w: (N, K), float32, float16, bfloat16 or int8; K, and with `stats` K / H, divides by P.
        x: (K,) float32, planar; with `stats` (2, K), the a and b of `cell_kernel`.
        y: (N,); (N / 2,) for SWIGLU; with `gates` (N + G,). Planar for ADD and SWIGLU.
        squares: (S,) those of `Onward`: x is divided by the stream's root mean square.
        stats: (2, H, T) mean and sum of squared deviations of each part of each of H heads.
        part: values of a head in one of the T parts; the last may have fewer.
        eps: inside that root, or inside that of the heads' deviation.
        gates: (G, K) float32 rows, planar as x is, and their (G,) biases; they follow the N rows.
        output: STORE, ADD, SWIGLU or CAP.
        cap: a of CAP.
        onward: for ADD, written with y.
        tiles: None takes those of the matrix.
    """
    n, k = w.matrix.shape
    t = tiles or w.tiles
    heads, parts = (1, 1) if stats is None else stats.shape[1:]
    words = k // heads // w.planes
    if k % (heads * w.planes):
        raise ValueError(f"{k} columns are no {heads} segments of whole words of {w.planes}")
    width = min(t.words, max(32, triton.next_power_of_2(words)))
    columns = min(t.words, width * triton.next_power_of_2(heads))
    programs = triton.cdiv(n, t.rows) if output != SWIGLU else triton.cdiv(n // 2, t.rows // 2)
    extra, bias = gates or (None, None)
    few = 0 if extra is None else triton.cdiv(len(extra), GATE_ROWS.value)
    values, left, gain = (None, None, None) if onward is None else vars(onward).values()
    if left is not None and len(left) < programs:
        raise ValueError(f"{programs} programs leave sums; there is room for {len(left)}")
    pdl = programmatic(x)
    matvec_kernel[(programs + few,)](
        w.matrix.view(torch.int32), w.scale, x, squares, stats, y, extra, bias, values, left, gain,
        n, 0 if extra is None else len(extra), few, eps, cap,
        KW=words, SEGMENTS=heads, PARTS=parts, PART=part, PLANES=w.planes,
        SUMS=1 if squares is None else len(squares),
        ROWS=t.rows, COLUMNS=columns, WIDTH=width, KIND=KINDS[w.matrix.dtype],
        INPUT=INPUTS[squares is not None, stats is not None], OUTPUT=output, PDL=pdl,
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
    """One of the weights of each word, in float32."""
    if KIND == FLOAT32:
        return word.to(tl.float32, bitcast=True)
    if KIND == BFLOAT16:
        half = word << 16 if plane == 0 else word & -65536
        return half.to(tl.float32, bitcast=True)
    if KIND == FLOAT16:
        half = (word >> (16 * plane)).to(tl.int16)
        return half.to(tl.float16, bitcast=True).to(tl.float32)


@triton.jit
def place_of(k, K, PLANES: tl.constexpr):
    """Where value k of K stands in planar order."""
    return k % PLANES * (K // PLANES) + k // PLANES


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
    x, mean, inverse, plane: tl.constexpr, at, inside,
    WORDS: tl.constexpr, PLANES: tl.constexpr, COLUMNS: tl.constexpr, WIDTH: tl.constexpr,
    INPUT: tl.constexpr,
):  # fmt: skip
    """The values of x that meet one weight of each word."""
    u = tl.load(x + plane * WORDS + at, mask=inside, other=0.0)
    if INPUT == HEADS:
        b = tl.load(x + (PLANES + plane) * WORDS + at, mask=inside, other=0.0)
        shape: tl.constexpr = (COLUMNS // WIDTH, WIDTH)
        centred = tl.reshape(u, shape) - mean[:, None] * tl.reshape(b, shape)
        u = tl.reshape(centred * inverse[:, None], (COLUMNS,))
    return u


@triton.jit
def rows_times_vector(
    w, rows, ok, x, squares, stats, eps,
    KW: tl.constexpr, SEGMENTS: tl.constexpr, PARTS: tl.constexpr, PART: tl.constexpr,
    PLANES: tl.constexpr, SUMS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    WIDTH: tl.constexpr, KIND: tl.constexpr, INPUT: tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    """Products (ROWS,) of rows of W with the normed vector; the next tile is always on its way."""
    together: tl.constexpr = COLUMNS // WIDTH
    tiles: tl.constexpr = (KW + WIDTH - 1) // WIDTH
    steps: tl.constexpr = tiles * ((SEGMENTS + together - 1) // together)
    plane_words: tl.constexpr = KW * SEGMENTS
    starts = w + rows[:, None] * plane_words
    words = first_words(starts, ok, KW, SEGMENTS, COLUMNS, WIDTH, PDL)
    acc = tl.zeros((ROWS, COLUMNS // VECTOR), dtype=tl.float32)
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
        if KIND == INT8:
            u = ()
            for plane in tl.static_range(PLANES):
                u = u + (load_plane(
                    x, mean, inverse, plane, at, inside, plane_words, PLANES, COLUMNS, WIDTH, INPUT
                ),)  # fmt: skip
            acc += int8_products(words, u[0], u[1], u[2], u[3], ROWS, COLUMNS)
        else:
            for plane in tl.static_range(PLANES):
                u = load_plane(
                    x, mean, inverse, plane, at, inside, plane_words, PLANES, COLUMNS, WIDTH, INPUT
                )
                product = weight_of(words, plane, KIND) * u[None, :]
                # Sums within a thread only: the words of one load are neighbours.
                acc += tl.sum(tl.reshape(product, (ROWS, COLUMNS // VECTOR, VECTOR)), axis=2)
        words = following
    total = tl.sum(acc, axis=1)
    if INPUT == RMS:
        square = tl.sum(tl.load(squares + tl.arange(0, SUMS)), axis=0)
        total *= tl.rsqrt(square / (plane_words * PLANES) + eps)
    return total


@triton.jit
def leave(stream, place, ok, values, left, gain, program):
    """Write what `Onward` holds of some of the stream's values."""
    value = stream
    if gain is not None:
        value = stream * tl.load(gain + place, mask=ok, other=0.0)
    tl.store(values + place, value, mask=ok)
    tl.store(left + program, tl.sum(tl.where(ok, stream * stream, 0.0), axis=0))


@triton.jit
def matvec_kernel(
    w, scale, x, squares, stats, y, extra, bias, values, left, gain,
    N, EXTRA_ROWS, EXTRA_PROGRAMS, eps, cap,
    KW: tl.constexpr, SEGMENTS: tl.constexpr, PARTS: tl.constexpr, PART: tl.constexpr,
    PLANES: tl.constexpr, SUMS: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, WIDTH: tl.constexpr,
    KIND: tl.constexpr, INPUT: tl.constexpr, OUTPUT: tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    """ROWS rows of W a program; where there are gates, the first programs do their rows."""
    program, local = tl.program_id(0), tl.arange(0, ROWS)
    if extra is not None:
        if program < EXTRA_PROGRAMS:
            rows = program * GATE_ROWS + tl.arange(0, GATE_ROWS)
            ok = rows < EXTRA_ROWS
            total = rows_times_vector(
                extra, rows, ok, x, squares, stats, eps, KW * PLANES, 1, PARTS, PART, 1,
                SUMS, GATE_ROWS, COLUMNS, COLUMNS, FLOAT32, INPUT, PDL,
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
        w, rows.to(tl.int64), ok, x, squares, stats, eps, KW, SEGMENTS, PARTS, PART, PLANES,
        SUMS, ROWS, COLUMNS, WIDTH, KIND, INPUT, PDL,
    )  # fmt: skip
    if scale is not None:
        total *= tl.load(scale + rows, mask=ok, other=0.0)
    if OUTPUT == SWIGLU:
        pair = tl.reshape(total, (2, half))
        first = tl.arange(0, 2)[:, None] == 0
        gate, up = tl.sum(tl.where(first, pair, 0.0), 0), tl.sum(tl.where(first, 0.0, pair), 0)
        rows = program * half + tl.arange(0, half)
        inner = gate * tl.sigmoid(gate) * up
        tl.store(y + place_of(rows, N // 2, PLANES), inner, mask=rows < N // 2)
    elif OUTPUT == ADD:
        place = place_of(rows, N, PLANES)
        stream = total + tl.load(y + place, mask=ok, other=0.0)
        tl.store(y + place, stream, mask=ok)
        if values is not None:
            leave(stream, place, ok, values, left, gain, program)
    else:
        if OUTPUT == CAP:
            total = cap * (2.0 * tl.sigmoid(2.0 * total / cap) - 1.0)
        tl.store(y + rows, total, mask=ok)

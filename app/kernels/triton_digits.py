"""int8 weights times a float32 vector as exact sums of whole numbers: four weights an instruction.

Each value of the vector becomes q = round(2^21 x / max |x|), whose three bytes are its digits: two
from 0 to 255 and a signed one. A word of four weights meets a word of four digits in one dp4a, and
the three sums of whole numbers are put together at the end. What is left off is at most 2^-22 of
the largest value. Used by `triton_matvec` only.
"""

# ruff: noqa: ANN001, ANN201 - arguments of a kernel are pointers and numbers

import os

import triton
import triton.language as tl

# Where Triton is interpreted there is no assembler: the same is done byte by byte.
INTERPRETED = tl.constexpr(os.environ.get("TRITON_INTERPRET") == "1")
STEPS = tl.constexpr(2.0**21)
SMALLEST = tl.constexpr(1e-30)
# 1.5 * 2^23: what is added to it stands in the low bits of the sum.
ROUND = tl.constexpr(12582912.0)
ROUND_BITS = tl.constexpr(0x4B400000)


@triton.jit
def byte_of(word, n: tl.constexpr, SIGNED: tl.constexpr):
    """Byte n of each word."""
    byte = word >> (8 * n)
    return (byte << 24) >> 24 if SIGNED else byte & 255


@triton.jit
def dot4(words, digits, total, SIGNED: tl.constexpr):
    """Add to a total the four products of the signed bytes of a word and the bytes of another."""
    if INTERPRETED:
        for n in tl.static_range(4):
            total += byte_of(words, n, True) * byte_of(digits, n, SIGNED)
        return total
    code: tl.constexpr = "dp4a.s32.s32" if SIGNED else "dp4a.s32.u32"
    return tl.inline_asm_elementwise(
        code + " $0, $1, $2, $3;", "=r,r,r,r", [words, digits, total], tl.int32, True, 1
    )


@triton.jit
def bytes_of(a, b, order: tl.constexpr):
    """Four of the eight bytes of two words; each hexadecimal digit of `order` names one."""
    if INTERPRETED:
        out = a & 0
        for n in tl.static_range(4):
            place: tl.constexpr = (order >> (4 * n)) & 7
            byte = byte_of(a, place, False) if place < 4 else byte_of(b, place - 4, False)
            out = out | (byte << (8 * n))
        return out
    orders = tl.full(a.shape, order, tl.int32)
    return tl.inline_asm_elementwise(
        "prmt.b32 $0, $1, $2, $3;", "=r,r,r,r", [a, b, orders], tl.int32, True, 1
    )


@triton.jit
def larger(a, b):
    """The larger number; NaN if one is."""
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def whole(u, scale):
    """round(u scale), between -2^22 and 2^22, as int32."""
    return (u * scale + ROUND).to(tl.int32, bitcast=True) - ROUND_BITS


@triton.jit
def quarters(x, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """The first, second, third and fourth of each four neighbours (ROWS, COLUMNS / 4)."""
    even, odd = tl.split(tl.reshape(x, (ROWS, COLUMNS // 2, 2)))
    first, third = tl.split(tl.reshape(even, (ROWS, COLUMNS // 4, 2)))
    second, fourth = tl.split(tl.reshape(odd, (ROWS, COLUMNS // 4, 2)))
    return first, second, third, fourth


@triton.jit
def four_words(words, digits, SIGNED: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Sums over four neighbouring words, (ROWS, COLUMNS / 4) int32."""
    w0, w1, w2, w3 = quarters(words, ROWS, COLUMNS)
    d0, d1, d2, d3 = quarters(digits[None, :], 1, COLUMNS)
    total = tl.zeros((ROWS, COLUMNS // 4), dtype=tl.int32)
    total = dot4(w1, d1, dot4(w0, d0, total, SIGNED), SIGNED)
    return dot4(w3, d3, dot4(w2, d2, total, SIGNED), SIGNED)


@triton.jit
def int8_products(words, u0, u1, u2, u3, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Sums over four words each of (ROWS, COLUMNS) words, (ROWS, COLUMNS / 4) float32.

    u0 to u3: (COLUMNS,) float32, the values that meet the four weights of each word.
    """
    top = larger(larger(tl.abs(u0), tl.abs(u1)), larger(tl.abs(u2), tl.abs(u3)))
    top = tl.reduce(top, 0, larger)
    scale = STEPS / larger(top, SMALLEST)
    q0, q1, q2, q3 = whole(u0, scale), whole(u1, scale), whole(u2, scale), whole(u3, scale)
    a, b = bytes_of(q0, q1, 0x5140), bytes_of(q2, q3, 0x5140)
    low = four_words(words, bytes_of(a, b, 0x5410), False, ROWS, COLUMNS)
    middle = four_words(words, bytes_of(a, b, 0x7632), False, ROWS, COLUMNS)
    a, b = bytes_of(q0, q1, 0x0062), bytes_of(q2, q3, 0x0062)
    high = four_words(words, bytes_of(a, b, 0x5410), True, ROWS, COLUMNS)
    total = (low + 256 * middle).to(tl.float32) + 65536.0 * high.to(tl.float32)
    return total * (top / STEPS)

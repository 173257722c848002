"""Triton kernels of the chunkwise mLSTM, forward. Launched by `triton_chunkwise` only.

Plain pointers and masks: rows past the sequence or the chunk, and columns past the head width, are
read as zeros and never written. Names: b sequence and head, n chunk, `ok` rows that exist.
"""

# ruff: noqa: ANN001, ANN201, ANN202 - arguments of a kernel are pointers and numbers

import triton
import triton.language as tl

from app.kernels.state import LOWEST_M

LOWEST = tl.constexpr(LOWEST_M)
# Products of float32 numbers: three tensor-core passes, nearly as exact as float32 itself.
PRECISION = tl.constexpr("tf32x3")
# Whose term won the maximum M of a row: a token (its place in the chunk), or one of these.
CARRIED = tl.constexpr(-1)
NOBODY = tl.constexpr(-2)
# Numbers that change from call to call: they must not each ask for a compilation.
LOOSE = ["H", "S", "L", "N"]


@triton.jit
def head_scale(DK, ACC: tl.constexpr):
    """1 / sqrt(Dk), in the sums' dtype: a number given to a kernel would be float32."""
    return 1.0 / tl.sqrt(tl.cast(DK, ACC))


@triton.jit
def load_tile(p, rows, cols, stride, ok, width):
    """Rows x columns of a matrix with dense columns; zeros where there is nothing."""
    mask = ok[:, None] & (cols < width)[None, :]
    return tl.load(p + rows[:, None] * stride + cols[None, :], mask=mask, other=0.0)


@triton.jit
def store_tile(p, x, rows, cols, stride, ok, width):
    """Write what exists of a tile, in the dtype of `p`."""
    mask = ok[:, None] & (cols < width)[None, :]
    tl.store(p + rows[:, None] * stride + cols[None, :], x.to(p.dtype.element_ty), mask=mask)


@triton.jit
def chunk_rows(n, S, L, ROWS: tl.constexpr):
    """Places of a chunk's rows in the sequence, and which of them exist."""
    local = tl.arange(0, ROWS)
    rows = n * L + local
    return rows, (local < L) & (rows < S)


@triton.jit
def load_gates(i, lf, rows, ok):
    """Log gates of a chunk; a row that does not exist neither forgets nor writes."""
    log_i = tl.load(i + rows, mask=ok, other=float("-inf"))
    return log_i, tl.load(lf + rows, mask=ok, other=0.0)


@triton.jit
def log_weights(log_i, log_f, ok, ROWS: tl.constexpr):
    """logD[t, j], summed row by row: differences of one sum are NaN after a gate of -inf."""
    t, j = tl.arange(0, ROWS)[:, None], tl.arange(0, ROWS)[None, :]
    d = tl.cumsum(tl.where(t > j, log_f[:, None], 0.0), axis=0)
    return tl.where((t >= j) & ok[:, None], d + log_i[None, :], float("-inf"))


@triton.jit
def log_to_end(log_i, lf, rows, S, L, ROWS: tl.constexpr):
    """Log weight of each token of a chunk in the state at the chunk's end."""
    exists = (tl.arange(0, ROWS) + 1 < L) & (rows + 1 < S)
    following = tl.load(lf + rows + 1, mask=exists, other=0.0)
    return tl.cumsum(following, axis=0, reverse=True) + log_i


@triton.jit(do_not_specialize=LOOSE)
def states_kernel(
    k, v, i, lf, c0, n0, m0, c, n, m, c_last, n_last, m_last,
    k_b, k_h, k_s, v_b, v_h, v_s,
    H, S, L, N, DK, DV,
    ROWS: tl.constexpr, TILE_K: tl.constexpr, TILE_V: tl.constexpr,
    ACC: tl.constexpr, DOT: tl.constexpr, EPS: tl.constexpr,
):  # fmt: skip
    """Walk the chunks of one head; store one tile of the state before each, and the last."""
    b, tile_k, tile_v = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.program_id(2)
    k += (b // H) * k_b + (b % H) * k_h
    v += (b // H) * v_b + (b % H) * v_h
    at_k = tile_k * TILE_K + tl.arange(0, TILE_K)
    at_v = tile_v * TILE_V + tl.arange(0, TILE_V)
    in_k = at_k < DK
    has_n = in_k & (tile_v == 0)  # the first column of tiles keeps n, the first tile m
    has_m = (tile_k == 0) & (tile_v == 0)

    mat = load_tile(c0 + b * DK * DV, at_k, at_v, DV, in_k, DV).to(ACC)
    vec = tl.load(n0 + b * DK + at_k, mask=in_k, other=0.0).to(ACC)
    top = tl.load(m0 + b).to(ACC)
    for x in range(0, N):
        store_tile(c + (b * N + x) * DK * DV, mat, at_k, at_v, DV, in_k, DV)
        tl.store(n + (b * N + x) * DK + at_k, vec, mask=has_n)
        tl.store(m + b * (N + 1) + x, top, mask=has_m)

        rows, ok = chunk_rows(x, S, L, ROWS)
        log_i, log_f = load_gates(i + b * S, lf + b * S, rows, ok)
        a = log_to_end(log_i, lf + b * S, rows, S, L, ROWS)
        carried = tl.sum(log_f, axis=0) + top
        top = tl.maximum(tl.maximum(carried, tl.max(a, axis=0)), LOWEST)
        kept, w = tl.exp(carried - top), tl.exp(a - top)

        keys = load_tile(k, rows, at_k, k_s, ok, DK).to(ACC) * w[:, None]
        values = load_tile(v, rows, at_v, v_s, ok, DV).to(DOT)
        added = tl.dot(tl.trans(keys).to(DOT), values, input_precision=PRECISION)
        mat = mat * kept + added
        vec = vec * kept + tl.sum(keys, axis=0)
    store_tile(c_last + b * DK * DV, mat, at_k, at_v, DV, in_k, DV)
    tl.store(n_last + b * DK + at_k, vec, mask=has_n)
    tl.store(m_last + b, top, mask=has_m)
    tl.store(m + b * (N + 1) + N, top, mask=has_m)


@triton.jit(do_not_specialize=LOOSE)
def outputs_kernel(
    q, k, v, i, lf, c, n, m, h, stable, den, winner,
    q_b, q_h, q_s, k_b, k_h, k_s, v_b, v_h, v_s,
    H, S, L, N, DK, DV,
    ROWS: tl.constexpr, TILE_K: tl.constexpr, TILE_V: tl.constexpr,
    ACC: tl.constexpr, DOT: tl.constexpr, EPS: tl.constexpr,
):  # fmt: skip
    """Make one chunk's h, one tile of columns; keep M, the denominator and who won M."""
    x, b, tile_v = tl.program_id(0), tl.program_id(1).to(tl.int64), tl.program_id(2)
    q += (b // H) * q_b + (b % H) * q_h
    k += (b // H) * k_b + (b % H) * k_h
    v += (b // H) * v_b + (b % H) * v_h
    rows, ok = chunk_rows(x, S, L, ROWS)
    at_v = tile_v * TILE_V + tl.arange(0, TILE_V)

    log_i, log_f = load_gates(i + b * S, lf + b * S, rows, ok)
    log_d = log_weights(log_i, log_f, ok, ROWS)
    carried = tl.cumsum(log_f, axis=0) + tl.load(m + b * (N + 1) + x)
    own = tl.max(log_d, axis=1)
    top = tl.maximum(tl.maximum(carried, own), LOWEST)

    p = tl.zeros((ROWS, ROWS), dtype=ACC)
    num = tl.zeros((ROWS, TILE_V), dtype=ACC)
    dot_n = tl.zeros((ROWS,), dtype=ACC)
    for tile in range(0, tl.cdiv(DK, TILE_K)):
        at_k = tile * TILE_K + tl.arange(0, TILE_K)
        in_k = at_k < DK
        queries = load_tile(q, rows, at_k, q_s, ok, DK).to(DOT)
        keys = load_tile(k, rows, at_k, k_s, ok, DK).to(DOT)
        mat = load_tile(c + (b * N + x) * DK * DV, at_k, at_v, DV, in_k, DV).to(DOT)
        vec = tl.load(n + (b * N + x) * DK + at_k, mask=in_k, other=0.0)
        p += tl.dot(queries, tl.trans(keys), input_precision=PRECISION)
        num += tl.dot(queries, mat, input_precision=PRECISION)
        dot_n += tl.sum(queries.to(ACC) * vec[None, :], axis=1)

    p = p * head_scale(DK, ACC) * tl.exp(log_d - top[:, None])
    weight = tl.exp(carried - top) * head_scale(DK, ACC)
    values = load_tile(v, rows, at_v, v_s, ok, DV).to(DOT)
    num = num * weight[:, None] + tl.dot(p.to(DOT), values, input_precision=PRECISION)
    total = tl.sum(p, axis=1) + dot_n * weight
    bound = tl.maximum(tl.abs(total), tl.exp(-top)) + EPS
    store_tile(h + b * S * DV, num / bound[:, None], rows, at_v, DV, ok, DV)

    place = tl.arange(0, ROWS)[None, :]
    first = tl.min(tl.where(log_d == own[:, None], place, ROWS), axis=1)
    who = tl.where(carried >= own, CARRIED, first)
    who = tl.where(tl.maximum(carried, own) < LOWEST, NOBODY, who)
    keeps = ok & (tile_v == 0)
    tl.store(stable + b * S + rows, top, mask=keeps)
    tl.store(den + b * S + rows, total, mask=keeps)
    tl.store(winner + b * S + rows, who, mask=keeps)

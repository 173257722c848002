"""Triton kernels of the chunkwise mLSTM, backward. Launched by `triton_chunkwise` only.

The derivation is in `triton_chunkwise`; conventions are those of `triton_forward`. Gradients of
states come from its `walk_kernel`, backwards.
"""

# ruff: noqa: ANN001, ANN201, ANN202 - arguments of a kernel are pointers and numbers

import triton
import triton.language as tl

from app.kernels.triton_forward import (
    LOOSE,
    LOWEST,
    add_product,
    block_rows,
    head_scale,
    load_gates,
    load_tile,
    similar,
    state_rows,
    store_tile,
    weights,
)
from app.kernels.triton_step import LARGEST


@triton.jit(do_not_specialize=LOOSE)
def rows_kernel(
    dh, h, top, den, read, inverse, dden, dm, mat_weight, vec_weight,
    dh_b, dh_h, dh_s,
    H, S, DV: tl.constexpr,
    ROWS: tl.constexpr, TILE_V: tl.constexpr, ACC: tl.constexpr, EPS: tl.constexpr,
):  # fmt: skip
    """Per row: 1 / R, the gradients of den and of M, and the row's weights in dC and dn."""
    block, head = tl.program_id(0), tl.program_id(1).to(tl.int64)
    dh += (head // H) * dh_b + (head % H) * dh_h
    rows, ok = block_rows(0, block, S, S, ROWS, False)
    dot = tl.zeros((ROWS,), dtype=ACC)
    for tile in range(0, tl.cdiv(DV, TILE_V)):
        at_v = tile * TILE_V + tl.arange(0, TILE_V)
        left = load_tile(dh, rows, at_v, dh_s, DV).to(ACC)
        dot += tl.sum(left * load_tile(h + head * S * DV, rows, at_v, DV, DV).to(ACC), axis=1)
    at = head * S + rows
    total = tl.load(den + at, mask=ok, other=0.0)
    least = tl.exp(-tl.load(top + at, mask=ok, other=0.0))
    carried = tl.load(read + at, mask=ok, other=0.0)
    inv = 1.0 / (tl.maximum(tl.abs(total), least) + EPS)
    sign = tl.where(total > 0, 1.0, -1.0)
    left = tl.where(tl.abs(total) > least, -dot * inv * sign, 0.0)
    tl.store(inverse + at, inv, mask=ok)
    tl.store(dden + at, left, mask=ok)
    tl.store(dm + at, -dot * inv * EPS, mask=ok)
    tl.store(mat_weight + at, carried * inv, mask=ok)
    tl.store(vec_weight + at, carried * left, mask=ok)


@triton.jit(do_not_specialize=LOOSE)
def queries_kernel(
    q, k, v, dh, log_i, b, top, read, inverse, dden, c, n, dq, of_row,
    q_b, q_h, q_s, k_b, k_h, k_s, v_b, v_h, v_s, dh_b, dh_h, dh_s,
    H, S, L, N, DK: tl.constexpr, DV: tl.constexpr,
    ROWS: tl.constexpr, TILE_K: tl.constexpr, PART_K: tl.constexpr, PART_V: tl.constexpr,
    ACC: tl.constexpr, DOT: tl.constexpr, EVEN: tl.constexpr,
):  # fmt: skip
    """The gradient of q of one block of rows; each row's sum of G and share of what it read."""
    tile_k, block, head = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    q += (head // H) * q_b + (head % H) * q_h
    k += (head // H) * k_b + (head % H) * k_h
    v += (head // H) * v_b + (head % H) * v_h
    dh += (head // H) * dh_b + (head % H) * dh_h
    log_i, b, top, read = log_i + head * S, b + head * S, top + head * S, read + head * S
    x, r = block // tl.cdiv(L, ROWS), block % tl.cdiv(L, ROWS)
    rows, ok = block_rows(x, r, S, L, ROWS, EVEN)
    at_k = tile_k * TILE_K + tl.arange(0, TILE_K)
    in_k = at_k < DK
    inv = tl.load(inverse + head * S + rows, mask=ok, other=0.0)
    left = tl.load(dden + head * S + rows, mask=ok, other=0.0)
    b_rows = tl.load(b + rows, mask=ok, other=0.0)
    top_rows = tl.load(top + rows, mask=ok, other=float("inf"))

    c += (head * N + x) * DK * DV
    out = tl.zeros((ROWS, TILE_K), dtype=ACC)
    for part in range(0, tl.cdiv(DV, PART_V)):
        at_v = part * PART_V + tl.arange(0, PART_V)
        grads = load_tile(dh, rows, at_v, dh_s, DV).to(DOT)
        mat = load_tile(c, state_rows(at_k, DK), at_v, DV, DV).to(DOT)
        out = add_product(out, grads, tl.trans(mat))
    vec = tl.load(n + (head * N + x) * DK + at_k, mask=in_k, other=0.0)
    carried = tl.load(read + rows, mask=ok, other=0.0)
    out = (out * inv[:, None] + left[:, None] * vec[None, :]) * carried[:, None]
    queries = load_tile(q, rows, at_k, q_s, DK).to(ACC)
    total = tl.sum(out * queries, axis=1)

    for y in range(0, r + 1):
        keys, key_ok = block_rows(x, y, S, L, ROWS, EVEN)
        b_keys = tl.load(b + keys, mask=key_ok, other=0.0)
        log_keys = tl.load(log_i + keys, mask=key_ok, other=float("-inf"))
        s = similar(q, k, q_s, k_s, rows, keys, ROWS, ROWS, DK, PART_K, ACC, DOT)
        dp = similar(dh, v, dh_s, v_s, rows, keys, ROWS, ROWS, DV, PART_V, ACC, DOT)
        decay = weights(rows, keys, b_rows, b_keys, log_keys, top_rows, ACC) * head_scale(DK, ACC)
        ds = (dp * inv[:, None] + left[:, None]) * decay
        total += tl.where(tile_k == 0, tl.sum(ds * s, axis=1), 0.0)
        tile = load_tile(k, keys, at_k, k_s, DK).to(DOT)
        out = add_product(out, ds.to(DOT), tile)
    store_tile(dq + head * S * DK, out, rows, at_k, DK, ok, DK)
    tl.store(of_row + (head * tl.num_programs(0) + tile_k) * S + rows, total, mask=ok)


@triton.jit(do_not_specialize=LOOSE)
def keys_kernel(
    q, k, v, dh, log_i, b, top, write, inverse, dden, dc, dn, dk, of_key,
    q_b, q_h, q_s, k_b, k_h, k_s, v_b, v_h, v_s, dh_b, dh_h, dh_s,
    H, S, L, N, DK: tl.constexpr, DV: tl.constexpr,
    ROWS: tl.constexpr, TILE_K: tl.constexpr, PART_K: tl.constexpr, PART_V: tl.constexpr,
    ACC: tl.constexpr, DOT: tl.constexpr, EVEN: tl.constexpr,
):  # fmt: skip
    """The gradient of k of one block of keys; each key's sum of G and share of what it wrote."""
    tile_k, block, head = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    q += (head // H) * q_b + (head % H) * q_h
    k += (head // H) * k_b + (head % H) * k_h
    v += (head // H) * v_b + (head % H) * v_h
    dh += (head // H) * dh_b + (head % H) * dh_h
    log_i, b, top, write = log_i + head * S, b + head * S, top + head * S, write + head * S
    inverse, dden = inverse + head * S, dden + head * S
    blocks = tl.cdiv(L, ROWS)
    x, y = block // blocks, block % blocks
    keys, key_ok = block_rows(x, y, S, L, ROWS, EVEN)
    at_k = tile_k * TILE_K + tl.arange(0, TILE_K)
    in_k = at_k < DK
    b_keys = tl.load(b + keys, mask=key_ok, other=0.0)
    log_keys = tl.load(log_i + keys, mask=key_ok, other=float("-inf"))

    dc += (head * N + x) * DK * DV
    out = tl.zeros((ROWS, TILE_K), dtype=ACC)
    for part in range(0, tl.cdiv(DV, PART_V)):
        at_v = part * PART_V + tl.arange(0, PART_V)
        values = load_tile(v, keys, at_v, v_s, DV).to(DOT)
        mat = load_tile(dc, state_rows(at_k, DK), at_v, DV, DV).to(DOT)
        out = add_product(out, values, tl.trans(mat))
    vec = tl.load(dn + (head * N + x) * DK + at_k, mask=in_k, other=0.0)
    out = (out + vec[None, :]) * tl.load(write + keys, mask=key_ok, other=0.0)[:, None]
    total = tl.sum(out * load_tile(k, keys, at_k, k_s, DK).to(ACC), axis=1)

    for r in range(y, blocks):
        rows, ok = block_rows(x, r, S, L, ROWS, EVEN)
        inv = tl.load(inverse + rows, mask=ok, other=0.0)
        left = tl.load(dden + rows, mask=ok, other=0.0)
        b_rows = tl.load(b + rows, mask=ok, other=0.0)
        top_rows = tl.load(top + rows, mask=ok, other=float("inf"))
        s = similar(k, q, k_s, q_s, keys, rows, ROWS, ROWS, DK, PART_K, ACC, DOT)
        dp = similar(v, dh, v_s, dh_s, keys, rows, ROWS, ROWS, DV, PART_V, ACC, DOT)
        decay = weights(rows, keys, b_rows, b_keys, log_keys, top_rows, ACC) * head_scale(DK, ACC)
        ds = (dp * inv[None, :] + left[None, :]) * tl.trans(decay)
        total += tl.where(tile_k == 0, tl.sum(ds * s, axis=1), 0.0)
        tile = load_tile(q, rows, at_k, q_s, DK).to(DOT)
        out = add_product(out, ds.to(DOT), tile)
    store_tile(dk + head * S * DK, out, keys, at_k, DK, key_ok, DK)
    tl.store(of_key + (head * tl.num_programs(0) + tile_k) * S + keys, total, mask=key_ok)


@triton.jit(do_not_specialize=LOOSE)
def values_kernel(
    q, k, dh, log_i, b, top, write, inverse, dc, dv,
    q_b, q_h, q_s, k_b, k_h, k_s, dh_b, dh_h, dh_s,
    H, S, L, N, DK: tl.constexpr, DV: tl.constexpr,
    ROWS: tl.constexpr, PART: tl.constexpr, TILE_V: tl.constexpr,
    ACC: tl.constexpr, DOT: tl.constexpr, EVEN: tl.constexpr,
):  # fmt: skip
    """The gradient of v of one block of keys, one tile of columns."""
    tile_v, block, head = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    q += (head // H) * q_b + (head % H) * q_h
    k += (head // H) * k_b + (head % H) * k_h
    dh += (head // H) * dh_b + (head % H) * dh_h
    log_i, b, top, write = log_i + head * S, b + head * S, top + head * S, write + head * S
    blocks = tl.cdiv(L, ROWS)
    x, y = block // blocks, block % blocks
    keys, key_ok = block_rows(x, y, S, L, ROWS, EVEN)
    at_v = tile_v * TILE_V + tl.arange(0, TILE_V)
    b_keys = tl.load(b + keys, mask=key_ok, other=0.0)
    log_keys = tl.load(log_i + keys, mask=key_ok, other=float("-inf"))

    dc += (head * N + x) * DK * DV
    out = tl.zeros((ROWS, TILE_V), dtype=ACC)
    for part in range(0, tl.cdiv(DK, PART)):
        at_k = part * PART + tl.arange(0, PART)
        tile = load_tile(k, keys, at_k, k_s, DK).to(DOT)
        mat = load_tile(dc, state_rows(at_k, DK), at_v, DV, DV).to(DOT)
        out = add_product(out, tile, mat)
    out *= tl.load(write + keys, mask=key_ok, other=0.0)[:, None]

    for r in range(y, blocks):
        rows, ok = block_rows(x, r, S, L, ROWS, EVEN)
        inv = tl.load(inverse + head * S + rows, mask=ok, other=0.0)
        b_rows = tl.load(b + rows, mask=ok, other=0.0)
        top_rows = tl.load(top + rows, mask=ok, other=float("inf"))
        s = similar(k, q, k_s, q_s, keys, rows, ROWS, ROWS, DK, PART, ACC, DOT)
        decay = weights(rows, keys, b_rows, b_keys, log_keys, top_rows, ACC) * head_scale(DK, ACC)
        p = s * tl.trans(decay) * inv[None, :]
        grads = load_tile(dh, rows, at_v, dh_s, DV).to(DOT)
        out = add_product(out, p.to(DOT), grads)
    store_tile(dv + head * S * DV, out, keys, at_v, DV, key_ok, DV)


@triton.jit
def after_it(passes, own, passes_before, own_before):
    """Two stretches of tokens, the later first: how a gradient at their end arrives before them."""
    return passes * passes_before, own * passes_before + own_before


@triton.jit
def carries(log_i, log_f, top_before):
    """Whether M of a token is the carried one, and whether it is the token's own."""
    carried = log_f + top_before
    some = tl.maximum(carried, log_i) >= LOWEST
    return some & (carried >= log_i), some & (carried < log_i)


@triton.jit(do_not_specialize=[*LOOSE, "TILES"])
def gate_gradients_kernel(
    i, f, m0, top, of_row, of_key, dm, product, dm_last, product_last, di, df, dm0,
    i_b, i_h, i_s, f_b, f_h, f_s,
    H, S, L, N, TILES,
    CHUNKS: tl.constexpr, ROWS: tl.constexpr, SHARES: tl.constexpr, MOST: tl.constexpr,
    ACC: tl.constexpr, START: tl.constexpr, ENDS: tl.constexpr,
):  # fmt: skip
    """Gradients of both gates of one head, from the last chunk to the first.

    of_row and of_key hold SHARES shares of each row's and key's sums; product TILES of each chunk.
    """
    head = tl.program_id(0).to(tl.int64)
    i += (head // H) * i_b + (head % H) * i_h
    f += (head // H) * f_b + (head % H) * f_h
    top, dm = top + head * S, dm + head * S
    first_m = tl.load(m0 + head).to(ACC) if START else tl.cast(0.0, ACC)
    place, local, shares = tl.arange(0, CHUNKS), tl.arange(0, ROWS), tl.arange(0, MOST)
    from_last = tl.load(product_last + head).to(ACC) if ENDS else tl.cast(0.0, ACC)
    onward = tl.load(dm_last + head).to(ACC) if ENDS else tl.cast(0.0, ACC)
    for back in range(0, tl.cdiv(N, CHUNKS)):
        chunk = (tl.cdiv(N, CHUNKS) - 1 - back) * CHUNKS + place
        rows = chunk[:, None] * L + local[None, :]
        ok = (local < L)[None, :] & (rows < S)

        # The gradient of M: own, and what the next token passes back to the carried M.
        own = tl.load(dm + rows, mask=ok, other=0.0)
        next_ok = ok & (rows + 1 < S)
        next_i, next_f = load_gates(i, f, rows + 1, next_ok, i_s, f_s, ACC)
        stable = tl.load(top + rows, mask=ok, other=0.0)
        passes, _ = carries(next_i, next_f, stable)
        passes = tl.where(next_ok, passes.to(ACC), 1.0)
        flat_p, flat_o = tl.reshape(passes, (CHUNKS * ROWS,)), tl.reshape(own, (CHUNKS * ROWS,))
        reach, sums = tl.associative_scan((flat_p, flat_o), 0, after_it, reverse=True)
        total = sums + reach * onward
        onward = tl.sum(tl.where(tl.arange(0, CHUNKS * ROWS) == 0, total, 0.0), axis=0)
        total = tl.reshape(total, (CHUNKS, ROWS))

        li, lf = load_gates(i, f, rows, ok, i_s, f_s, ACC)
        previous = tl.load(top + rows - 1, mask=ok & (rows > 0), other=0.0)
        carried, written = carries(li, lf, tl.where(rows > 0, previous, first_m))

        row, key = tl.zeros((CHUNKS, ROWS), dtype=ACC), tl.zeros((CHUNKS, ROWS), dtype=ACC)
        for share in tl.static_range(SHARES):
            at = (head * SHARES + share) * S + rows
            row += tl.load(of_row + at, mask=ok, other=0.0)
            key += tl.load(of_key + at, mask=ok, other=0.0)
        # What crosses the chunk's end: the product of the state after it with its gradient.
        at = (head * N + chunk + 1)[:, None] * TILES + shares[None, :]
        there = (chunk + 1 < N)[:, None] & (shares < TILES)[None, :]
        crossing = tl.sum(tl.load(product + at, mask=there, other=0.0), axis=1)
        crossing = tl.where(chunk == N - 1, from_last, crossing)
        forget = tl.cumsum(row - key, axis=1, reverse=True) + crossing[:, None]
        forget += tl.where(carried, total, 0.0)
        write = key + tl.where(written, total, 0.0)
        raw_i = tl.load(i + rows * i_s, mask=ok, other=0.0).to(ACC)
        raw_f = tl.load(f + rows * f_s, mask=ok, other=0.0).to(ACC)
        forget *= 1.0 / (1.0 + tl.exp(raw_f))  # lf = log sigmoid(f)
        tl.store(di + head * S + rows, tl.where(raw_i > LARGEST, 0.0, write), mask=ok)
        tl.store(df + head * S + rows, forget, mask=ok)
        if START:
            at = (head * N) * TILES + shares
            begun = tl.sum(tl.load(product + at, mask=shares < TILES, other=0.0), axis=0)
            begun += tl.sum(tl.sum(tl.where(carried & (rows == 0), total, 0.0), axis=1), axis=0)
            tl.store(dm0 + head, begun, mask=tl.max(tl.where(chunk == 0, 1, 0), axis=0) > 0)

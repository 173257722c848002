"""Triton kernels of the chunkwise mLSTM, backward. Launched by `triton_chunkwise` only.

The derivation is in `triton_chunkwise`; conventions are those of `triton_forward`.
"""

# ruff: noqa: ANN001, ANN201, ANN202 - arguments of a kernel are pointers and numbers

import triton
import triton.language as tl

from app.kernels.triton_forward import (
    CARRIED,
    LOOSE,
    PRECISION,
    chunk_rows,
    head_scale,
    load_gates,
    load_tile,
    log_to_end,
    log_weights,
    store_tile,
)


@triton.jit(do_not_specialize=LOOSE)
def rows_kernel(
    dh, h, stable, den, inverse, dden, dm,
    dh_b, dh_h, dh_s,
    H, S, L, N, DK, DV,
    ROWS: tl.constexpr, TILE_K: tl.constexpr, TILE_V: tl.constexpr,
    ACC: tl.constexpr, DOT: tl.constexpr, EPS: tl.constexpr,
):  # fmt: skip
    """Per row: 1 / R, the gradient of den, and that of M."""
    x, b = tl.program_id(0), tl.program_id(1).to(tl.int64)
    dh += (b // H) * dh_b + (b % H) * dh_h
    rows, ok = chunk_rows(x, S, L, ROWS)
    dot = tl.zeros((ROWS,), dtype=ACC)
    for tile in range(0, tl.cdiv(DV, TILE_V)):
        at_v = tile * TILE_V + tl.arange(0, TILE_V)
        left = load_tile(dh, rows, at_v, dh_s, ok, DV).to(ACC)
        dot += tl.sum(left * load_tile(h + b * S * DV, rows, at_v, DV, ok, DV).to(ACC), axis=1)
    total = tl.load(den + b * S + rows, mask=ok, other=0.0)
    least = tl.exp(-tl.load(stable + b * S + rows, mask=ok, other=0.0))
    inv = 1.0 / (tl.maximum(tl.abs(total), least) + EPS)
    sign = tl.where(total > 0, 1.0, -1.0)
    tl.store(inverse + b * S + rows, inv, mask=ok)
    tl.store(dden + b * S + rows, tl.where(tl.abs(total) > least, -dot * inv * sign, 0.0), mask=ok)
    tl.store(dm + b * S + rows, -dot * inv * EPS, mask=ok)


@triton.jit(do_not_specialize=LOOSE)
def state_gradients_kernel(
    q, dh, lf, m, stable, winner, inverse, dden, dm, dc_last, dn_last, dm_last,
    dc, dn, carry, dc0, dn0, dm0,
    q_b, q_h, q_s, dh_b, dh_h, dh_s,
    H, S, L, N, DK, DV,
    ROWS: tl.constexpr, TILE_K: tl.constexpr, TILE_V: tl.constexpr,
    ACC: tl.constexpr, DOT: tl.constexpr, EPS: tl.constexpr,
):  # fmt: skip
    """Walk the chunks from the end; store one tile of the gradient of the state after each."""
    b, tile_k, tile_v = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.program_id(2)
    q += (b // H) * q_b + (b % H) * q_h
    dh += (b // H) * dh_b + (b % H) * dh_h
    at_k = tile_k * TILE_K + tl.arange(0, TILE_K)
    at_v = tile_v * TILE_V + tl.arange(0, TILE_V)
    in_k = at_k < DK
    has_n = in_k & (tile_v == 0)
    has_m = (tile_k == 0) & (tile_v == 0)

    mat = load_tile(dc_last + b * DK * DV, at_k, at_v, DV, in_k, DV).to(ACC)
    vec = tl.load(dn_last + b * DK + at_k, mask=in_k, other=0.0).to(ACC)
    to_m = tl.load(dm_last + b).to(ACC)
    for back in range(0, N):
        x = N - 1 - back
        store_tile(dc + (b * N + x) * DK * DV, mat, at_k, at_v, DV, in_k, DV)
        tl.store(dn + (b * N + x) * DK + at_k, vec, mask=has_n)
        tl.store(carry + b * N + x, to_m, mask=has_m)

        rows, ok = chunk_rows(x, S, L, ROWS)
        log_f = tl.load(lf + b * S + rows, mask=ok, other=0.0)
        before, after = tl.load(m + b * (N + 1) + x), tl.load(m + b * (N + 1) + x + 1)
        top = tl.load(stable + b * S + rows, mask=ok, other=float("inf"))
        weight = tl.exp(tl.cumsum(log_f, axis=0) + before - top) * head_scale(DK, ACC)
        kept = tl.exp(tl.sum(log_f, axis=0) + before - after)

        inv = tl.load(inverse + b * S + rows, mask=ok, other=0.0)
        left = tl.load(dden + b * S + rows, mask=ok, other=0.0)
        queries = load_tile(q, rows, at_k, q_s, ok, DK).to(ACC) * weight[:, None]
        grads = load_tile(dh, rows, at_v, dh_s, ok, DV).to(ACC) * inv[:, None]
        added = tl.dot(tl.trans(queries).to(DOT), grads.to(DOT), input_precision=PRECISION)
        mat = mat * kept + added
        vec = vec * kept + tl.sum(queries * left[:, None], axis=0)

        own = tl.load(dm + b * S + rows, mask=ok, other=0.0)
        own += tl.where(rows == tl.minimum((x + 1) * L, S) - 1, to_m, 0.0)
        who = tl.load(winner + b * S + rows, mask=ok, other=0)
        to_m = tl.sum(tl.where(ok & (who == CARRIED), own, 0.0), axis=0)
    store_tile(dc0 + b * DK * DV, mat, at_k, at_v, DV, in_k, DV)
    tl.store(dn0 + b * DK + at_k, vec, mask=has_n)
    tl.store(dm0 + b, to_m, mask=has_m)


@triton.jit(do_not_specialize=LOOSE)
def gradients_kernel(
    q, k, v, dh, i, lf, c, n, m, stable, winner, inverse, dden, dm, dc, dn, carry,
    dq, dk, dv, di, dlf,
    q_b, q_h, q_s, k_b, k_h, k_s, v_b, v_h, v_s, dh_b, dh_h, dh_s,
    H, S, L, N, DK, DV,
    ROWS: tl.constexpr, TILE_K: tl.constexpr, TILE_V: tl.constexpr,
    ACC: tl.constexpr, DOT: tl.constexpr, EPS: tl.constexpr,
):  # fmt: skip
    """One chunk's gradients of q, k, v and both log gates."""
    x, b = tl.program_id(0), tl.program_id(1).to(tl.int64)
    q += (b // H) * q_b + (b % H) * q_h
    k += (b // H) * k_b + (b % H) * k_h
    v += (b // H) * v_b + (b % H) * v_h
    dh += (b // H) * dh_b + (b % H) * dh_h
    c += (b * N + x) * DK * DV
    n += (b * N + x) * DK
    dc += (b * N + x) * DK * DV
    dn += (b * N + x) * DK
    rows, ok = chunk_rows(x, S, L, ROWS)

    log_i, log_f = load_gates(i + b * S, lf + b * S, rows, ok)
    before, after = tl.load(m + b * (N + 1) + x), tl.load(m + b * (N + 1) + x + 1)
    top = tl.load(stable + b * S + rows, mask=ok, other=float("inf"))
    inv = tl.load(inverse + b * S + rows, mask=ok, other=0.0)
    left = tl.load(dden + b * S + rows, mask=ok, other=0.0)
    decay = tl.exp(log_weights(log_i, log_f, ok, ROWS) - top[:, None]) * head_scale(DK, ACC)
    weight = tl.exp(tl.cumsum(log_f, axis=0) + before - top) * head_scale(DK, ACC)
    w = tl.exp(log_to_end(log_i, lf + b * S, rows, S, L, ROWS) - after)
    kept = tl.exp(tl.sum(log_f, axis=0) + before - after)

    p = tl.zeros((ROWS, ROWS), dtype=ACC)
    for tile in range(0, tl.cdiv(DK, TILE_K)):
        at_k = tile * TILE_K + tl.arange(0, TILE_K)
        queries = load_tile(q, rows, at_k, q_s, ok, DK).to(DOT)
        keys = load_tile(k, rows, at_k, k_s, ok, DK).to(DOT)
        p += tl.dot(queries, tl.trans(keys), input_precision=PRECISION)
    p *= decay
    dp = tl.zeros((ROWS, ROWS), dtype=ACC)
    p_row = tl.trans(p * inv[:, None]).to(DOT)
    for tile in range(0, tl.cdiv(DV, TILE_V)):
        at_v = tile * TILE_V + tl.arange(0, TILE_V)
        grads = load_tile(dh, rows, at_v, dh_s, ok, DV).to(DOT)
        values = load_tile(v, rows, at_v, v_s, ok, DV).to(DOT)
        dp += tl.dot(grads, tl.trans(values), input_precision=PRECISION)
        out = tl.dot(p_row, grads, input_precision=PRECISION)
        for part in range(0, tl.cdiv(DK, TILE_K)):
            at_k = part * TILE_K + tl.arange(0, TILE_K)
            keys = load_tile(k, rows, at_k, k_s, ok, DK).to(ACC) * w[:, None]
            mat = load_tile(dc, at_k, at_v, DV, at_k < DK, DV)
            out += tl.dot(keys.to(DOT), mat.to(DOT), input_precision=PRECISION)
        store_tile(dv + b * S * DV, out, rows, at_v, DV, ok, DV)
    dp = dp * inv[:, None] + left[:, None]

    # G, the gradient of logD, with that of M on the term that won it.
    own = tl.load(dm + b * S + rows, mask=ok, other=0.0)
    last = tl.minimum((x + 1) * L, S) - 1
    own += tl.where(rows == last, tl.load(carry + b * N + x), 0.0)
    who = tl.load(winner + b * S + rows, mask=ok, other=0)
    t, j = tl.arange(0, ROWS)[:, None], tl.arange(0, ROWS)[None, :]
    g = p * dp + tl.where(j == who[:, None], own[:, None], 0.0)
    to_carried = tl.where(who == CARRIED, own, 0.0)  # per row: gradient of b_t + m
    to_w = tl.zeros((ROWS,), dtype=ACC)  # per token: gradient of its log weight at the end
    to_kept = tl.sum(to_w, axis=0)  # a scalar 0: gradient of the decay over the chunk

    dp = (dp * decay).to(DOT)
    for tile in range(0, tl.cdiv(DK, TILE_K)):
        at_k = tile * TILE_K + tl.arange(0, TILE_K)
        in_k = at_k < DK
        queries = load_tile(q, rows, at_k, q_s, ok, DK).to(DOT)
        keys = load_tile(k, rows, at_k, k_s, ok, DK).to(DOT)
        from_c = tl.zeros((ROWS, TILE_K), dtype=ACC)
        from_dc = tl.zeros((ROWS, TILE_K), dtype=ACC)
        for part in range(0, tl.cdiv(DV, TILE_V)):
            at_v = part * TILE_V + tl.arange(0, TILE_V)
            grads = load_tile(dh, rows, at_v, dh_s, ok, DV).to(DOT)
            values = load_tile(v, rows, at_v, v_s, ok, DV).to(DOT)
            mat = load_tile(c, at_k, at_v, DV, in_k, DV)
            dmat = load_tile(dc, at_k, at_v, DV, in_k, DV)
            to_kept += tl.sum(mat * dmat)
            from_c += tl.dot(grads, tl.trans(mat).to(DOT), input_precision=PRECISION)
            from_dc += tl.dot(values, tl.trans(dmat).to(DOT), input_precision=PRECISION)
        vec = tl.load(n + at_k, mask=in_k, other=0.0)
        dvec = tl.load(dn + at_k, mask=in_k, other=0.0)
        to_kept += tl.sum(vec * dvec)
        from_c = (from_c * inv[:, None] + left[:, None] * vec[None, :]) * weight[:, None]
        from_dc = (from_dc + dvec[None, :]) * w[:, None]
        to_carried += tl.sum(queries.to(ACC) * from_c, axis=1)
        to_w += tl.sum(keys.to(ACC) * from_dc, axis=1)
        from_c += tl.dot(dp, keys, input_precision=PRECISION)
        from_dc += tl.dot(tl.trans(dp), queries, input_precision=PRECISION)
        store_tile(dq + b * S * DK, from_c, rows, at_k, DK, ok, DK)
        store_tile(dk + b * S * DK, from_dc, rows, at_k, DK, ok, DK)

    # lf_u is in logD[t, j] for j < u <= t, in b_t for u <= t, in token j's weight for j < u.
    inside = tl.where(j < t, tl.cumsum(g, axis=0, reverse=True), 0.0)
    forget = tl.sum(inside, axis=1) + tl.cumsum(to_carried, axis=0, reverse=True)
    forget += tl.cumsum(to_w, axis=0) - to_w + to_kept * kept
    tl.store(dlf + b * S + rows, forget, mask=ok)
    tl.store(di + b * S + rows, tl.sum(g, axis=0) + to_w, mask=ok)

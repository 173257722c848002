"""Triton kernels of the chunkwise mLSTM, forward. Launched by `triton_chunkwise` only.

Plain pointers; a row past the sequence or the chunk weighs nothing and is never written, a column
past the head width is read as 0. Names: b a sum of gates, x chunk, `ok` rows that exist.

Sums of log forget gates are float64 and start at each chunk: their differences keep the small
gates beside a large one, and a gate that forgets all is a step (RESET) that no other sum reaches.
"""

# ruff: noqa: ANN001, ANN201, ANN202 - arguments of a kernel are pointers and numbers

import triton
import triton.language as tl

from app.kernels.state import LOWEST_M
from app.kernels.triton_step import LARGEST, log_sigmoid

# A log forget gate below FORGETS forgets all; it counts as RESET in a sum, which no 256 others
# reach (2^8 * 2^20 < 2^29), and a difference below RESET / 2 holds such a gate.
FORGETS = tl.constexpr(-(2.0**20))
RESET = tl.constexpr(-(2.0**30))
LOWEST = tl.constexpr(LOWEST_M)
# Products of float32 numbers: three tensor-core passes, nearly as exact as float32 itself.
PRECISION = tl.constexpr("tf32x3")
# Numbers that change from call to call: they must not each ask for a compilation.
LOOSE = ["H", "S", "L", "N"]


@triton.jit
def head_scale(DK, ACC: tl.constexpr):
    """1 / sqrt(Dk), in the sums' dtype: a number given to a kernel would be float32."""
    return 1.0 / tl.sqrt(tl.cast(DK, ACC))


@triton.jit
def store_tile(p, x, rows, cols, stride, ok, width):
    """Write what exists of a tile, in the dtype of `p`."""
    mask = ok[:, None] & (cols < width)[None, :]
    tl.store(p + rows[:, None] * stride + cols[None, :], x.to(p.dtype.element_ty), mask=mask)


@triton.jit
def load_tile(p, rows, cols, stride, width: tl.constexpr):
    """Rows x columns of a matrix with dense columns; rows exist, columns past `width` are 0."""
    at = p + rows[:, None] * stride + cols[None, :]
    if (cols.shape[0] - width) % cols.shape[0] == 0:  # in this order it can be interpreted
        return tl.load(at)
    return tl.load(at, mask=(cols < width)[None, :], other=0.0)


@triton.jit
def add_product(out, left, right):
    """Add left @ right to a sum, in the sum's dtype."""
    return tl.dot(left, right, out, input_precision=PRECISION, out_dtype=out.dtype)


@triton.jit
def block_rows(x, r, S, L, ROWS: tl.constexpr, EVEN: tl.constexpr):
    """Places in the sequence of the rows of block r of chunk x, and which of them exist.

    One that does not exist is another name for the chunk's last row, and weighs nothing; EVEN
    says that all do.
    """
    rows = x * L + r * ROWS + tl.arange(0, ROWS)
    end = tl.minimum(x * L + L, S)
    if EVEN:
        return rows, rows < end
    return tl.minimum(rows, end - 1), rows < end


@triton.jit
def state_rows(at_k, DK: tl.constexpr):
    """Rows of a state for places in a key; past its end they meet columns of k that are 0."""
    return tl.minimum(at_k, DK - 1)


@triton.jit
def log_weight(decay, log_w, top, ACC: tl.constexpr):
    """A log weight after a sum of log forget gates, less M; -inf where one of them forgets all.

    In this order: beside an input gate of LARGEST the decay is nothing, in M as here.
    """
    whole = (decay + log_w.to(tl.float64)) - top.to(tl.float64)
    return tl.where(decay > RESET / 2, whole, float("-inf")).to(ACC)


@triton.jit
def weights(rows, keys, b_rows, b_keys, log_i, top, ACC: tl.constexpr):
    """e^(logD[t, j] - M_t) of a block of rows and a block of keys; 0 where j > t."""
    d = b_rows[:, None] - b_keys[None, :]
    log_w = log_weight(d, log_i[None, :], top[:, None], ACC)
    return tl.exp(tl.where(rows[:, None] >= keys[None, :], log_w, float("-inf")))


@triton.jit
def later(f, top, f_next, top_next):
    """Two stretches of tokens as one: its log decay, and the largest log weight at its end."""
    return f + f_next, tl.maximum(top + f_next, top_next)


@triton.jit
def load_gates(i, f, rows, ok, i_s, f_s, ACC: tl.constexpr):
    """Log gates of tokens; one that does not exist neither forgets nor writes."""
    log_i = tl.load(i + rows * i_s, mask=ok, other=float("-inf")).to(ACC)
    log_f = log_sigmoid(tl.load(f + rows * f_s, mask=ok, other=0.0).to(ACC))
    log_f = tl.where(log_f < FORGETS, float("-inf"), tl.where(ok, log_f, 0.0))
    return tl.minimum(log_i, LARGEST), log_f


@triton.jit(do_not_specialize=LOOSE)
def chunk_gates_kernel(
    i, f, forgotten, gained,
    i_b, i_h, i_s, f_b, f_h, f_s,
    H, S, L, N, ROWS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """A chunk as one token: its sum of log forget gates, its largest log weight at its end."""
    x, head = tl.program_id(0), tl.program_id(1).to(tl.int64)
    i += (head // H) * i_b + (head % H) * i_h
    f += (head // H) * f_b + (head % H) * f_h
    local = tl.arange(0, ROWS)
    ok = (local < L) & (x * L + local < S)
    log_i, log_f = load_gates(i, f, x * L + local, ok, i_s, f_s, ACC)
    _, own = tl.associative_scan((log_f, log_i), 0, later)
    largest = tl.max(tl.where(local == ROWS - 1, own, float("-inf")), axis=0)
    tl.store(forgotten + head * N + x, tl.sum(log_f, axis=0))
    tl.store(gained + head * N + x, largest)


@triton.jit
def stabilisers(forgotten, gained, m, x, N, CHUNKS: tl.constexpr, ACC: tl.constexpr):
    """M before and after chunk x, after m; the same bits in the programs of both its neighbours."""
    before, after, place = m, m, tl.arange(0, CHUNKS)
    for block in range(0, x // CHUNKS + 1):
        at = block * CHUNKS + place
        over = tl.load(forgotten + at, mask=at < N, other=0.0)
        top = tl.load(gained + at, mask=at < N, other=float("-inf"))
        over, top = tl.associative_scan((over, top), 0, later)
        every = tl.maximum(tl.maximum(over + m, top), LOWEST)
        last = tl.sum(tl.where(at == x - 1, every, 0.0), axis=0)
        before = tl.where(x == block * CHUNKS, m, last)
        after = tl.sum(tl.where(at == x, every, 0.0), axis=0)
        m = tl.sum(tl.where(place == CHUNKS - 1, every, 0.0), axis=0)
    return before, after


@triton.jit(do_not_specialize=LOOSE)
def gates_kernel(
    i, f, k, m0, forgotten, gained, log_i, b, top, write, read, keep, sums, m_last,
    i_b, i_h, i_s, f_b, f_h, f_s, k_b, k_h, k_s,
    H, S, L, N, DK: tl.constexpr,
    ROWS: tl.constexpr, CHUNKS: tl.constexpr, TILE_K: tl.constexpr,
    ACC: tl.constexpr, START: tl.constexpr,
):  # fmt: skip
    """All that depends on the gates of one chunk of one head, and what it adds to n (sums).

    Per token: log_i, b (sum of lf from its chunk's start), top (M), its weight in the state at its
    chunk's end (write), s times the weight of the state before its chunk (read); per chunk: keep.
    """
    x, head = tl.program_id(0), tl.program_id(1).to(tl.int64)
    i += (head // H) * i_b + (head % H) * i_h
    f += (head // H) * f_b + (head % H) * f_h
    k += (head // H) * k_b + (head % H) * k_h
    m = tl.load(m0 + head).to(ACC) if START else tl.cast(0.0, ACC)
    before, after = stabilisers(forgotten + head * N, gained + head * N, m, x, N, CHUNKS, ACC)

    local = tl.arange(0, ROWS)
    rows = x * L + local
    ok = (local < L) & (rows < S)
    li, lf = load_gates(i, f, rows, ok, i_s, f_s, ACC)
    decay, own = tl.associative_scan((lf, li), 0, later)
    stable = tl.maximum(tl.maximum(decay + before, own), LOWEST)
    steps = tl.where(lf < FORGETS, RESET, lf).to(tl.float64)
    b_rows, whole = tl.cumsum(steps, axis=0), tl.sum(steps, axis=0)
    to_end = tl.exp(log_weight(whole - b_rows, li, after, ACC))
    from_start = tl.exp(log_weight(b_rows, before, stable, ACC)) * head_scale(DK, ACC)
    at = head * S + rows
    tl.store(log_i + at, li, mask=ok)
    tl.store(b + at, b_rows, mask=ok)
    tl.store(top + at, stable, mask=ok)
    tl.store(write + at, to_end, mask=ok)
    tl.store(read + at, from_start, mask=ok)
    tl.store(keep + head * N + x, tl.exp(log_weight(whole, before, after, ACC)))
    tl.store(m_last + head, after, mask=x == N - 1)

    there = tl.minimum(rows, tl.minimum(x * L + L, S) - 1)
    for tile in tl.static_range((DK + TILE_K - 1) // TILE_K):
        at_k = tile * TILE_K + tl.arange(0, TILE_K)
        total = tl.sum(load_tile(k, there, at_k, k_s, DK).to(ACC) * to_end[:, None], axis=0)
        tl.store(sums + (head * N + x) * DK + at_k, total, mask=at_k < DK)


@triton.jit(do_not_specialize=LOOSE)
def sums_kernel(
    u, weight, sums,
    u_b, u_h, u_s,
    H, S, L, N, DK: tl.constexpr,
    ROWS: tl.constexpr, TILE_K: tl.constexpr, BLOCKS: tl.constexpr,
    ACC: tl.constexpr, EVEN: tl.constexpr,
):  # fmt: skip
    """The sum of weight_t u_t of one chunk, one tile of it; forward `gates_kernel` makes it."""
    tile_k, x, head = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    u += (head // H) * u_b + (head % H) * u_h
    at_k = tile_k * TILE_K + tl.arange(0, TILE_K)
    total = tl.zeros((TILE_K,), dtype=ACC)
    for r in range(0, BLOCKS):
        rows, ok = block_rows(x, r, S, L, ROWS, EVEN)
        w = tl.load(weight + head * S + rows, mask=ok, other=0.0)
        total += tl.sum(load_tile(u, rows, at_k, u_s, DK).to(ACC) * w[:, None], axis=0)
    tl.store(sums + (head * N + x) * DK + at_k, total, mask=at_k < DK)


@triton.jit(do_not_specialize=LOOSE)
def walk_kernel(
    u, y, weight, sums, keep, c0, n0, c, n, c_last, n_last, c_seen, n_seen, product,
    u_b, u_h, u_s, y_b, y_h, y_s,
    H, S, L, N, DK: tl.constexpr, DV: tl.constexpr,
    ROWS: tl.constexpr, TILE_K: tl.constexpr, TILE_V: tl.constexpr, BLOCKS: tl.constexpr,
    ACC: tl.constexpr, DOT: tl.constexpr, EVEN: tl.constexpr,
    START: tl.constexpr, LAST: tl.constexpr, BACK: tl.constexpr,
):  # fmt: skip
    """Carry one tile of a state over the chunks; store it as it is on arrival at each, and at last.

    Per chunk c' = keep c + sum_t weight_t u_t y_t^T and n' = keep n + sums: forward with u = k,
    y = v; with BACK from the last chunk to the first, for the gradients of the states, with
    u = q, y = dh. Then also `product`: this tile's share of c' . c_seen + n' . n_seen, where the
    seen are the states before the chunk.
    """
    tile_v, tile_k, head = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    u += (head // H) * u_b + (head % H) * u_h
    y += (head // H) * y_b + (head % H) * y_h
    at_k = tile_k * TILE_K + tl.arange(0, TILE_K)
    at_v = tile_v * TILE_V + tl.arange(0, TILE_V)
    in_k = at_k < DK
    has_n = in_k & (tile_v == 0)  # the first column of tiles keeps n
    if START:
        mat = load_tile(c0 + head * DK * DV, state_rows(at_k, DK), at_v, DV, DV).to(ACC)
        mat = tl.where(in_k[:, None], mat, 0.0)
        vec = tl.load(n0 + head * DK + at_k, mask=in_k, other=0.0).to(ACC)
    else:
        mat = tl.zeros((TILE_K, TILE_V), dtype=ACC)
        vec = tl.zeros((TILE_K,), dtype=ACC)
    for step in range(0, N * BLOCKS):
        walked = step // BLOCKS
        x, r = (N - 1 - walked if BACK else walked), step % BLOCKS
        arrives = r == 0
        state = head * N + x
        store_tile(c + state * DK * DV, mat, at_k, at_v, DV, in_k & arrives, DV)
        tl.store(n + state * DK + at_k, vec, mask=has_n & arrives)

        rows, ok = block_rows(x, r, S, L, ROWS, EVEN)
        kept = tl.where(arrives, tl.load(keep + state), 1.0)
        if BACK:  # early: nothing waits for it but the last line
            leaves = r == BLOCKS - 1
            seen = load_tile(c_seen + state * DK * DV, state_rows(at_k, DK), at_v, DV, DV)
            seen_n = tl.load(n_seen + state * DK + at_k, mask=has_n & leaves, other=0.0)
        left = load_tile(u, rows, at_k, u_s, DK).to(ACC)
        right = load_tile(y, rows, at_v, y_s, DV).to(DOT)
        w = tl.load(weight + head * S + rows, mask=ok, other=0.0)
        mat = add_product(mat * kept, tl.trans((left * w[:, None]).to(DOT)), right)
        vec = vec * kept + tl.load(sums + state * DK + at_k, mask=in_k & arrives, other=0.0)
        if BACK:
            total = tl.sum(tl.sum(mat * seen, axis=1) + vec * seen_n, axis=0)
            tiles = tl.num_programs(0) * tl.num_programs(1)
            at = state * tiles + tile_k * tl.num_programs(0) + tile_v
            tl.store(product + at, total, mask=leaves)
    if LAST:
        store_tile(c_last + head * DK * DV, mat, at_k, at_v, DV, in_k, DV)
        tl.store(n_last + head * DK + at_k, vec, mask=has_n)


@triton.jit
def similar(q, k, q_s, k_s, rows, keys,
            ROWS: tl.constexpr, KEYS: tl.constexpr, D: tl.constexpr, TILE: tl.constexpr,
            ACC: tl.constexpr, DOT: tl.constexpr):  # fmt: skip
    """The products of a block of rows of q with a block of rows of k, (ROWS, KEYS)."""
    out = tl.zeros((ROWS, KEYS), dtype=ACC)
    for tile in range(0, tl.cdiv(D, TILE)):
        at = tile * TILE + tl.arange(0, TILE)
        left = load_tile(q, rows, at, q_s, D).to(DOT)
        right = load_tile(k, keys, at, k_s, D).to(DOT)
        out = add_product(out, left, tl.trans(right))
    return out


@triton.jit(do_not_specialize=LOOSE)
def outputs_kernel(
    q, k, v, log_i, b, top, read, c, n, h, den,
    q_b, q_h, q_s, k_b, k_h, k_s, v_b, v_h, v_s,
    H, S, L, N, DK: tl.constexpr, DV: tl.constexpr,
    ROWS: tl.constexpr, KEYS: tl.constexpr, PART: tl.constexpr, PART_K: tl.constexpr,
    TILE_V: tl.constexpr,
    ACC: tl.constexpr, DOT: tl.constexpr, EVEN: tl.constexpr, EPS: tl.constexpr,
):  # fmt: skip
    """Make h of one block of rows, one tile of columns; keep the denominator."""
    tile_v, block, head = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    q += (head // H) * q_b + (head % H) * q_h
    k += (head // H) * k_b + (head % H) * k_h
    v += (head // H) * v_b + (head % H) * v_h
    log_i, b, top, read = log_i + head * S, b + head * S, top + head * S, read + head * S
    x, r = block // tl.cdiv(L, ROWS), block % tl.cdiv(L, ROWS)
    rows, ok = block_rows(x, r, S, L, ROWS, EVEN)
    at_v = tile_v * TILE_V + tl.arange(0, TILE_V)
    b_rows = tl.load(b + rows, mask=ok, other=0.0)
    top_rows = tl.load(top + rows, mask=ok, other=float("inf"))  # such a row weighs nothing

    c += (head * N + x) * DK * DV
    n += (head * N + x) * DK
    dot_n = tl.zeros((ROWS,), dtype=ACC)
    # A loop of its own: Triton 3.6 overwrites what a product still reads where a sum reads it too.
    for part in range(0, tl.cdiv(DK, PART_K)):
        at_k = part * PART_K + tl.arange(0, PART_K)
        vec = tl.load(n + at_k, mask=at_k < DK, other=0.0)
        dot_n += tl.sum(load_tile(q, rows, at_k, q_s, DK).to(ACC) * vec[None, :], axis=1)
    num = tl.zeros((ROWS, TILE_V), dtype=ACC)
    for part in range(0, tl.cdiv(DK, PART)):
        at_k = part * PART + tl.arange(0, PART)
        queries = load_tile(q, rows, at_k, q_s, DK).to(DOT)
        mat = load_tile(c, state_rows(at_k, DK), at_v, DV, DV).to(DOT)
        num = add_product(num, queries, mat)
    carried = tl.load(read + rows, mask=ok, other=0.0)
    num, total = num * carried[:, None], dot_n * carried

    for y in range(0, tl.cdiv(tl.minimum(r * ROWS + ROWS, L), KEYS)):
        keys, key_ok = block_rows(x, y, S, L, KEYS, EVEN)
        b_keys = tl.load(b + keys, mask=key_ok, other=0.0)
        log_keys = tl.load(log_i + keys, mask=key_ok, other=float("-inf"))
        p = similar(q, k, q_s, k_s, rows, keys, ROWS, KEYS, DK, PART_K, ACC, DOT)
        p *= weights(rows, keys, b_rows, b_keys, log_keys, top_rows, ACC) * head_scale(DK, ACC)
        values = load_tile(v, keys, at_v, v_s, DV).to(DOT)
        num = add_product(num, p.to(DOT), values)
        total += tl.sum(p, axis=1)
    bound = tl.maximum(tl.abs(total), tl.exp(-top_rows)) + EPS
    store_tile(h + head * S * DV, num / bound[:, None], rows, at_v, DV, ok, DV)
    tl.store(den + head * S + rows, total, mask=ok & (tile_v == 0))

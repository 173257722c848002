"""What the kernels of a decode step must equal, said once: interpreted on a CPU, compiled on a GPU.

Expected values are plain torch in float64.
"""

import torch
import torch.nn.functional as F
from tests.kernels.close import assert_close, carried

from app.kernels import State, mlstm_step
from app.kernels.triton_decode import CellBuffers, cell, embed, pick, pick_room, tile_width
from app.kernels.triton_matvec import (
    ADD,
    CAP,
    SWIGLU,
    Onward,
    Tiles,
    Weights,
    matvec,
    planar,
)
from app.kernels.triton_rows import add_norm, gates_of, head_norm_gate, int8_matmul, silu_product

EPS = 1e-6
LIMIT = 3e-6  # seen: 2e-7 for floats, 1e-6 for int8
SMALL = Tiles(4, 32, 4)  # several tiles a row even where rows are short


def draw(*shape, device, seed=0):
    """Normal numbers, the same on every device."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device)


def weights(n, k, dtype, device):
    """Random weights of a dtype, and what they stand for in float64."""
    w = draw(n, k, device=device, seed=n + k)
    if dtype == torch.int8:
        scale = w.abs().amax(1) / 127
        w = torch.round(w / scale[:, None]).to(torch.int8)
        return Weights(w, scale), w.double() * scale.double()[:, None]
    return Weights(w.to(dtype)), w.to(dtype).double()


def natural(y, planes):
    """The inverse of `planar`: value k stands at (k mod P) K/P + k div P."""
    k = torch.arange(y.shape[-1], device=y.device)
    return y[..., k % planes * (y.shape[-1] // planes) + k // planes]


def products_equal_torch(n, k, dtype, device, tiles=None):
    """Plain, added to what is there, gated, capped."""
    w, exact = weights(n, k, dtype, device)
    x, p = draw(k, device=device, seed=1), w.planes
    want, flat = exact @ x.double(), planar(x, p)
    assert torch.equal(natural(flat, p), x)
    y = torch.full((n,), 9.0, device=device)
    assert_close("store", matvec(w, flat, y, tiles=tiles), want, LIMIT)
    y = torch.full((n // 2,), 9.0, device=device)
    matvec(w, flat, y, output=SWIGLU, tiles=tiles)
    gated = F.silu(want[: n // 2]) * want[n // 2 :]
    assert_close("swiglu", natural(y, p), gated, 4 * LIMIT)
    y = torch.full((n,), 9.0, device=device)
    matvec(w, flat, y, output=CAP, cap=5.0, tiles=tiles)
    assert_close("cap", y, 5 * torch.tanh(want / 5), LIMIT)


def streams_equal_torch(n, k, dtype, device, tiles=None):
    """Added to a stream, which goes on behind its norm to rows and gates, and none is missed."""
    w, exact = weights(n, k, dtype, device)
    behind, exact_behind = weights(10, n, dtype, device)
    x, before = draw(k, device=device, seed=1), draw(n, device=device, seed=2)
    gain, p = 1 + 0.1 * draw(n, device=device, seed=3), w.planes
    gates, bias = draw(6, n, device=device, seed=4), draw(6, device=device, seed=5)
    stream = before.double() + exact @ x.double()
    normed = F.rms_norm(stream, (n,), gain.double(), EPS)
    want = torch.cat([exact_behind @ normed, gates.double() @ normed + bias.double()])

    y = planar(before.clone(), p)
    programs = -(-n // (tiles or w.tiles).rows)
    onward = Onward.room(n, programs, planar(gain, p), device)
    matvec(w, planar(x, p), y, output=ADD, onward=onward, tiles=tiles)
    assert_close("stream", natural(y, p), stream, LIMIT)
    out = torch.full((17,), 9.0, device=device)
    matvec(behind, onward.values, out, squares=onward.squares, eps=EPS,
           gates=(planar(gates, p), bias), tiles=tiles)  # fmt: skip
    assert_close("rows and gates", out[:-1], want, 2 * LIMIT)
    assert out[-1] == 9.0


def cell_equals_native(batch, heads, dk, dv, device, cap=15.0, steps=3):
    """Steps in place: h and the state, and that all tiles keep the same n and m."""
    buffers = CellBuffers.zeros(batch, heads, dk, dv, torch.device(device))
    state = carried(dk, dv, b=batch, h=heads, device=device)
    buffers.load(state)
    exact = State(*(x.double() for x in state))
    for t in range(steps):
        rows, gates, parts = cell_inputs(batch, heads, dk, dv, device, t)
        out = torch.full((batch, heads, dv), 9.0, device=device)
        cell(rows, gates, buffers, out, eps=EPS, cap=cap)
        h, exact = mlstm_step(*native_inputs(parts, gates, cap), exact, eps=EPS)
        assert_close(f"h at {t}", out, h, 5e-6)
    for name, got, want in zip("cnm", buffers.state(), exact):
        assert_close(name, got, want, 3e-6)
    assert all(torch.equal(x, x[:, :, :1].expand_as(x)) for x in (buffers.n, buffers.m))


def cell_inputs(batch, heads, dk, dv, device, seed):
    """Rows of projections, gates, and q, k, v, o as (B, H, ·)."""
    rows = draw(batch, 2 * heads * (dk + dv), device=device, seed=seed)
    gates = 4 * draw(batch, 2 * heads, device=device, seed=seed + 50)
    widths = [heads * dk, heads * dk, heads * dv, heads * dv]
    return rows, gates, [x.view(batch, heads, -1) for x in rows.split(widths, dim=1)]


def native_inputs(parts, gates, cap):
    """What the native step takes, in float64."""
    i, f = gates.double().chunk(2, dim=1)
    soft = (lambda u: cap * torch.tanh(u / cap)) if cap else (lambda u: u)
    return *(x.double() for x in parts[:3]), soft(i), soft(f)


def heads_equal_torch(heads, dk, dv, dtype, device, tiles=None):
    """Cell, norm of the heads, output gate and the matrix behind them, as one row decodes."""
    w, exact = weights(12, heads * dv, dtype, device)
    buffers = CellBuffers.zeros(1, heads, dk, dv, torch.device(device))
    state = carried(dk, dv, b=1, h=heads, device=device)
    buffers.load(state)
    rows, gates, parts = cell_inputs(1, heads, dk, dv, device, 0)
    gain = 1 + 0.1 * draw(heads * dv, device=device, seed=9)
    room = 1 << (buffers.m.shape[2] - 1).bit_length()
    stats = torch.full((2, heads, room), 7.0, device=device)
    out, y = torch.empty(2, heads * dv, device=device), torch.empty(12, device=device)
    cell(rows, gates, buffers, out, eps=EPS, cap=15.0, gain=gain, stats=stats, planes=w.planes)
    matvec(w, out, y, stats=stats, part=tile_width(dk, dv), eps=EPS, tiles=tiles)
    h, _ = mlstm_step(*native_inputs(parts, gates, 15.0), State(*(x.double() for x in state)))
    normed = F.layer_norm(h, (dv,), eps=EPS).flatten() * gain.double()
    assert_close("out", y, exact @ (normed * torch.sigmoid(parts[3].double().flatten())), 2e-5)


def picks_are_the_likeliest(device, vocabulary=3000):
    """Greedy: the first of the largest; no logit that is finite gives -1."""
    logits = draw(4, vocabulary, device=device)
    logits[1, 5] = logits[1, 2900] = 9.0
    logits[2, 3] = torch.nan
    logits[3, 7] = torch.inf
    tokens, seed = (torch.zeros(n, dtype=torch.long, device=device) for n in (4, 2))
    pick(logits, tokens, torch.zeros(1, device=device), seed, pick_room(4, vocabulary, device))
    assert tokens.tolist() == [int(logits[0].argmax()), 5, -1, -1]


def picks_follow_the_softmax(device, count):
    """Drawn at temperature 1/2: shares near softmax(2 logits), and the seed repeats them."""
    logits = torch.log(torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.0]], device=device))
    want = torch.tensor([0.01, 0.04, 0.09, 0.16, 0.0]) / 0.3
    draws, best = [], pick_room(1, 5, device)
    for _ in range(2):
        tokens = torch.zeros(1, dtype=torch.long, device=device)
        seed = torch.tensor([11, 0], device=device)
        halved, seen = torch.full((1,), 2.0, device=device), []
        for _ in range(count):
            pick(logits, tokens, halved, seed, best)
            seen.append(int(tokens))
        draws.append(seen)
        assert seed.tolist() == [11, count]
    assert draws[0] == draws[1]
    shares = torch.bincount(torch.tensor(draws[0]), minlength=5) / count
    assert (shares - want).abs().max() < 4 * 0.5 / count**0.5  # four standard errors


def rows_equal_torch(device, dtype, width=72, rows=5):
    """The embedding, norms, gates and products of many rows."""
    loose = 1e-6 if dtype == torch.float32 else 5e-3
    x, added = draw(rows, width, device=device), draw(rows, width, device=device, seed=1).to(dtype)
    gain = 1 + 0.1 * draw(width, device=device, seed=2)
    stream = x.clone()
    y = add_norm(stream, added, gain, EPS, dtype)
    summed = x.double() + added.double()
    assert_close("stream", stream, summed, 1e-6)
    assert_close("norm", y, F.rms_norm(summed, (width,), gain.double(), EPS), loose)
    wide = draw(rows, 2 * width, device=device, seed=3).to(dtype)
    gate, up = wide.double().chunk(2, dim=1)
    assert_close("silu", silu_product(wide), F.silu(gate) * up, loose)
    h = draw(2, 3, rows, 24, device=device, seed=4).to(dtype).transpose(2, 3).contiguous()
    h = h.transpose(2, 3).contiguous()
    o = draw(2, rows, 100, device=device, seed=5).to(dtype)[..., 14:86]
    normed = F.layer_norm(h.double(), (24,), eps=EPS).transpose(1, 2).flatten(2)
    want = normed * gain.double() * torch.sigmoid(o.double())
    assert_close("heads", head_norm_gate(h, o, gain, EPS, dtype), want, loose)
    table, exact = weights(9, width, torch.int8, device)
    tokens, x = torch.tensor([3, -1], device=device), torch.empty(2, width, device=device)
    embed(tokens, table, x, planes=4)
    want = torch.stack([exact[3], torch.zeros_like(exact[3])])
    assert_close("embedding", natural(x, 4), want, 1e-6)


def gates_equal_torch(device, batch=2, tokens=19, width=200, heads=3):
    """Normed, capped, and at pads those that change no state."""
    x, gain = draw(batch, tokens, width, device=device), draw(width, device=device, seed=1)
    w, bias = draw(2 * heads, width, device=device, seed=2), draw(2 * heads, device=device, seed=3)
    lengths = torch.tensor([tokens, 4], device=device)
    i, f = gates_of(x, gain, EPS, (w, bias), 15.0, lengths)
    normed = F.rms_norm(x.double(), (width,), gain.double(), EPS)
    want = 15 * torch.tanh(F.linear(normed, w.double(), bias.double()) / 15)
    for got, exact in zip((i, f), want.transpose(1, 2).split(heads, dim=1)):
        assert_close("first row", got[0], exact[0], 3e-6)
        assert_close("true tokens", got[1, :, :4], exact[1, :, :4], 3e-6)
    assert (i[1, :, 4:] == -torch.inf).all() and (f[1, :, 4:] == torch.inf).all()


def int8_products_equal_torch(rows, n, k, dtype, device):
    """Few rows against an int8 matrix."""
    w, exact = weights(n, k, torch.int8, device)
    x = draw(rows, k, device=device, seed=7).to(dtype)
    loose = 3e-6 if dtype == torch.float32 else 5e-3
    assert_close("y", int8_matmul(x, w.matrix, w.scale), x.double() @ exact.T, loose)

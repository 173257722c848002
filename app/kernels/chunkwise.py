"""The mLSTM in chunks: quadratic inside a chunk, a carried state between them. Native PyTorch.

Never builds anything of size S x S. Per chunk with incoming (C, n, m), local running sum b_t of
lf (g at its end), D[t, j] = sum of lf over j < u <= t, and s = 1 / sqrt(Dk):

    logD = D + i_j (j <= t)      M_t = max(b_t + m, max_j logD[t, j])
    num_t = e^(b_t + m - M_t) s q_t^T C + sum_j (s q_t . k_j) e^(logD[t, j] - M_t) v_j
    den_t likewise with n and without v;    h_t = num_t / (max(|den_t|, e^-M_t) + eps)

The state after chunk t obeys the same law one level up: a chunk is a "token" whose log forget gate
is g and whose input is sum_j e^(logD[L, j] - A) k_j v_j^T with log input gate A = max_j logD[L, j].
So the states of a run of chunks come from one small matrix of weights, not from a loop.
"""

import torch
from torch import Tensor

from app.kernels.state import (
    LOWEST_M,
    State,
    cell_dtype,
    check_sequence,
    enter,
    log_decay,
    log_gates,
    scale,
)

# Chunks whose states are held at once: bounds memory, and the weights between them stay small.
RUN = 16


def mlstm_chunkwise(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    i: Tensor,
    f: Tensor,
    state: State | None = None,
    *,
    chunk_size: int = 64,
    eps: float = 1e-6,
) -> tuple[Tensor, State]:
    """Read a sequence of any length in chunks of `chunk_size` tokens.

    q, k: (B, H, S, Dk), v: (B, H, S, Dv), i, f: (B, H, S) pre-activations, any float dtype.
    `state` None is the zero state. Padding is a token with i = -inf and f = +inf.
    Returns h (B, H, S, Dv) in v's dtype and the state after the last token, both as
    `mlstm_recurrent` up to rounding; computed in float32 (float64 for float64 inputs).
    Raises ValueError for shapes that do not fit or a chunk size below 1.
    """
    check_sequence(q, k, v, i, f)
    if chunk_size < 1:
        raise ValueError(f"chunk_size is {chunk_size}; it must be at least 1")
    state = enter(state, q, v)
    pieces = []
    start, length = 0, q.shape[-2]
    while start < length:
        tokens = min(length - start, chunk_size)
        chunks = min((length - start) // tokens, RUN)
        part = slice(start, start + chunks * tokens)
        x = (q[..., part, :], k[..., part, :], v[..., part, :], i[..., part], f[..., part])
        h, state = _read_run(*x, state, chunks, eps)
        pieces.append(h)
        start = part.stop
    return (pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=-2)), state


def _read_run(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    i: Tensor,
    f: Tensor,
    state: State,
    chunks: int,
    eps: float,
) -> tuple[Tensor, State]:
    """Read `chunks` whole chunks; shapes as in `mlstm_chunkwise`, state in the cell's dtype."""
    dtype, split = cell_dtype(q), (chunks, -1)
    q, k, x = (y.to(dtype).unflatten(-2, split) for y in (q, k, v))  # (..., N, L, D)
    i, lf = (y.unflatten(-1, split) for y in log_gates(i, f, dtype))  # (..., N, L)
    b, log_d = _log_weights(lf, i)
    before, after = _chunk_states(k, x, b[..., -1], log_d[..., -1, :], state)

    carried = b + before.m.unsqueeze(-1)  # (..., N, L)
    m = torch.maximum(carried, log_d.amax(-1)).clamp(min=LOWEST_M)
    q = q * scale(q.shape[-1])
    p = (q @ k.mT) * torch.exp(log_d - m.unsqueeze(-1))  # (..., N, L, L)
    q = q * torch.exp(carried - m).unsqueeze(-1)
    num = p @ x + q @ before.c
    den = p.sum(-1) + (q @ before.n.unsqueeze(-1)).squeeze(-1)
    den = torch.maximum(den.abs(), torch.exp(-m)) + eps
    h = num / den.unsqueeze(-1)
    return h.flatten(-3, -2).to(v.dtype), after


def _log_weights(lf: Tensor, i: Tensor) -> tuple[Tensor, Tensor]:
    """Return b (..., L) and logD (..., L, L) of log gates (..., L); -inf above the diagonal."""
    d = log_decay(lf)
    above = torch.ones(d.shape[-2:], dtype=torch.bool, device=d.device).triu(1)
    return lf[..., :1] + d[..., :, 0], (d + i.unsqueeze(-2)).masked_fill(above, -torch.inf)


def _chunk_states(
    k: Tensor, v: Tensor, g: Tensor, log_in: Tensor, state: State
) -> tuple[State, State]:
    """Return the states before each chunk (..., N leading) and the one after the last.

    k, v: (..., N, L, D); g: (..., N) log decay over each chunk; log_in: (..., N, L) log weight of
    each token at its chunk's end.
    """
    top = log_in.amax(-1).clamp(min=LOWEST_M)  # (..., N)
    k = k * torch.exp(log_in - top.unsqueeze(-1)).unsqueeze(-1)
    c, n = k.mT @ v, k.sum(-2)  # (..., N, Dk, Dv), (..., N, Dk)

    b, log_w = _log_weights(g, top)
    carried = b + state.m.unsqueeze(-1)
    m = torch.maximum(carried, log_w.amax(-1)).clamp(min=LOWEST_M)  # (..., N)
    w0 = torch.exp(carried - m).unsqueeze(-1)
    w = torch.exp(log_w - m.unsqueeze(-1))  # (..., N, N)
    w = torch.cat((w0, w), dim=-1)  # column 0 weighs the incoming state
    c = torch.cat((state.c.unsqueeze(-3), c), dim=-3)
    n = torch.cat((state.n.unsqueeze(-2), n), dim=-2)
    c_after, n_after = (w @ c.flatten(-2)).unflatten(-1, c.shape[-2:]), w @ n
    before = State(
        torch.cat((state.c.unsqueeze(-3), c_after[..., :-1, :, :]), dim=-3),
        torch.cat((state.n.unsqueeze(-2), n_after[..., :-1, :]), dim=-2),
        torch.cat((state.m.unsqueeze(-1), m[..., :-1]), dim=-1),
    )
    return before, State(c_after[..., -1, :, :], n_after[..., -1, :], m[..., -1])

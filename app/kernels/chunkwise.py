"""The mLSTM in chunks: quadratic inside a chunk, a carried state between them. Native PyTorch.

Never builds anything of size S x S. Per chunk with incoming (C, n, m), local running sum b_t of
lf (g at its end), D[t, j] = sum of lf over j < u <= t, and s = 1 / sqrt(Dk):

    logD = D + i_j (j <= t)      M_t = max(b_t + m, max_j logD[t, j])
    num_t = e^(b_t + m - M_t) s q_t^T C + sum_j (s q_t . k_j) e^(logD[t, j] - M_t) v_j
    den_t likewise with n and without v;    h_t = num_t / (max(|den_t|, e^-M_t) + eps)

Between chunks: m+ = max(g + m, A) with A = max_j logD[L, j],

    C+ = e^(g + m - m+) C + sum_j e^(logD[L, j] - m+) k_j v_j^T        (n+ likewise, without v)

The maxima of a run of chunks obey the law of M one level up: a chunk is a "token" with log forget
gate g and log input gate A. Everything but the walk of C and n is done for a run of chunks at once.
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

# Chunks that are worked on at once: bounds memory at any length.
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
    dtype, split, root = cell_dtype(q), (chunks, -1), 1 / scale(q.shape[-1])
    # Heads are often views of a wider row: one copy here instead of one at each product.
    q, k, x = (y.to(dtype).contiguous().unflatten(-2, split) for y in (q, k, v))  # (..., N, L, D)
    i, lf = (y.unflatten(-1, split) for y in log_gates(i, f, dtype))  # (..., N, L)
    b, log_d = _log_weights(lf, i)
    before, after = _stabilisers(b[..., -1], log_d[..., -1, :].amax(-1), state.m)

    kept = torch.exp(b[..., -1] + before - after)  # (..., N)
    weighted = k * torch.exp(log_d[..., -1, :] - after.unsqueeze(-1)).unsqueeze(-1)
    added = weighted.mT @ x, weighted.sum(-2)  # (..., N, Dk, Dv), (..., N, Dk)

    carried = b + before.unsqueeze(-1)  # (..., N, L)
    m = torch.maximum(carried, log_d.amax(-1)).clamp(min=LOWEST_M)
    p = (q @ k.mT) * torch.exp(log_d - m.unsqueeze(-1))  # (..., N, L, L)
    q = q * torch.exp(carried - m).unsqueeze(-1)
    from_c, n, state = _walk(q, kept, *added, state)

    # s is in neither product: it divides the bound of the denominator instead.
    num = p @ x + from_c
    den = p.sum(-1) + (q @ n.unsqueeze(-1)).squeeze(-1)
    den = torch.maximum(den.abs(), root * torch.exp(-m)) + root * eps
    h = num / den.unsqueeze(-1)
    return h.flatten(-3, -2).to(v.dtype), state._replace(m=after[..., -1])


def _log_weights(lf: Tensor, i: Tensor) -> tuple[Tensor, Tensor]:
    """Return b (..., L) and logD (..., L, L) of log gates (..., L); -inf above the diagonal."""
    d = log_decay(lf)
    above = torch.ones(d.shape[-2:], dtype=torch.bool, device=d.device).triu(1)
    return lf[..., :1] + d[..., :, 0], (d + i.unsqueeze(-2)).masked_fill(above, -torch.inf)


def _stabilisers(g: Tensor, top: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
    """Return m before and after each chunk (..., N), from its g and A (..., N) and the first m."""
    b, log_w = _log_weights(g, top)
    after = torch.maximum(b + m.unsqueeze(-1), log_w.amax(-1)).clamp(min=LOWEST_M)
    return torch.cat((m.unsqueeze(-1), after[..., :-1]), dim=-1), after


def _walk(
    q: Tensor, kept: Tensor, kv: Tensor, k: Tensor, state: State
) -> tuple[Tensor, Tensor, State]:
    """Carry the state through the chunks: C' = kept C + kv, n' = kept n + k.

    q: (..., N, L, Dk), kept: (..., N), kv: (..., N, Dk, Dv), k: (..., N, Dk).
    Returns q C (..., N, L, Dv) and n (..., N, Dk) with the state before each chunk, and the last.
    """
    c, n, _ = state
    from_c, ns = [], []
    kept = kept.unsqueeze(-1)
    for x in range(kept.shape[-2]):
        from_c.append(q[..., x, :, :] @ c)
        ns.append(n)
        n = torch.addcmul(k[..., x, :], n, kept[..., x, :])
        c = torch.addcmul(kv[..., x, :, :], c, kept[..., x, :].unsqueeze(-1))
    return torch.stack(from_c, dim=-3), torch.stack(ns, dim=-2), State(c, n, state.m)

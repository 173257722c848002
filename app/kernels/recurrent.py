"""The mLSTM as it is defined: one step, and the loop over it. The reference of all other forms.

Knows nothing of chunks. With lf = logsigmoid(f) and s = 1 / sqrt(Dk), per head:

    m' = max(lf + m, i)      a = exp(lf + m - m')      b = exp(i - m')
    C' = a C + b k v^T       n' = a n + b k
    h  = s q^T C' / (max(|s q . n'|, exp(-m')) + eps)
"""

import torch
from torch import Tensor

from app.kernels.state import (
    LOWEST_M,
    State,
    cell_dtype,
    check_sequence,
    check_step,
    enter,
    log_gates,
    scale,
)


def mlstm_step(
    q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor, state: State, *, eps: float = 1e-6
) -> tuple[Tensor, State]:
    """Read one token per row.

    q, k: (B, H, Dk), v: (B, H, Dv), i, f: (B, H) pre-activations, any float dtype.
    Returns h (B, H, Dv) in v's dtype and the new state; the given one is left as it is.
    Equations: arXiv 2405.04517. Raises ValueError for inputs or a state that do not fit.
    """
    dtype = cell_dtype(q)
    check_step(q, k, v, i, f)
    c, n, m = enter(state, q.unsqueeze(-2), v.unsqueeze(-2))
    i, lf = log_gates(i, f, dtype)
    kept = lf + m
    m = torch.maximum(kept, i).clamp(min=LOWEST_M)
    a, b = torch.exp(kept - m).unsqueeze(-1), torch.exp(i - m).unsqueeze(-1)
    k = k.to(dtype) * b
    n = torch.addcmul(k, n, a)
    c = torch.addcmul(c * a.unsqueeze(-1), k.unsqueeze(-1), v.to(dtype).unsqueeze(-2))
    q = (q.to(dtype) * scale(q.shape[-1])).unsqueeze(-2)
    den = torch.maximum((q @ n.unsqueeze(-1)).squeeze(-1).abs(), torch.exp(-m).unsqueeze(-1)) + eps
    return ((q @ c).squeeze(-2) / den).to(v.dtype), State(c, n, m)


def mlstm_recurrent(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    i: Tensor,
    f: Tensor,
    state: State | None = None,
    *,
    eps: float = 1e-6,
) -> tuple[Tensor, State]:
    """Read a sequence one step at a time.

    q, k: (B, H, S, Dk), v: (B, H, S, Dv), i, f: (B, H, S) pre-activations, any float dtype.
    `state` None is the zero state. Padding is a token with i = -inf and f = +inf.
    Returns h (B, H, S, Dv) in v's dtype and the state after the last token.
    Raises ValueError for shapes that do not fit.
    """
    check_sequence(q, k, v, i, f)
    state = enter(state, q, v)
    rows = []
    for t in range(q.shape[-2]):
        x = (q[..., t, :], k[..., t, :], v[..., t, :], i[..., t], f[..., t])
        h, state = mlstm_step(*x, state, eps=eps)
        rows.append(h)
    return torch.stack(rows, dim=-2), state

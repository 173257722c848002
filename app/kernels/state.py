"""The carried state of an mLSTM head and the conventions that every formulation shares.

Holds no formulation; never changes a tensor that it was given.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

# Stabilisers are not allowed below e^-80. Whatever is smaller still counts in full relative to it
# (C and n get smaller instead), e^80 stays finite in float32, and an empty state has a finite m.
LOWEST_M = -80.0
# An input gate of +inf means "this token alone": e^1e30 against anything else.
LARGEST_I = 1e30


class State(NamedTuple):
    """Memory of one layer: the true memory is `c * exp(m)` with the true normaliser `n * exp(m)`.

    c: (B, H, Dk, Dv), n: (B, H, Dk), m: (B, H); float32, or float64 where the inputs are.
    Two triples are the same state where `c * exp(m)` and `n * exp(m)` agree.
    """

    c: Tensor
    n: Tensor
    m: Tensor


def zero_state(
    batch: int,
    heads: int,
    dk: int,
    dv: int,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> State:
    """Return the state before the first token: c = 0, n = 0, m = 0 (batch, heads lead)."""
    return State(
        torch.zeros(batch, heads, dk, dv, device=device, dtype=dtype),
        torch.zeros(batch, heads, dk, device=device, dtype=dtype),
        torch.zeros(batch, heads, device=device, dtype=dtype),
    )


def cell_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype of gates, products and states: float64 for float64, else float32."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def enter(state: State | None, q: Tensor, v: Tensor) -> State:
    """Return `state` in the cell's dtype, or zeros for None; q (..., S, Dk), v (..., S, Dv).

    Raises ValueError for a state of another shape: a broadcast one would be read wrongly.
    """
    dtype, lead, dk, dv = cell_dtype(q), q.shape[:-2], q.shape[-1], v.shape[-1]
    if state is None:
        return State(
            q.new_zeros(*lead, dk, dv, dtype=dtype),
            q.new_zeros(*lead, dk, dtype=dtype),
            q.new_zeros(*lead, dtype=dtype),
        )
    shapes = tuple(tuple(x.shape) for x in state)
    wanted = ((*lead, dk, dv), (*lead, dk), tuple(lead))
    if shapes != wanted:
        raise ValueError(f"state (c, n, m) has shapes {shapes}; these inputs need {wanted}")
    return State(*(x.to(dtype) for x in state))


def check_sequence(q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor) -> None:
    """Raise ValueError unless q, k (..., S, Dk), v (..., S, Dv), i, f (..., S) fit and S >= 1."""
    lead = q.shape[:-1]
    if not _fit(q, k, v, i, f) or lead[-1] < 1:
        raise ValueError(
            f"got {_shapes(q, k, v, i, f)}; allowed are q, k (B, H, S, Dk), v (B, H, S, Dv), "
            "i, f (B, H, S), S >= 1"
        )


def check_step(q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor) -> None:
    """Raise ValueError unless q, k (..., Dk), v (..., Dv) and i, f (...) fit: no time axis."""
    if not _fit(q, k, v, i, f):
        raise ValueError(
            f"got {_shapes(q, k, v, i, f)}; a step takes q, k (B, H, Dk), v (B, H, Dv), i, f (B, H)"
        )


def _fit(q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor) -> bool:
    lead = q.shape[:-1]
    return k.shape == q.shape and v.shape[:-1] == lead and i.shape == lead and f.shape == lead


def _shapes(*x: Tensor) -> str:
    return ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in zip("qkvif", x))


def log_gates(i: Tensor, f: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return log input and log forget gate in `dtype`; f = -inf gives -inf, f = +inf gives 0."""
    largest = min(LARGEST_I, torch.finfo(dtype).max)  # float16 ends at 65504
    return i.to(dtype).clamp(max=largest), functional.logsigmoid(f.to(dtype))


def log_decay(log_forget: Tensor) -> Tensor:
    """Return (..., L, L): entry [t, j] is the sum of log_forget over j < u <= t; 0 where j >= t.

    Summed row by row: differences of one running sum would lose the small gates beside a large
    one, and be NaN after a gate of -inf.
    """
    length = log_forget.shape[-1]
    below = torch.ones(length, length, dtype=torch.bool, device=log_forget.device).tril(-1)
    return torch.where(below, log_forget.unsqueeze(-1), 0.0).cumsum(-2)


def scale(dk: int) -> float:
    """Return 1 / sqrt(dk), the factor on q (never on k, so C and n hold unscaled keys)."""
    return 1.0 / math.sqrt(dk)

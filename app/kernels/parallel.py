"""The mLSTM of a whole sequence at once: quadratic in S, for training and for checks.

Never takes or returns a state. With lf = logsigmoid(f), s = 1 / sqrt(Dk):

    logD[t, j] = sum of lf over j < u <= t + i_j where the mask allows, else -inf
    M_t = max_j logD[t, j]        P = (s q k^T) * exp(logD - M)
    h_t = (P v)_t / (max(|sum_j P[t, j]|, exp(-M_t)) + eps)

This is the recurrent form started at m = -inf instead of 0: they differ by the weight of eps only.
"""

from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from app.kernels.state import (
    LOWEST_M,
    State,
    cell_dtype,
    check_sequence,
    log_decay,
    log_gates,
    scale,
)


@dataclass(frozen=True)
class mLSTMBackendParallelConfig:
    """The parallel form as a model's configuration names it."""

    context_length: int = -1

    def assign_model_config_params(self, model_config: Any) -> Self:
        """Return a copy with the context length of `model_config`."""
        return replace(self, context_length=model_config.context_length)

    @property
    def can_vmap_over_heads(self) -> bool:
        """Whether `mlstm_parallel` may be mapped over a head axis that it does not see: yes."""
        return True


def mlstm_parallel(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    i: Tensor,
    f: Tensor,
    state: State | None = None,
    *,
    lower_triangular_matrix: Tensor | None = None,
    stabilize_rowwise: bool = True,
    eps: float = 1e-6,
    qkv_dtype: torch.dtype | None = None,
    gate_dtype: torch.dtype | None = None,
) -> Tensor:
    """Read a whole sequence; any leading axes, so it works per head under vmap as well.

    q, k: (B, H, S, Dk), v: (B, H, S, Dv), i, f: (B, H, S) pre-activations.
    lower_triangular_matrix: (S, S) bool, True where row t may see token j; it replaces the causal
    mask (None). A True above the diagonal shows the future, with the decay inverted.
    stabilize_rowwise: one stabiliser M per row, else one per sequence and head; equal but for eps.
    qkv_dtype: of the products and of h (None: v's own). gate_dtype: of gates, weights and sums
    (None: float32, float64 for float64 inputs).
    Returns h (B, H, S, Dv). Raises ValueError for shapes or masks that do not fit, and for a state.
    """
    check_sequence(q, k, v, i, f)
    if state is not None:
        raise ValueError("the parallel form takes no state; use mlstm_chunkwise to carry one")
    qkv_dtype, gate_dtype = qkv_dtype or v.dtype, gate_dtype or cell_dtype(q)
    q, k, v = (x.to(qkv_dtype) for x in (q, k, v))
    log_d = _log_weights(*log_gates(i, f, gate_dtype), lower_triangular_matrix)
    m = log_d.amax(-1 if stabilize_rowwise else (-2, -1), keepdim=True).clamp(min=LOWEST_M)
    p = ((q * scale(q.shape[-1])) @ k.mT) * torch.exp(log_d - m)
    den = torch.maximum(p.sum(-1, keepdim=True).abs(), torch.exp(-m)) + eps
    return ((p.to(qkv_dtype) @ v) / den).to(qkv_dtype)


def _log_weights(i: Tensor, lf: Tensor, mask: Tensor | None) -> Tensor:
    """Return logD (..., S, S) of log gates (..., S)."""
    d, length = log_decay(lf), lf.shape[-1]
    if mask is None:
        mask = torch.ones(length, length, dtype=torch.bool, device=lf.device).tril()
    elif mask.dtype != torch.bool or mask.shape != (length, length):
        raise ValueError(
            f"lower_triangular_matrix is {mask.dtype} {tuple(mask.shape)}; "
            f"it must be torch.bool ({length}, {length})"
        )
    else:
        d = d - d.mT
    return (d + i.unsqueeze(-2)).masked_fill(~mask, -torch.inf)

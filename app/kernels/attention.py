"""Attention with rotary positions: the transformer's form behind the same q, k, v.

Pure functions of any leading axes, (B, S, D) or (B, H, S, D) or one head under vmap; no state.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional

from app.kernels.state import cell_dtype, scale

ACTIVATIONS = ("softmax", "sigmoid", "none")
PRE_ACTIVATIONS = ("none", "silu", "swish")


@dataclass(frozen=True)
class mLSTMBackendAttentionConfig:
    """Options of `attention` as a model's configuration names them."""

    context_length: int = -1
    activation_function: str = "softmax"
    qk_pre_activation_function: str = "none"
    theta: float = 10000.0

    def assign_model_config_params(self, model_config: Any) -> Self:
        """Return a copy with the context length of `model_config`."""
        return replace(self, context_length=model_config.context_length)

    @property
    def can_vmap_over_heads(self) -> bool:
        """Whether `attention` may be mapped over a head axis that it does not see: yes."""
        return True


def precompute_freqs(
    feat_dim: int,
    max_length: int,
    theta: float = 10000.0,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor]:
    """Return sines and cosines of t * theta^(-2j / feat_dim), each (max_length, feat_dim / 2).

    Raises ValueError for an odd feat_dim: features turn in pairs. Source: arXiv 2104.09864.
    """
    if feat_dim % 2:
        raise ValueError(f"feat_dim is {feat_dim}; rotary embeddings need an even one")
    j = torch.arange(0, feat_dim, 2, device=device, dtype=torch.float64)
    t = torch.arange(max_length, device=device, dtype=torch.float64)
    angle = t.unsqueeze(-1) * theta ** (-j / feat_dim)
    return angle.sin().to(dtype), angle.cos().to(dtype)


def apply_rotary_emb(
    xq: Tensor,
    xk: Tensor,
    freqs_sin: Tensor | None = None,
    freqs_cos: Tensor | None = None,
    theta: float = 10000.0,
) -> tuple[Tensor, Tensor]:
    """Turn feature pairs (2j, 2j + 1) of xq, xk (..., S, D) by their position's angle.

    freqs_sin, freqs_cos: (S or more, D / 2); both None: computed from xq's shape.
    Returns both in their own dtype and shape. Raises ValueError where only one of the two is
    given, or they are too short or too narrow.
    """
    if (freqs_sin is None) != (freqs_cos is None):
        raise ValueError("give both freqs_sin and freqs_cos, or neither")
    if freqs_sin is None or freqs_cos is None:
        length = max(xq.shape[-2], xk.shape[-2])
        freqs_sin, freqs_cos = precompute_freqs(
            xq.shape[-1], length, theta, device=xq.device, dtype=cell_dtype(xq)
        )
    return _turn(xq, freqs_sin, freqs_cos), _turn(xk, freqs_sin, freqs_cos)


def attention(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    attention_mask: Tensor | None = None,
    qkv_dtype: torch.dtype | None = None,
    activation_function: str = "softmax",
    qk_pre_activation_function: str = "none",
    theta: float = 10000.0,
) -> Tensor:
    """Attend over a sequence: pre-activation, rotary positions, q k / sqrt(D), mask, activation.

    queries, keys: (..., S, D), values: (..., S, Dv), with or without a head axis.
    attention_mask: (S, S) bool, False = masked; None is causal, all True is no mask.
    activation_function: "softmax", "sigmoid" (with bias -log S) or "none"; masked pairs weigh 0,
    and so does a row that sees nothing. qk_pre_activation_function: "none", "silu" or "swish".
    Returns (..., S, Dv) in qkv_dtype (None: the values' own); the sums are float32 or float64.
    Raises ValueError for an unknown name or a mask of another shape or dtype.
    """
    _check_names(activation_function, qk_pre_activation_function)
    out_dtype = qkv_dtype or values.dtype
    q, k, v = (x.to(out_dtype).to(cell_dtype(x.to(out_dtype))) for x in (queries, keys, values))
    mask = _mask(attention_mask, q.shape[-2], q.device)
    if qk_pre_activation_function != "none":
        q, k = functional.silu(q), functional.silu(k)
    q, k = apply_rotary_emb(q, k, theta=theta)
    logits = (q * scale(q.shape[-1])) @ k.mT
    if activation_function == "softmax":
        # The smallest finite number, not -inf: a row that sees nothing must not become NaN.
        weights = logits.masked_fill(~mask, torch.finfo(logits.dtype).min).softmax(-1)
    elif activation_function == "sigmoid":
        weights = torch.sigmoid(logits - math.log(q.shape[-2]))
    else:
        weights = logits
    return (weights.masked_fill(~mask, 0.0) @ v).to(out_dtype)


def _turn(x: Tensor, sin: Tensor, cos: Tensor) -> Tensor:
    length, pairs = x.shape[-2], x.shape[-1] // 2
    if sin.shape != cos.shape or sin.shape[0] < length or sin.shape[1:] != (pairs,):
        raise ValueError(
            f"sines {tuple(sin.shape)} and cosines {tuple(cos.shape)} do not serve "
            f"{length} positions of {pairs} pairs"
        )
    sin, cos = sin[:length], cos[:length]
    even, odd = x[..., 0::2], x[..., 1::2]
    turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
    return turned.flatten(-2).to(x.dtype)


def _mask(mask: Tensor | None, length: int, device: torch.device) -> Tensor:
    if mask is None:
        return torch.ones(length, length, dtype=torch.bool, device=device).tril()
    if mask.dtype != torch.bool or mask.shape != (length, length):
        raise ValueError(
            f"attention_mask is {mask.dtype} {tuple(mask.shape)}; "
            f"it must be torch.bool ({length}, {length})"
        )
    return mask


def _check_names(activation: str, pre_activation: str) -> None:
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation_function is {activation!r}; known: {ACTIVATIONS}")
    if pre_activation not in PRE_ACTIVATIONS:
        raise ValueError(
            f"qk_pre_activation_function is {pre_activation!r}; known: {PRE_ACTIVATIONS}"
        )

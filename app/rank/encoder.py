"""The cross-encoder: MiniLM over a question and sentences, and a head that scores each sentence.

Functions of a table of weights by their names in MiniLM's checkpoint, so that trained and merged
weights take the same way. It loads nothing.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from app.rank.windows import PAD

Weights = Mapping[str, Tensor]

HEADS = 12  # of MiniLM-L6-H384: 6 layers of width 384, 12 heads of 32
LAYERS = 6
_EPS = 1e-12


def hidden_states(weights: Weights, ids: Tensor, segments: Tensor) -> Tensor:
    """The last layer's states of a BERT encoder (Devlin et al. 2019), without dropout.

    Args:
        weights: By name, as in MiniLM's checkpoint; their dtype is that of the states.
        ids: (B, L) tokens, PAD where there is none.
        segments: (B, L), 0 or 1.

    Returns:
        (B, L, D); states of padding mean nothing.
    """
    mask = (ids != PAD)[:, None, None, :]
    x = F.embedding(ids, weights["embeddings.word_embeddings.weight"])
    x = x + weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
    x = x + F.embedding(segments, weights["embeddings.token_type_embeddings.weight"])
    x = _norm(weights, "embeddings.LayerNorm", x)
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}."
        x = _norm(weights, at + "attention.output.LayerNorm", x + _attend(weights, at, x, mask))
        inner = F.gelu(_linear(weights, at + "intermediate.dense", x))
        x = _norm(
            weights, at + "output.LayerNorm", x + _linear(weights, at + "output.dense", inner)
        )
    return x


def scores(weights: Weights, ids: Tensor, owner: Tensor, most: int) -> Tensor:
    """Log-odds of each sentence against "not answered here".

    A sentence is its tokens' mean and their sum weighed by a learned attention; the score of none
    comes from the state of [CLS]. Each is a small network of one hidden layer; the difference is
    the score, so that windows of several passages can be compared: none counts 0 in each.

    Args:
        weights: Those of the encoder and of the head.
        ids: (B, L), windows as `windows.padded` makes them.
        owner: (B, L), likewise.
        most: S, sentences of the largest window.

    Returns:
        (B, S) float32; where a window has fewer sentences, -inf.
    """
    states = hidden_states(weights, ids, (owner > 0).long())
    own = owner[:, None, :] == torch.arange(1, most + 1, device=ids.device)[None, :, None]
    some = own.any(-1)
    member = own | ~some[..., None]  # no division by zero where there is no sentence
    mean = member.to(states.dtype) / member.sum(-1, keepdim=True).to(states.dtype)
    weight = (states @ weights["head.attention"]).float()[:, None, :]
    chosen = weight.masked_fill(~member, float("-inf")).softmax(-1).to(states.dtype)
    pooled = torch.cat([mean @ states, chosen @ states], -1)
    score = _network(weights, "head.sentence", pooled)
    none = _network(weights, "head.none", states[:, :1])
    return (score - none).masked_fill(~some, float("-inf"))


def _linear(weights: Weights, name: str, x: Tensor) -> Tensor:
    return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])


def _norm(weights: Weights, name: str, x: Tensor) -> Tensor:
    weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    return F.layer_norm(x, weight.shape, weight, bias, _EPS)


def _attend(weights: Weights, at: str, x: Tensor, mask: Tensor) -> Tensor:
    q, k, v = (
        _linear(weights, f"{at}attention.self.{name}", x).unflatten(-1, (HEADS, -1)).transpose(1, 2)
        for name in ("query", "key", "value")
    )
    mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return _linear(weights, f"{at}attention.output.dense", mixed.transpose(1, 2).flatten(2))


def _network(weights: Weights, name: str, x: Tensor) -> Tensor:
    inner = F.gelu(F.linear(x.float(), weights[f"{name}.hidden"], weights[f"{name}.bias"]))
    return (inner @ weights[f"{name}.out"]) + weights[f"{name}.constant"]

"""The loss of packed rows: cross-entropy, weighted token by token.

Weights stay float32; the model that runs computes as at inference, in bfloat16 on a GPU.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from app.model.layers import Block
from app.model.xlstm import XLSTM

_POSITIONS = 4_096  # projected onto the vocabulary at once: 400 MB of float32 logits at V = 24,576


class PackedLoss:
    """Runs rows through a model's weights.

    Args:
        model: float32 weights; they are what gradients reach.
        start_id: the token that begins a document in a row.
        dtype: of the projections while running; float32 is the model as it is.
        compiler: compiles each block's forward (torch.compile with its settings), or None.
    """

    def __init__(
        self,
        model: XLSTM,
        *,
        start_id: int,
        dtype: torch.dtype = torch.float32,
        compiler: Callable[[Callable[..., Any]], Callable[..., Any]] | None = None,
    ) -> None:
        self._weights, self._start_id = dict(model.named_parameters()), start_id
        with torch.device("meta"):  # its form alone: the weights are given at each call
            runs = XLSTM(model.config, dtype=dtype, kernels=model.kernels)
        self._dtypes = {name: weight.dtype for name, weight in runs.named_parameters()}
        if compiler is not None:
            compiled = compiler(Block.forward)  # once: every block is the same function of its own
            for block in runs.blocks:
                block.forward = functools.partial(compiled, block)
        self._reads, self._scores = _Reads(runs), _Scores(runs)

    def __call__(self, ids: Tensor, weights: Tensor) -> Tensor:
        """Sum over all tokens but the first of weight times negative log-likelihood, in nats.

        Args:
            ids: (B,S+1); each token is predicted from those before it in its document.
            weights: (B,S+1) float; the first of a row counts nothing.
        """
        cast = self._cast()
        x = functional_call(self._reads, cast, (ids[:, :-1], ids[:, :-1] == self._start_id))
        total = x.new_zeros(())
        for part in self._parts(x, ids[:, 1:], weights[:, 1:]):
            # Logits are the largest tensors of all: made again in the backward pass, never kept.
            total = total + checkpoint(self._weighted, cast, *part, use_reentrant=False)
        return total

    @torch.no_grad()
    def judge(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Negative log-likelihood and whether the likeliest token is right, (B,S) each, of ids."""
        cast = self._cast()
        x = functional_call(self._reads, cast, (ids[:, :-1], ids[:, :-1] == self._start_id))
        parts = [
            functional_call(self._scores, cast, part[:2])
            for part in self._parts(x, ids[:, 1:], torch.ones_like(ids[:, 1:]))
        ]
        lost, right = (torch.cat(found).view(ids.shape[0], -1) for found in zip(*parts))
        return lost, right

    def _cast(self) -> dict[str, Tensor]:
        return {f"model.{n}": w.to(self._dtypes[n]) for n, w in self._weights.items()}

    def _parts(self, *tensors: Tensor) -> zip:
        """The tensors (B,S,...) as slices of positions, together."""
        return zip(*(tensor.flatten(0, 1).split(_POSITIONS) for tensor in tensors))

    def _weighted(
        self, cast: dict[str, Tensor], x: Tensor, targets: Tensor, weights: Tensor
    ) -> Tensor:
        lost, _ = functional_call(self._scores, cast, (x, targets))
        return (lost * weights).sum()


class _Reads(nn.Module):
    """Ids and starts (B,S) -> residual stream (B,S,E)."""

    def __init__(self, model: XLSTM) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, starts: Tensor) -> Tensor:
        return self.model.hidden(ids, starts=starts)[0]


class _Scores(nn.Module):
    """Residual stream (T,E) and the tokens that follow (T,) -> nats lost and hits, (T,) each."""

    def __init__(self, model: XLSTM) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.model.project(x)
        return F.cross_entropy(logits, targets, reduction="none"), logits.argmax(-1) == targets

"""The loss of packed rows: cross-entropy, weighted token by token, and the ranking of sentences.

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
        choice_ids: the evidence and the refusal token, whose logits rank sentences; None where
            none are ranked.
        dtype: of the projections while running; float32 is the model as it is.
        compiler: compiles what is around each block's cell (torch.compile with its settings), or
            None; the cell itself is a kernel.
    """

    def __init__(
        self,
        model: XLSTM,
        *,
        start_id: int,
        choice_ids: tuple[int, int] | None = None,
        dtype: torch.dtype = torch.float32,
        compiler: Callable[[Callable[..., Any]], Callable[..., Any]] | None = None,
    ) -> None:
        self._weights, self._start_id = dict(model.named_parameters()), start_id
        self._choice_ids = torch.tensor(choice_ids or (0, 0), device=model.device)
        with torch.device("meta"):  # its form alone: the weights are given at each call
            runs = XLSTM(model.config, dtype=dtype, kernels=model.kernels)
        self._dtypes = {name: weight.dtype for name, weight in runs.named_parameters()}
        first = {id(weight): name for name, weight in runs.named_parameters()}
        self._of_head = {  # a tied weight goes by the name that it has first
            f"model.{name}": f"model.{first[id(weight)]}"
            for name, weight in runs.named_parameters(remove_duplicate=False)
            if name.startswith(("norm.", "head."))
        }
        if compiler is not None:  # once: every block is the same function of its own weights
            before, after = compiler(Block.before_cell), compiler(Block.after_cell)
            for block in runs.blocks:
                block.before_cell = functools.partial(before, block)
                block.after_cell = functools.partial(after, block)
        self._reads, self._chooses = _Reads(runs), _Chooses(runs)
        self._loses, self._scores = _Loses(runs), _Scores(runs)
        if compiler is not None:  # over logits: the most memory that is read and written
            self._loses.forward = functools.partial(compiler(_Loses.forward), self._loses)

    def __call__(
        self, ids: Tensor, weights: Tensor, ends: Tensor | None = None, ranking: float = 0.0
    ) -> Tensor:
        """Weighted negative log-likelihood of all tokens but the first, and of choices, in nats.

        Args:
            ids: (B,S+1); each token is predicted from those before it in its document.
            weights: (B,S+1) float; the first of a row counts nothing.
            ends: (B,S+1) int, what each token ends: 1 a sentence, 2 one that is evidence, 0 none.
            ranking: the weight of each document's choice among the sentences that it has.
        """
        cast = self._cast()
        x = functional_call(self._reads, cast, (ids[:, :-1], ids[:, :-1] == self._start_id))
        total = x.new_zeros(())
        if ends is not None and ranking:
            total = total + ranking * self._choice(cast, x, ids, ends)[0].sum()
        kept = {"use_reentrant": False, "preserve_rng_state": False}
        for part in self._parts(x, ids[:, 1:], weights[:, 1:]):
            # Logits are the largest tensors of all: made again in the backward pass, never kept.
            total = total + checkpoint(self._weighted, cast, *part, **kept)
        return total

    @torch.no_grad()
    def chosen(self, ids: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
        """Nats and whether the choice is right, of every document (N,) that has sentences."""
        cast = self._cast()
        x = functional_call(self._reads, cast, (ids[:, :-1], ids[:, :-1] == self._start_id))
        return self._choice(cast, x, ids, ends)

    def _choice(
        self, cast: dict[str, Tensor], x: Tensor, ids: Tensor, ends: Tensor
    ) -> tuple[Tensor, Tensor]:
        at = ends[:, :-1].flatten().nonzero()[:, 0]
        documents = (ids[:, :-1] == self._start_id).flatten().cumsum(0)[at]
        scores = self._on_head(self._chooses, cast, x.flatten(0, 1)[at], self._choice_ids)
        return choice_loss(scores, documents, ends[:, :-1].flatten()[at] == 2)

    @torch.no_grad()
    def judge(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Negative log-likelihood and whether the likeliest token is right, (B,S) each, of ids."""
        cast = self._cast()
        x = functional_call(self._reads, cast, (ids[:, :-1], ids[:, :-1] == self._start_id))
        parts = [
            self._on_head(self._scores, cast, *part[:2])
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
        return (self._on_head(self._loses, cast, x, targets) * weights).sum()

    def _on_head(self, module: nn.Module, cast: dict[str, Tensor], *args: Tensor) -> Any:
        """Run a module that reads last norm and head alone.

        Called some fifty times a batch: to put every weight in its place each time took longer
        than the GPU takes for the logits.
        """
        given = {name: cast[first] for name, first in self._of_head.items()}
        return functional_call(module, given, args, tie_weights=False)


def choice_loss(scores: Tensor, documents: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of choosing a right sentence of each document, or none, whose score is 0.

    Args:
        scores: (T,) of sentences.
        documents: (T,) which document each is of, in order.
        right: (T,) bool; where a document has none, none is the right choice.

    Returns:
        Nats (N,) of each document, and whether its highest score is right.
    """
    _, group = documents.unique_consecutive(return_inverse=True)
    count = int(group[-1]) + 1 if len(group) else 0
    top = scores.new_zeros(count).scatter_reduce(0, group, scores.detach(), "amax")
    parts = (scores - top[group]).exp()
    none = (-top).exp()
    every = none.index_add(0, group, parts)
    held = none.new_zeros(count).index_add(0, group, parts * right)
    answered = none.new_zeros(count).index_add(0, group, right.to(none.dtype)) > 0
    best = held.detach().new_zeros(count)
    best = best.scatter_reduce(0, group, torch.where(right, scores.detach(), -torch.inf), "amax")
    best = torch.where(answered, best, 0.0)
    hits = torch.where(answered, (best == top) & (top > 0), top <= 0)
    return every.log() - torch.where(answered, held, none).clamp_min(1e-30).log(), hits


class _Reads(nn.Module):
    """Ids and starts (B,S) -> residual stream (B,S,E)."""

    def __init__(self, model: XLSTM) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, starts: Tensor) -> Tensor:
        return self.model.hidden(ids, starts=starts)[0]


class _Loses(nn.Module):
    """Residual stream (T,E) and the tokens that follow (T,) -> nats lost (T,)."""

    def __init__(self, model: XLSTM) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(self.model.project(x), targets, reduction="none")


class _Scores(nn.Module):
    """Residual stream (T,E) and the tokens that follow (T,) -> nats lost and hits, (T,) each."""

    def __init__(self, model: XLSTM) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.model.project(x)
        return F.cross_entropy(logits, targets, reduction="none"), logits.argmax(-1) == targets


class _Chooses(nn.Module):
    """Residual stream (T,E) at ends of sentences -> logit (T,) of evidence against refusal."""

    def __init__(self, model: XLSTM) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, choice_ids: Tensor) -> Tensor:
        evidence, refusal = self.model.project_to(x, choice_ids).unbind(-1)
        return evidence - refusal

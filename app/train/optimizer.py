"""Muon for the matrices of the blocks, AdamW for all else, stepped together.

Muon moves a matrix by its momentum, made nearly orthogonal with five Newton-Schulz steps
(Keller Jordan et al., 2024); matrices of one shape are worked on together.
"""

from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor

from app.model.xlstm import XLSTM

# Matrices that hold several of the architecture's, row after row: each is moved on its own.
FUSED = {"mlstm.qk.weight": 2, "mlstm.vo.weight": 2, "ffn.up.weight": 2}
_BY_MUON = (*FUSED, "mlstm.out.weight", "ffn.down.weight")
_QUINTIC = (3.4445, -4.7750, 2.0315)  # its fixed point is wide, so five steps are enough
_MOMENTUM = 0.95


def orthogonalised(g: Tensor) -> Tensor:
    """The nearest orthogonal matrix of each (..., R, C), roughly: singular values 0.7 to 1.2.

    On a GPU in bfloat16, else in the dtype given.
    """
    x = g.to(torch.bfloat16) if g.is_cuda else g
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    a, b, c = _QUINTIC
    for _ in range(5):
        y = x @ x.mT
        x = a * x + (b * y + c * (y @ y)) @ x
    return (x.mT if tall else x).to(g.dtype)


class Optimizer:
    """Both optimizers of a model's weights.

    Args:
        model: its parameters; their gradients are read at each step.
        muon_rate: of a step of Muon at rate 1; a step has spectral norm rate * sqrt(R / C), R > C.
        adam_rate: of AdamW at rate 1; it decays no weight.
    """

    def __init__(self, model: XLSTM, *, muon_rate: float, adam_rate: float) -> None:
        self._muon_rate, self._adam_rate = muon_rate, adam_rate
        named = dict(model.named_parameters())
        self._matrices = {n: w for n, w in named.items() if n.endswith(_BY_MUON)}
        self._others = {n: w for n, w in named.items() if n not in self._matrices}
        self._momentum = {n: torch.zeros_like(w) for n, w in self._matrices.items()}
        self._adam = torch.optim.AdamW(
            list(self._others.values()), lr=adam_rate, betas=(0.9, 0.95), weight_decay=0.0
        )

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One step along the gradients, at `rate` times each optimizer's own."""
        for group in self._adam.param_groups:
            group["lr"] = self._adam_rate * rate
        self._adam.step()
        for names in self._by_shape():
            moved = torch.cat([self._direction(name) for name in names])
            update = orthogonalised(moved) * (self._muon_rate * rate)
            update *= max(1.0, moved.shape[-2] / moved.shape[-1]) ** 0.5
            at = 0
            for name in names:
                weight, count = self._matrices[name], _count(name)
                weight.sub_(update[at : at + count].reshape(weight.shape))
                at += count

    def _direction(self, name: str) -> Tensor:
        """Nesterov's momentum of a weight, as its matrices (count, R, C)."""
        weight, momentum = self._matrices[name], self._momentum[name]
        momentum.lerp_(weight.grad, 1 - _MOMENTUM)
        return weight.grad.lerp(momentum, _MOMENTUM).unflatten(0, (_count(name), -1))

    def _by_shape(self) -> list[list[str]]:
        groups: defaultdict[tuple[int, ...], list[str]] = defaultdict(list)
        for name, weight in self._matrices.items():
            groups[weight.shape[0] // _count(name), weight.shape[1]].append(name)
        return list(groups.values())

    def state(self) -> dict[str, Tensor]:
        """Every tensor that the next step depends on, by name."""
        found = {f"muon.{name}": momentum for name, momentum in self._momentum.items()}
        for name, weight in self._others.items():
            for key, value in self._adam.state[weight].items():
                found[f"adam.{name}.{key}"] = value
        return found

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is of other weights.
        """
        adam = {key: value for key, value in state.items() if key.startswith("adam.")}
        known = {f"adam.{name}" for name in self._others} if adam else set()
        if known != {key.rsplit(".", 1)[0] for key in adam} or len(state) - len(adam) != len(
            self._momentum
        ):
            raise ValueError("this state of the optimizer belongs to another architecture")
        for name, momentum in self._momentum.items():
            momentum.copy_(state[f"muon.{name}"])
        for key, value in adam.items():
            name, kind = key.removeprefix("adam.").rsplit(".", 1)
            weight = self._others[name]
            device = "cpu" if kind == "step" else weight.device
            self._adam.state[weight][kind] = value.clone().to(device)


def _count(name: str) -> int:
    """How many matrices a weight holds."""
    return next((count for end, count in FUSED.items() if name.endswith(end)), 1)

"""ModelState: what a model carries from token to token, constant in size.

Values that are passed and returned, never changed in place; saving is in `state_file.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from app.kernels import State


class BlockState(NamedTuple):
    """One block's memory (c, n, m) and, where it convolves, its last K-1 inputs (B,K-1,E).

    The parallel formulation gives no memory; a state without one cannot be gone on from.
    """

    memory: State | None
    window: Tensor | None = None

    def tensors(self) -> dict[str, Tensor]:
        """What it holds by name: c, n, m and window, as far as they are there."""
        found = {} if self.memory is None else self.memory._asdict()
        return found if self.window is None else found | {"window": self.window}

    def apply(self, change: Callable[[Tensor], Tensor]) -> "BlockState":
        """The same state with `change` applied to every tensor (all have the batch in front)."""
        window = None if self.window is None else change(self.window)
        return BlockState(State(*(change(t) for t in self.memory)), window)


@dataclass(frozen=True)
class ModelState:
    """The state of every block, first to last; all float32 (float64 in a float64 model)."""

    blocks: tuple[BlockState, ...]

    @property
    def batch(self) -> int:
        """B, the number of sequences."""
        return self.blocks[0].memory.c.shape[0]

    def select(self, rows: Sequence[int] | Tensor) -> "ModelState":
        """The states of these rows, in this order; a row may come more than once."""
        device = self.blocks[0].memory.c.device
        index = torch.as_tensor(rows, dtype=torch.long, device=device)
        return self.apply(lambda t: t.index_select(0, index))

    def expand(self, batch: int) -> "ModelState":
        """One sequence's state seen as that of `batch` sequences, without copying."""
        return self.apply(lambda t: t.expand(batch, *t.shape[1:]))

    def to(self, device: torch.device | str) -> "ModelState":
        """The same state on `device`."""
        return self.apply(lambda t: t.to(device))

    def apply(self, change: Callable[[Tensor], Tensor]) -> "ModelState":
        """The same state with `change` applied to every tensor."""
        return ModelState(tuple(block.apply(change) for block in self.blocks))

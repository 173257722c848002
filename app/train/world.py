"""The processes that train together: one alone, or as many as torchrun starts, one a device."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class World:
    """This process among `size`, by `rank` from 0, and its device."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and reports."""
        return self.rank == 0

    def add(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, written into `tensor`."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def agreed(self, value: float) -> float:
        """The first process's value, in all of them."""
        if self.size == 1:
            return value
        told = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.broadcast(told, 0)
        return told.item()

    def gathered(self, value: Any) -> list[Any]:
        """The values of all processes, by rank."""
        found = [value] * self.size
        if self.size > 1:
            dist.all_gather_object(found, value)
        return found

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def joined(device: str) -> Iterator[World]:
    """The world of this process: those that torchrun started it with, or itself alone.

    Args:
        device: "cpu" or "cuda"; each process takes the GPU of its local rank.
    """
    if "LOCAL_RANK" not in os.environ:  # torchrun sets it
        yield World(torch.device(device))
        return
    place = torch.device(device)
    if place.type == "cuda":
        place = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(place)
    dist.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield World(place, dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()

"""The trainer: one loop, read from top to bottom.

It knows rows of ids and codes and a model; where rows come from and who starts it is elsewhere.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from app.model.xlstm import XLSTM
from app.train.checkpoint import (
    BEFORE_COOLING,
    Standing,
    last_checkpoint,
    restore_checkpoint,
    save_checkpoint,
)
from app.train.encode import sentence_ends
from app.train.feed import Feed
from app.train.held_out import measured
from app.train.loss import PackedLoss
from app.train.optimizer import Optimizer
from app.train.pack import Rows
from app.train.phases import Phase, loss_weights, phase_at
from app.train.progress import Point, draw_losses, log_line, write_table
from app.train.schedule import TrainConfig
from app.train.world import World

Say = Callable[[str], object]


def train(
    model: XLSTM,
    loss_of: PackedLoss,
    feed: Feed,
    phases: Sequence[Phase],
    config: TrainConfig,
    folder: Path,
    world: World,
    *,
    held_out: Mapping[str, Rows] | None = None,
    say: Say = print,
) -> Standing:
    """Train until the run is over, from the folder's last checkpoint where there is one.

    Args:
        model: float32 weights that require gradients; changed in place.
        loss_of: runs rows through them.
        feed: this process's batches.
        phases: the weight of each token; the same that the feed mixes by.
        config: the settings.
        folder: takes checkpoints, log.csv and loss.png.
        world: the processes that train together.
        held_out: rows to measure now and then, by name.
        say: takes each line of the log.

    Raises:
        ValueError: the checkpoint is of another run, or rows do not divide among the processes.
    """
    run = _Run(model, feed, config, folder, world, say)
    run.go_on()
    gradients = _one_buffer(model)
    while (progress := run.progress()) < 1:
        if run.begins_to_cool(progress):
            run.save(BEFORE_COOLING)
        ids, codes = feed.batch(run.step, progress, config.rows_at(progress) // world.size)
        phase = phase_at(phases, progress)
        weights = loss_weights(phase, codes)
        total = world.add(_on(world, weights[:, 1:].sum(dtype=np.float64)))
        gradients.zero_()
        parts = (ids, weights, sentence_ends(codes))
        run.lost += _backward(loss_of, parts, phase.ranking, total, config.micro, world)
        run.weighed += total
        world.add(gradients)
        rate = config.rate(run.step, progress)
        if torch.isfinite(gradients.sum()):
            run.optimizer.step(rate)
        else:
            run.skipped += 1
        run.step += 1
        run.tokens += ids[:, 1:].size * world.size
        if _due(run.step, config.log_every):
            run.log(rate)
        if held_out and _due(run.step, config.measure_every):
            say(f"held out at step {run.step}: {measured(loss_of, held_out, world.device)}")
        if _due(run.step, config.save_every):
            run.save(f"step-{run.step:07d}")
    run.save(f"step-{run.step:07d}")
    return run.standing()


def _due(step: int, every: int) -> bool:
    """Whether something that happens every so many steps happens after this one; 0 is never."""
    return every > 0 and step % every == 0


def _backward(
    loss_of: PackedLoss,
    batch: tuple[np.ndarray, np.ndarray, np.ndarray],
    ranking: float,
    total: Tensor,
    micro: int,
    world: World,
) -> Tensor:
    """Add the gradients of a batch's loss over `total` to the weights; returns the loss.

    A batch is what `PackedLoss` takes: ids, weights, ends of sentences.
    """
    lost = torch.zeros((), dtype=torch.float64, device=world.device)
    for at in range(0, len(batch[0]), micro):
        ids, weights, ends = (_on(world, part[at : at + micro]) for part in batch)
        loss = loss_of(ids.long(), weights, ends, ranking)
        (loss / total.to(loss.dtype)).backward()
        lost += loss.detach()
    return lost


class _Run:
    """What changes while a run goes on, and how it is written down."""

    def __init__(
        self,
        model: XLSTM,
        feed: Feed,
        config: TrainConfig,
        folder: Path,
        world: World,
        say: Say,
    ) -> None:
        if config.rows % world.size or config.first_rows % world.size:
            raise ValueError(f"batches of {config.rows} rows do not divide among {world.size}")
        self._model, self._feed, self._config = model, feed, config
        self._folder, self._world, self._say = folder, world, say
        self.optimizer = Optimizer(model, muon_rate=config.muon_rate, adam_rate=config.adam_rate)
        self.step = self.tokens = self.skipped = 0
        self._points: list[Point] = []
        self._cooling, self._began = False, time.perf_counter()
        self._clear()

    def _clear(self) -> None:
        """Begin the sums of the next line of the log; those of this process alone."""
        self.lost = torch.zeros((), dtype=torch.float64, device=self._world.device)
        self.weighed = torch.zeros_like(self.lost)

    def go_on(self) -> None:
        """Take up the folder's last checkpoint, where there is one."""
        if (last := last_checkpoint(self._folder)) is None:
            return
        stood = restore_checkpoint(last, self._model, self.optimizer)
        if len(stood.data) != self._world.size:
            raise ValueError(
                f"{last} is of {len(stood.data)} processes, these are {self._world.size}"
            )
        self.step, self.tokens, self.skipped = stood.step, stood.tokens, stood.skipped
        self._points = list(stood.points)
        self._began = time.perf_counter() - stood.seconds
        self._feed.restore(stood.data[self._world.rank])
        self.lost += stood.lost[self._world.rank]
        self.weighed += stood.weighed
        progress = self._config.progress(self.step, stood.seconds)
        self._cooling = progress > 1 - self._config.cool
        self._say(f"goes on from {last} at step {self.step}")

    def progress(self) -> float:
        """How far the run is, the same on every process."""
        seconds = self._world.agreed(time.perf_counter() - self._began)
        return self._config.progress(self.step, seconds)

    def begins_to_cool(self, progress: float) -> bool:
        """Whether the rate falls from here on; true once."""
        before = self._cooling
        self._cooling = progress > 1 - self._config.cool
        return self._cooling and not before

    def log(self, rate: float) -> None:
        """Say the line of this step."""
        mean = (self._world.add(self.lost) / self.weighed).item()
        seconds = time.perf_counter() - self._began
        now = self._config.progress(self.step, seconds)
        before = self._points[-1] if self._points else None
        self._points.append(Point(self.step, self.tokens, now, mean, rate, seconds))
        self._say(log_line(self._points[-1], before, self._feed.used(), self.skipped))
        self._clear()

    def standing(self) -> Standing:
        """Where the run stands, of all processes."""
        return Standing(
            step=self.step,
            tokens=self.tokens,
            seconds=time.perf_counter() - self._began,
            skipped=self.skipped,
            lost=tuple(self._world.gathered(self.lost.item())),
            weighed=self.weighed.item(),
            points=tuple(self._points),
            data=tuple(self._world.gathered(self._feed.state())),
            config=self._config.to_dict(),
        )

    def save(self, name: str) -> None:
        """Write a checkpoint, the table and the picture."""
        stands = self.standing()
        if self._world.first:
            save_checkpoint(self._folder, name, self._model, self.optimizer, stands)
            write_table(self._folder / "log.csv", self._points)
            draw_losses(self._folder / "loss.png", self._points)
        self._world.wait()


def _one_buffer(model: XLSTM) -> Tensor:
    """All gradients as views of one vector: summed over processes and cleared at once."""
    weights = list(model.parameters())
    buffer = weights[0].new_zeros(sum(weight.numel() for weight in weights))
    at = 0
    for weight in weights:
        weight.grad = buffer[at : at + weight.numel()].view_as(weight)
        at += weight.numel()
    return buffer


def _on(world: World, array: "np.ndarray | np.float64") -> Tensor:
    """The array on this process's device; ids of 16 bits as 32."""
    array = np.asarray(array)
    array = array.astype(np.int32) if array.dtype == np.uint16 else array
    return torch.from_numpy(array).to(world.device)

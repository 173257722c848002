"""Batches for a run: endless rows of each kind, mixed by weight, made ahead by other processes.

A batch depends on the seed, the step and what was read before, never on timing; where a run stands
is a few numbers, from which the rows at hand are made again.
"""

import multiprocessing
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.train.pack import Rows
from app.train.phases import KINDS, Phase, phase_at, row_counts
from app.train.rows import Job, RowMaker

OPEN_JOBS = 8  # of which rows are drawn at random: neighbours in a batch come from several sources
AHEAD = 4  # jobs of each kind that are made before they are needed, once as many are open

Submit = Callable[[Job], "Future[Rows]"]


@dataclass
class _Open:
    """A job whose rows are being used: its number in the stream, and how many are gone."""

    number: int
    rows: Rows
    used: int = 0


class RowStream:
    """All rows of one kind, pass after pass, in an order that only the seed decides.

    Args:
        jobs: those of one pass.
        submit: starts a job.
        seed: of the order.
        rank: with `world`, this process takes every world-th job from this one on.
        world: how many processes read.

    Raises:
        ValueError: there are no jobs, or a whole pass of them makes no row.
    """

    def __init__(
        self, jobs: Sequence[Job], submit: Submit, *, seed: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        if not jobs:
            raise ValueError("there is nothing to make rows from")
        self._jobs, self._submit, self._seed = list(jobs), submit, seed
        self._rank, self._world = rank, world
        self._restart(0)
        self.drawn = 0

    def _restart(self, next_job: int) -> None:
        self._open: list[_Open] = []
        self._coming: deque[tuple[int, Future[Rows]]] = deque()
        self._next = next_job

    def job(self, number: int) -> Job:
        """The number-th job of this process's stream."""
        turn, place = divmod(number * self._world + self._rank, len(self._jobs))
        order = random.Random(f"{self._seed} {self._jobs[0].kind} {turn}").sample(
            self._jobs, len(self._jobs)
        )
        job = order[place]
        return Job(job.kind, job.source, job.part, job.parts, turn)

    @property
    def turn(self) -> int:
        """The pass that the next job belongs to, from 0."""
        return (self._next * self._world + self._rank) // len(self._jobs)

    def take(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The next rows: ids and codes (count, S+1)."""
        ids, codes = [], []
        for _ in range(count):
            while len(self._open) < OPEN_JOBS:
                self._open.append(_Open(*self._next_rows()))
            draw = np.random.default_rng([self._seed, self._rank, self.drawn])
            slot = int(draw.integers(OPEN_JOBS))
            shard = self._open[slot]
            ids.append(shard.rows.ids[shard.used])
            codes.append(shard.rows.codes[shard.used])
            shard.used += 1
            self.drawn += 1
            if shard.used == len(shard.rows):
                self._open[slot] = _Open(*self._next_rows())
        return np.stack(ids), np.stack(codes)

    def set_going(self) -> None:
        """Start the jobs that are needed next, without waiting for one."""
        while len(self._coming) < AHEAD + OPEN_JOBS - len(self._open):
            self._coming.append((self._next, self._submit(self.job(self._next))))
            self._next += 1

    def _next_rows(self) -> tuple[int, Rows]:
        """The next job that makes rows, with its number; more are set going behind it."""
        for _ in range(len(self._jobs) + OPEN_JOBS):
            self.set_going()
            number, future = self._coming.popleft()
            rows = future.result()
            if len(rows):
                return number, rows
        raise ValueError(f"a whole pass of kind {self._jobs[0].kind!r} makes no row")

    def state(self) -> dict[str, Any]:
        """Where the stream stands, as plain numbers."""
        following = self._coming[0][0] if self._coming else self._next
        open_jobs = [[shard.number, shard.used] for shard in self._open]
        return {"next": following, "drawn": self.drawn, "open": open_jobs}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state: the jobs that were open are made again."""
        self._restart(state["next"])
        self.drawn = state["drawn"]
        again = [(n, used, self._submit(self.job(n))) for n, used in state["open"]]
        self._open = [_Open(n, future.result(), used) for n, used, future in again]


class Feed:
    """Batches of a run.

    Args:
        maker: makes rows.
        phases: what is read when.
        workers: processes that make rows ahead; 0 makes them here, when they are needed.
        rank: of this process among `world` that train together.
        world: how many train together.

    Raises:
        ValueError: a kind that a phase asks for has no source, or no rows.
    """

    def __init__(
        self,
        maker: RowMaker,
        phases: Sequence[Phase],
        *,
        workers: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self._maker, self._phases, self._rank = maker, tuple(phases), rank
        # Not forked: the parent may hold a GPU.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(workers, mp_context=context) if workers else None
        asked = {kind for phase in phases for kind, share in phase.mix.items() if share > 0}
        self._streams = {
            kind: RowStream(maker.jobs(kind), self._submit, seed=maker.seed, rank=rank, world=world)
            for kind in KINDS
            if kind in asked
        }

    def batch(self, step: int, progress: float, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """This process's rows of a step: ids and codes (rows, S+1), in random order."""
        seed = (self._maker.seed, self._rank, step)
        counts = row_counts(phase_at(self._phases, progress), rows, seed)
        for stream in self._streams.values():  # all at once, or each would wait for the one before
            stream.set_going()
        taken = [self._streams[kind].take(n) for kind, n in counts.items() if n]
        ids, codes = (np.concatenate(parts) for parts in zip(*taken))
        order = np.random.default_rng([1, *seed]).permutation(len(ids))
        return ids[order], codes[order]

    def used(self) -> dict[str, tuple[int, int]]:
        """Rows read of each kind, and the pass that it is in."""
        return {kind: (stream.drawn, stream.turn) for kind, stream in self._streams.items()}

    def state(self) -> dict[str, Any]:
        """Where the data stand, as plain numbers."""
        return {kind: stream.state() for kind, stream in self._streams.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there.

        Raises:
            ValueError: the state is of other kinds of rows.
        """
        if set(state) != set(self._streams):
            raise ValueError(f"the state has rows of {sorted(state)}, not {sorted(self._streams)}")
        for kind, stream in self._streams.items():
            stream.restore(state[kind])

    def close(self) -> None:
        """End the worker processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _submit(self, job: Job) -> "Future[Rows]":
        if self._pool is not None:
            return self._pool.submit(self._maker.make, job)
        done: Future[Rows] = Future()
        done.set_result(self._maker.make(job))
        return done

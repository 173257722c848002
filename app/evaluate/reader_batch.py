"""Many questions at a time: threads that share one model, and processes that share a GPU.

A thread answers one question by the same steps as a user's. What the threads ask of the model is
gathered until each waits for an answer, and then run as one batch; so nothing of the reader has to
know of batches.
"""

import itertools
import multiprocessing
import os
import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Condition
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from app.answer.reader import Reader, load_reader
from app.evaluate.reader import Row, evaluate
from app.evaluate.reader_questions import Question
from app.kernels import State
from app.model.state import BlockState, ModelState
from app.model.xlstm import XLSTM

MOST_ROWS, MOST_POSITIONS = 256, 2**16  # of one batch: bounds memory


@dataclass(frozen=True)
class Spread:
    """How a run is spread: `together` questions at a time in each of `processes` processes."""

    processes: int = 1
    together: int = 1


@dataclass(eq=False, slots=True)
class _Call:
    """Tokens (B,S) to read from a state, and what came of it."""

    tokens: Tensor
    state: ModelState | None
    lengths: Tensor | None
    project: bool
    result: tuple[Tensor, ModelState] | None = None
    error: BaseException | None = None

    @property
    def kind(self) -> tuple[bool, bool, bool]:
        """Calls of one kind can be run together: the same kernel, the same start."""
        return self.tokens.shape[1] == 1, self.state is None, self.project


class SharedModel:
    """A model that several threads call at once; everything but its calls is the model's own."""

    def __init__(self, model: XLSTM) -> None:
        self._model, self._turn = model, Condition()
        self._waiting: list[_Call] = []
        self._callers = 0
        self.kernels = "shared"  # so that no step made for one row alone takes the model's place

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    @contextmanager
    def caller(self) -> Iterator[None]:
        """Within it a thread counts as one whose calls the others wait for."""
        with self._turn:
            self._callers += 1
        try:
            yield
        finally:
            with self._turn:
                self._callers -= 1
                self._run_if_all_wait()

    def hidden(
        self,
        tokens: Tensor,
        state: ModelState | None = None,
        lengths: Tensor | None = None,
        *,
        keep: bool = True,
    ) -> tuple[Tensor, ModelState]:
        """As `XLSTM.hidden`, in one batch with what the other threads ask for; states are kept."""
        return self._ask(_Call(tokens, state, lengths, project=False))

    def __call__(
        self, tokens: Tensor, state: ModelState | None = None, *, last_only: bool
    ) -> tuple[Tensor, ModelState]:
        """As the model with `last_only` and without lengths: logits (B,V), on the CPU.

        There a thread can look at them without waiting for the GPU, on which others work too.
        """
        if not last_only:
            raise ValueError("threads share calls that project the last token alone")
        return self._ask(_Call(tokens, state, None, project=True))

    def _ask(self, call: _Call) -> tuple[Tensor, ModelState]:
        with self._turn:
            self._waiting.append(call)
            self._run_if_all_wait()
            self._turn.wait_for(lambda: call.result is not None or call.error is not None)
        if call.error is not None:
            raise call.error
        return call.result

    def _run_if_all_wait(self) -> None:
        if not self._waiting or len(self._waiting) < self._callers:
            return
        calls, self._waiting = self._waiting, []
        for batch in _batches(calls):
            try:
                with torch.inference_mode():
                    _run(self._model, batch)
            except BaseException as error:  # each thread raises it in its own place
                for call in batch:
                    call.error = error
        self._turn.notify_all()


def _batches(calls: Sequence[_Call]) -> Iterator[list[_Call]]:
    """Calls of one kind together, the longest first, within MOST_ROWS and MOST_POSITIONS."""
    order = sorted(calls, key=lambda call: (call.kind, -call.tokens.shape[1]))
    for _, group in itertools.groupby(order, key=lambda call: call.kind):
        batch: list[_Call] = []
        for call in group:
            rows = sum(len(each.tokens) for each in [*batch, call])
            full = rows > MOST_ROWS or rows * (batch or [call])[0].tokens.shape[1] > MOST_POSITIONS
            if batch and full:
                yield batch
                batch = []
            batch.append(call)
        yield batch


def _run(model: XLSTM, calls: Sequence[_Call]) -> None:
    """Run calls of one kind as one batch, padded on the right, and give each its rows."""
    widths = [call.tokens.shape[1] for call in calls]
    # A next token was mostly chosen on the CPU: those go to the GPU in one copy.
    first = torch.device("cpu") if max(widths) == 1 else model.device
    parts = [F.pad(c.tokens.to(first), (0, max(widths) - w)) for c, w in zip(calls, widths)]
    tokens = torch.cat(parts).to(model.device)
    lengths = None
    if len(set(widths)) > 1 or any(call.lengths is not None for call in calls):
        lengths = torch.cat([_lengths(call) for call in calls])
    state = None if calls[0].state is None else _joined([call.state for call in calls])
    if calls[0].project:
        x, state = model(tokens, state, lengths, last_only=True)
        x = x.cpu()
    else:
        x, state = model.hidden(tokens, state, lengths)
    start = 0
    for call, width in zip(calls, widths):
        rows = slice(start, start + len(call.tokens))
        start = rows.stop
        part = x[rows] if call.project else x[rows, :width]
        call.result = part, state.apply(lambda t, rows=rows: t[rows])


def _lengths(call: _Call) -> Tensor:
    """Lengths (B,) of a call's rows: those given, or its whole width."""
    if call.lengths is not None:
        return call.lengths
    rows, width = call.tokens.shape
    return torch.full((rows,), width, device=call.tokens.device)


def _joined(states: Sequence[ModelState]) -> ModelState:
    """The states of several calls as those of one batch."""
    blocks = []
    for parts in zip(*(state.blocks for state in states)):
        memory = State(*(torch.cat(tensors) for tensors in zip(*(part.memory for part in parts))))
        windows = [part.window for part in parts]
        blocks.append(BlockState(memory, None if windows[0] is None else torch.cat(windows)))
    return ModelState(tuple(blocks))


def evaluate_together(
    questions: Sequence[Question], reader: Reader, modes: Sequence[str], together: int
) -> Iterator[Row]:
    """The rows of `evaluate`, in its order, with so many questions being answered at a time."""
    if together == 1:
        yield from evaluate(questions, reader, modes)
        return
    model = SharedModel(reader.model)
    shared = replace(reader, model=model)

    def answered(question: Question) -> list[Row]:
        with model.caller():
            return list(evaluate([question], shared, modes))

    with ThreadPoolExecutor(together) as pool:
        for rows in pool.map(answered, questions):
            yield from rows


def evaluate_spread(
    questions: Sequence[Question],
    load: Callable[[], Reader],
    modes: Sequence[str],
    spread: Spread,
) -> Iterator[Row]:
    """The rows of `evaluate`, from several processes; the order of questions is not kept.

    Args:
        questions: Dealt out to the processes in turn.
        load: Loads the reader, once in each process; must be picklable where there are several.
        modes: Of the answers.
        spread: Over how many processes and threads.

    Raises:
        RuntimeError: a process ended early; it says why on standard error.
    """
    if spread.processes == 1:
        yield from evaluate_together(questions, load(), modes, spread.together)
        return
    context = multiprocessing.get_context("spawn")  # a forked process cannot use the GPU
    rows = context.Queue()
    parts = [questions[n :: spread.processes] for n in range(spread.processes)]
    workers = [
        context.Process(target=_part, args=(part, load, modes, spread, rows), daemon=True)
        for part in parts
    ]
    for worker in workers:
        worker.start()
    at_work = len(workers)
    while at_work:
        try:
            row = rows.get(timeout=1)
        except queue.Empty:
            if any(worker.exitcode for worker in workers):
                raise RuntimeError("a process of the evaluation ended with an error") from None
            continue
        if row is None:
            at_work -= 1
        else:
            yield row


def _part(
    questions: Sequence[Question],
    load: Callable[[], Reader],
    modes: Sequence[str],
    spread: Spread,
    rows: multiprocessing.Queue,
) -> None:
    """One process's share: each row as it comes, and None at the end."""
    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(max(1, cores // spread.processes))
    for row in evaluate_together(questions, load(), modes, spread.together):
        rows.put(row)
    rows.put(None)


@dataclass(frozen=True)
class Load:
    """How to load a reader, as a value that another process can be given."""

    model: Path
    device: str
    dtype: torch.dtype | None = None

    def __call__(self) -> Reader:
        """Load it."""
        return load_reader(self.model, device=self.device, dtype=self.dtype)

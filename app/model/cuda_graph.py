"""CUDA graphs of a model: a decode step, and the reading of short prompts, as one launch each.

`graphs` of `load_model` is the switch. None: steps run in a graph where the model is on Triton
kernels on a GPU. True: prompts are read on the fused kernels too, short ones in a graph, which is
captured for each length first and keeps its memory, so it is asked for. False: neither. What runs
is in `decode_step.py` and `fused.py`; here is when.
"""

import threading
import weakref
from collections.abc import Callable
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from app.model.decode_step import DecodeStep, PlainStep
from app.model.errors import ModelError
from app.model.fused import Fused, fused_hidden, fused_of
from app.model.sample import Sampling
from app.model.state import ModelState
from app.model.xlstm import XLSTM, backend_for

T = TypeVar("T")
MOST_TOKENS = 512  # longer slices keep the GPU busy without a graph

_graphs: weakref.WeakKeyDictionary[XLSTM, "Graphs"] = weakref.WeakKeyDictionary()
_lock = threading.RLock()  # graphs share the buffers that they run on


def no_graphs(kernels: str, device: torch.device) -> str:
    """Why a model cannot run in graphs, or ""."""
    if device.type != "cuda":
        return f"the device is {device.type}, graphs are CUDA's"
    kernel = backend_for(kernels, device.type).step_kernel
    return "" if kernel == "triton" else f"the step kernel is {kernel}, graphs need triton"


def graphs_of(model: XLSTM) -> "Graphs | None":
    """The graphs of a model, made at first use; None where it runs without.

    Whatever only stands for a model, to share its calls, runs without as well.
    """
    if not isinstance(model, XLSTM) or model.graphs is False:
        return None
    if no_graphs(model.kernels, model.device):
        return None
    with _lock:
        found = _graphs.get(model)
        if found is None or not found.fit(model):
            found = _graphs[model] = Graphs(model)
        return found


class Graphs:
    """A model's captured graphs; each is captured when it is first needed."""

    def __init__(self, model: XLSTM) -> None:
        self._model = weakref.ref(model)
        self._where = model.head.weight.data_ptr()
        self._fused, self._reads = fused_of(model), bool(model.graphs)
        self._readers: dict[int, GraphReader] = {}
        self._before: ModelState | None = None
        self._decoder: GraphDecoder | None = None

    def fit(self, model: XLSTM) -> bool:
        """Whether they still run on the model's weights."""
        if self._reads != bool(model.graphs):
            return False
        if self._fused is not None:
            return self._fused.fits(model)
        return self._where == model.head.weight.data_ptr()

    @property
    def decoder(self) -> "GraphDecoder":
        """Decode steps of one row."""
        with _lock:
            if self._decoder is None:
                fused, model = self._fused, self._model()
                self._decoder = GraphDecoder(DecodeStep(fused) if fused else PlainStep(model))
            return self._decoder

    def read(self, ids: Tensor, state: ModelState | None) -> tuple[Tensor, ModelState] | None:
        """Read ids (1,S): the residual stream after the last (1,E) and the state, as new tensors.

        None where no graph takes them: more rows or tokens, kernels that do not know the model, or
        a model that was not asked to.
        """
        if (
            self._fused is None
            or not self._reads
            or len(ids) > 1
            or not 1 < ids.shape[1] <= MOST_TOKENS
        ):
            return None
        tokens = max(16, 1 << (ids.shape[1] - 1).bit_length())
        with _lock:
            if tokens not in self._readers:
                model = self._model()
                if self._before is None:  # every reader's; blocks of a zero state share tensors
                    self._before = model.zero_state().apply(torch.clone)
                reader = GraphReader(self._fused, model, self._before, tokens)
                self._readers[tokens] = reader
            return self._readers[tokens].read(ids, state)


class GraphReader:
    """Reads up to so many tokens of one row; what is missing is padded and leaves no trace."""

    def __init__(self, fused: Fused, model: XLSTM, before: ModelState, tokens: int) -> None:
        self._ids = torch.zeros(1, tokens, dtype=torch.long, device=fused.device)
        self._length = torch.ones(1, dtype=torch.long, device=fused.device)
        self._before = before
        cell = model.cell(tokens)

        def run() -> tuple[Tensor, ModelState]:
            x, state = fused_hidden(fused, self._ids, self._before, self._length, cell)
            return x[0].index_select(0, self._length - 1), state

        self._graph, (self._last, self._after) = captured(run)

    def read(self, ids: Tensor, state: ModelState | None) -> tuple[Tensor, ModelState]:
        """As `Graphs.read`."""
        count = ids.shape[1]
        self._ids[:, :count] = ids
        self._length.fill_(count)
        # All tensors in some launches: one each took longer than the host had while a prompt ran.
        if state is None:
            torch._foreach_zero_(_tensors(self._before))
        else:
            torch._foreach_copy_(_tensors(self._before), _tensors(state))
        self._graph.replay()
        after = self._after.apply(torch.empty_like)
        torch._foreach_copy_(_tensors(after), _tensors(self._after))
        return self._last.clone(), after


def _tensors(state: ModelState) -> list[Tensor]:
    """All of a state's, in the order of their names."""
    return [x for block in state.blocks for _, x in sorted(block.tensors().items())]


class GraphDecoder:
    """Decode steps of one row. Its buffers hold the state of whoever stepped last."""

    def __init__(self, step: DecodeStep | PlainStep) -> None:
        self._step = step
        self._graph, _ = captured(step.run)
        self._owner: Callable[[], Owner | None] = lambda: None
        self._chosen: int | None = None

    def run(self, owner: "Owner", token: int) -> tuple[int, Tensor]:
        """Read a token after what `owner` has read so far.

        Returns:
            The next token as `owner.sampling` has it (temperature only), and the logits (1,V).

        Raises:
            ModelError: no logit is finite.
        """
        with _lock:
            if self._owner() is not owner:
                self._take(owner)
            if token != self._chosen:
                self._step.tokens.fill_(token)
            self._graph.replay()
            logits = self._step.logits.clone()
            self._chosen = int(self._step.tokens)
        if self._chosen < 0:
            raise ModelError("no token can be chosen: logits are NaN or infinite")
        return self._chosen, logits

    def state_of(self, owner: "Owner") -> ModelState | None:
        """A copy of its state, where its state is in the buffers."""
        with _lock:
            return self._step.state() if self._owner() is owner else None

    @property
    def state_bytes(self) -> int:
        """Of one state."""
        tensors = (x for block in self._step.state().blocks for x in block.tensors().values())
        return sum(x.numel() * x.element_size() for x in tensors)

    def _take(self, owner: "Owner") -> None:
        """Give the last owner its state, and load that of the new one."""
        last = self._owner()
        if last is not None:
            last.kept_state = self._step.state()
        self._step.load(owner.kept_state)
        sampling, step = owner.sampling, self._step
        step.draw.fill_(1 / sampling.temperature if sampling.temperature else 0.0)
        step.seed.copy_(torch.tensor([owner.seed, len(owner.tokens)]))
        self._owner, self._chosen = weakref.ref(owner), None


class Owner(Protocol):
    """Whoever decodes: its state while it is not in the buffers, and how it draws."""

    kept_state: ModelState
    sampling: Sampling
    seed: int
    tokens: list[int]


def captured(run: Callable[[], T]) -> tuple[torch.cuda.CUDAGraph, T]:
    """A graph of one call and what the call returned; its tensors are overwritten by a replay."""
    side, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    side.wait_stream(torch.cuda.current_stream())
    with torch.inference_mode(), torch.cuda.stream(side):
        for _ in range(2):  # kernels are compiled and libraries set up outside the capture
            run()
    torch.cuda.current_stream().wait_stream(side)
    with torch.inference_mode(), torch.cuda.graph(graph, capture_error_mode="thread_local"):
        result = run()
    return graph, result

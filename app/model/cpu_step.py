"""A model's weights on a CPU handed to the compiled step and prompt of app/cpu.

The step computes what `XLSTM.forward` computes for S = 1, with float32 activations whatever the
weights are, so its logits lie nearer to a float32 model's than those of bfloat16 products. The
prompt computes what `XLSTM.hidden` does in bfloat16, and rounds less of it.
"""

import ctypes
import itertools
import math
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor, nn

from app.cpu.library import Matrix, library
from app.kernels import State
from app.model.errors import ModelError
from app.model.int8 import Int8Embedding, Int8Linear
from app.model.layers import Block, soft_cap
from app.model.state import BlockState, ModelState

if TYPE_CHECKING:
    from app.model.xlstm import XLSTM

_KINDS = {torch.float32: 0, torch.bfloat16: 1, torch.int8: 2}


class _Block(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("norm_mlstm", "conv", "norm_heads", "norm_ffn")),
        *((name, ctypes.c_void_p) for name in ("gates", "gate_bias")),
        *((name, Matrix) for name in ("qk", "vo", "out", "up", "down")),
    ]


class _Model(ctypes.Structure):
    _fields_ = [
        *(
            (name, ctypes.c_int64)
            for name in ("width", "blocks", "heads", "dk", "dv", "inner", "kernel")
        ),
        *((name, ctypes.c_float) for name in ("norm_eps", "eps", "gate_cap")),
        ("norm", ctypes.c_void_p),
        ("embedding", Matrix),
        ("head", Matrix),
        ("block", ctypes.POINTER(_Block)),
    ]


class _State(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("c", "n", "m", "window")]


class CompiledStep:
    """The compiled step and prompt over one model's weights, which stay where they are.

    Weights may change in place; where they are replaced, a new step must be made (`step_of` does).
    """

    def __init__(self, model: "XLSTM", code: ctypes.CDLL) -> None:
        self._config, self._code, self._model = model.config, code, ref(model)
        self.reads_prompts = bool(code.reads_prompts())
        self._held: list[Tensor] = []  # keeps what the pointers lead to
        c = model.config
        blocks = (_Block * c.num_blocks)(*(self._block(block) for block in model.blocks))
        self._table = _Model(
            width=c.embedding_dim,
            blocks=c.num_blocks,
            heads=c.num_heads,
            dk=c.qk_head_dim,
            dv=c.v_head_dim,
            inner=c.ffn_dim,
            kernel=c.conv1d_kernel_size,
            norm_eps=c.norm_eps,
            eps=c.eps,
            gate_cap=c.gate_soft_cap or 0.0,
            norm=None if model.norm is None else self._at(model.norm.weight),
            embedding=self._matrix(model.embedding),
            head=self._matrix(model.head),
            block=blocks,
        )
        self._shapes = list(model.state_shapes(1).values())
        self._sizes = [math.prod(shape) for shape in self._shapes]
        self._each, self._room = len(self._sizes), sum(self._sizes) * c.num_blocks
        # All blocks' c, then all n and so on: c begins where cache lines do.
        starts = [0, *itertools.accumulate(size * c.num_blocks for size in self._sizes)]
        self._offsets = [
            start + block * size
            for block in range(c.num_blocks)
            for start, size in zip(starts, self._sizes)
        ]
        # What was returned last: its state, where that lies, and the memory that must outlive it.
        self._latest: tuple[ModelState | None, Any, Any] = (None, None, None)

    def __call__(self, token: int, state: ModelState) -> tuple[Tensor, ModelState]:
        """Read a token after `state`: logits (1,V) and the next state.

        Raises:
            ModelError: an id outside the vocabulary, or a state of another model or of more rows.
        """
        c = self._config
        if not 0 <= token < c.vocab_size:
            raise ModelError(f"token id {token}; the model's vocabulary has {c.vocab_size}")
        logits = torch.empty(1, c.vocab_size)
        before, _, held = self._before(state, 1)
        after, room = self._after(1)
        self._code.decode_step(
            ctypes.byref(self._table),
            ctypes.c_int64(token),
            before,
            after,
            _address(logits),
            torch.get_num_threads(),
        )
        state = self._state(room, 1)
        self._latest = (state, after, room)
        return soft_cap(logits, c.output_logit_soft_cap), state

    def read(
        self,
        tokens: Tensor,
        state: ModelState | None = None,
        lengths: Tensor | None = None,
        *,
        keep: bool = True,
    ) -> tuple[Tensor, ModelState | None]:
        """Read rows of tokens (B,S) as `XLSTM.hidden` does; pads are left out, and zero in x.

        Raises:
            ModelError: an id outside the vocabulary, or a state of another model or of other rows.
        """
        c, (batch, count) = self._config, tokens.shape
        true = torch.full((batch,), count) if lengths is None else lengths.long().contiguous()
        there = torch.arange(count) < true[:, None]
        ids = tokens[there].long().contiguous()
        if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < c.vocab_size:
            raise ModelError(f"a token id is outside the model's vocabulary of {c.vocab_size}")
        x = torch.empty(len(ids), c.embedding_dim)
        if state is None:
            state = self._model().zero_state().expand(batch)
        before, shared, held = self._before(state, batch)
        after, room = self._after(batch) if keep else (None, None)
        self._code.read_prompts(
            ctypes.byref(self._table),
            _address(ids),
            _address(true),
            ctypes.c_int64(batch),
            before,
            shared,
            after,
            _address(x),
            torch.get_num_threads(),
        )
        if lengths is not None:
            x = x.new_zeros(batch, count, c.embedding_dim).index_put_((there,), x)
        return x.view(batch, count, -1), self._state(room, batch) if keep else None

    def _before(self, state: ModelState, batch: int) -> tuple[ctypes.Array, bool, Any]:
        """Where a state of `batch` rows lies, whether all rows share one, and what holds it."""
        known, at, room = self._latest  # one look: threads may share a step
        if state is known and batch == 1:
            return at, True, room
        self._model().check_state(state, batch)
        held = [t for block in state.blocks for t in block.tensors().values()]
        shared = all(t.stride(0) == 0 for t in held)
        exact = {"device": "cpu", "dtype": torch.float32}
        held = [(t[:1] if shared else t).to(**exact).contiguous() for t in held]
        return self._pointers([t.data_ptr() for t in held]), shared, held

    def _after(self, batch: int) -> tuple[ctypes.Array, Tensor]:
        """Room for a state of some rows, and where its tensors lie in it."""
        room = torch.empty(batch * self._room)
        at = room.data_ptr()
        return self._pointers([at + 4 * batch * offset for offset in self._offsets]), room

    def _state(self, room: Tensor, batch: int) -> ModelState:
        """The state of some rows that lies in one tensor, as `_after` has it."""
        blocks = self._config.num_blocks
        parts = room.split([batch * blocks * size for size in self._sizes])
        fields = [
            part.view(blocks, batch, *shape[1:]).unbind()
            for part, shape in zip(parts, self._shapes)
        ]
        return ModelState(tuple(BlockState(State(*f[:3]), *f[3:]) for f in zip(*fields)))

    def _pointers(self, at: list[int]) -> ctypes.Array:
        rows = (at[n : n + self._each] for n in range(0, len(at), self._each))
        return (_State * self._config.num_blocks)(*(_State(*row) for row in rows))

    def _block(self, block: Block) -> _Block:
        layer = block.mlstm
        return _Block(
            norm_mlstm=self._at(block.norm_mlstm.weight),
            conv=None if layer.conv is None else self._at(layer.conv.weight),
            norm_heads=self._at(layer.norm.weight),
            norm_ffn=self._at(block.norm_ffn.weight),
            gates=self._at(layer.gates.weight),
            gate_bias=self._at(layer.gates.bias),
            qk=self._matrix(layer.qk),
            vo=self._matrix(layer.vo),
            out=self._matrix(layer.out),
            up=self._matrix(block.ffn.up),
            down=self._matrix(block.ffn.down),
        )

    def _matrix(self, layer: nn.Module) -> Matrix:
        scaled = isinstance(layer, (Int8Linear, Int8Embedding))
        scale = self._at(layer.scale) if scaled else None
        weight = layer.weight
        return Matrix(self._at(weight), scale, *weight.shape, _KINDS[weight.dtype])

    def _at(self, tensor: Tensor) -> int:
        held = tensor.detach()
        if not held.is_contiguous():
            raise ValueError("weights are not stored row by row")
        self._held.append(held)
        return held.data_ptr()


def _address(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())


_STEPS: WeakKeyDictionary["XLSTM", tuple[list[int], CompiledStep]] = WeakKeyDictionary()


def step_of(model: "XLSTM") -> CompiledStep | None:
    """The compiled step for a model, or None where the model's own forward has to do.

    It is for a CPU, float32, bfloat16 or int8 weights without biases, and the kernels `auto`:
    kernels that were asked for by name run as they are named.
    """
    c = model.config
    if model.device.type != "cpu" or model.kernels != "auto":
        return None
    if model.dtype not in _KINDS or c.use_bias or c.out_norm_bias:
        return None
    code = library()
    if code is None:
        return None
    # Whatever moves or casts a model replaces all of its weights: a few tell.
    where = [model.blocks[n].ffn.up.weight.data_ptr() for n in (0, -1)]
    known = _STEPS.get(model)
    if known is None or known[0] != where:
        known = _STEPS[model] = (where, CompiledStep(model, code))
    return known[1]


def prompt_of(model: "XLSTM") -> CompiledStep | None:
    """The compiled step where it reads prompts as well, faster than PyTorch; else None.

    It is for bfloat16 products, int8 weights or not, on a CPU that has them in vectors alone:
    where it has matrix units PyTorch uses those. It gives no gradients.
    """
    if model.dtype != torch.bfloat16 or model.blocks[0].norm_ffn.weight.requires_grad:
        return None
    step = step_of(model)
    return step if step is not None and step.reads_prompts else None

"""XLSTM: token ids and a state in, logits and the next state out.

Token ids only: no text. A state is an argument and a return value and is never changed in place.
"""

import functools
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.kernels import State, zero_state
from app.kernels.backends import Backend, resolve
from app.model.config import XLSTMConfig
from app.model.cpu_step import prompt_of
from app.model.errors import ModelError
from app.model.fused import fused_hidden, fused_of
from app.model.int8 import Int8Embedding, Int8Linear
from app.model.layers import Block, Cell, RMSNorm, soft_cap, wide
from app.model.state import BlockState, ModelState


class XLSTM(nn.Module):
    """A stack of mLSTM blocks between an embedding and a (possibly tied) head.

    Args:
        config: the architecture.
        dtype: of the wide projections and the embedding; everything else is at least float32.
        int8: hold the projections and the embedding as int8 with a scale per output channel.
        widened: keep int8 projections in `dtype` as well, for many rows at once.
        kernels: name of the mLSTM kernels, as `app.kernels.backends.resolve` knows them.

    Attributes:
        graphs: None decodes by a CUDA graph on a GPU with Triton kernels, True reads prompts on
            the fused kernels as well, False does neither: see `cuda_graph.py`.
    """

    graphs: bool | None = None

    def __init__(
        self,
        config: XLSTMConfig,
        *,
        dtype: torch.dtype = torch.float32,
        int8: bool = False,
        widened: bool = False,
        kernels: str = "auto",
    ) -> None:
        super().__init__()
        self.config, self.dtype, self.int8, self.kernels = config, dtype, int8, kernels
        linear = functools.partial(nn.Linear, dtype=dtype)
        if int8:
            linear = functools.partial(Int8Linear, dtype=dtype, widened=widened)
        rows, width = config.vocab_size, config.embedding_dim
        self.embedding = (
            Int8Embedding(rows, width) if int8 else nn.Embedding(rows, width, dtype=dtype)
        )
        self.blocks = nn.ModuleList(Block(config, linear, dtype) for _ in range(config.num_blocks))
        last = (width, config.norm_eps, config.out_norm_bias, wide(dtype))
        self.norm = RMSNorm(*last) if config.add_out_norm else None
        self.head = linear(width, rows, bias=False)
        if config.tie_word_embeddings:
            self.tie()

    def tie(self) -> None:
        """Make the head read the embedding's weight (and scale); no copy."""
        self.head.weight = self.embedding.weight
        if self.int8:
            self.head.scale = self.embedding.scale

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embedding.weight.device

    @property
    def weight_count(self) -> int:
        """Numbers in all weights, each tensor once: tied ones and scales of int8 too."""
        return sum(t.numel() for t in {*self.parameters(), *self.buffers()})

    @property
    def backend(self) -> Backend:
        """The kernels that run where the weights are.

        Raises:
            ValueError: they cannot run there; the message says why.
        """
        return backend_for(self.kernels, self.device.type)

    def zero_state(self, batch: int = 1) -> ModelState:
        """The state before the first token of `batch` sequences."""
        c, options = self.config, {"device": self.device, "dtype": wide(self.dtype)}
        memory = zero_state(batch, c.num_heads, c.qk_head_dim, c.v_head_dim, **options)
        shape = self.state_shapes(batch).get("window")
        window = None if shape is None else torch.zeros(shape, **options)
        return ModelState((BlockState(memory, window),) * c.num_blocks)

    def state_shapes(self, batch: int) -> dict[str, tuple[int, ...]]:
        """The shapes of one block's state, by the names of `BlockState.tensors`."""
        c, lead = self.config, (batch, self.config.num_heads)
        shapes = {"c": (*lead, c.qk_head_dim, c.v_head_dim), "n": (*lead, c.qk_head_dim), "m": lead}
        if c.conv1d_kernel_size:
            shapes["window"] = (batch, c.conv1d_kernel_size - 1, c.embedding_dim)
        return shapes

    def check_state(self, state: ModelState, batch: int) -> None:
        """See that `state` is one of this architecture and of `batch` rows.

        Raises:
            ModelError: it is not; the message names both sizes.
        """
        blocks = len(self.blocks)
        if len(state.blocks) != blocks:
            raise ModelError(
                f"a state of {len(state.blocks)} blocks was given to a model of {blocks} blocks"
            )
        wanted = self.state_shapes(batch)
        for b, block in enumerate(state.blocks):
            shapes = {name: tuple(t.shape) for name, t in block.tensors().items()}
            if shapes == wanted:
                continue
            if block.memory is not None and state.batch != batch:
                raise ModelError(f"a state of {state.batch} rows was given with {batch} rows")
            raise ModelError(f"block {b} of the state has shapes {shapes}; the model has {wanted}")

    def hidden(
        self,
        tokens: Tensor,
        state: ModelState | None = None,
        lengths: Tensor | None = None,
        starts: Tensor | None = None,
        *,
        keep: bool = True,
    ) -> tuple[Tensor, ModelState | None]:
        """Read tokens; nothing is projected onto the vocabulary.

        Args:
            tokens: (B,S) ids, S >= 1.
            state: after what came before; None is the start.
            lengths: (B,) true tokens of each row of a right-padded batch, or None for S in all.
            starts: (B,S) true at the first token of each document of a packed row, which then
                sees nothing before it; None for rows of one text. Never together with `lengths`.
            keep: whether the state after the tokens is wanted; without it None may come back.

        Returns:
            Residual stream after the last block (B,S,E), float32, for `project`, and the state
            after each row's own last true token.

        Raises:
            ModelError: an id outside the vocabulary, no token, a state of another batch size or
                another model, or packed rows with padding.
        """
        if starts is not None and (lengths is not None or starts.shape != tokens.shape):
            raise ModelError("packed rows take `starts` of the tokens' shape, and no `lengths`")
        if tokens.ndim != 2 or not tokens.shape[1]:
            raise ModelError(f"tokens have shape {tuple(tokens.shape)}: (batch, at least 1) needed")
        if starts is None and (compiled := prompt_of(self)) is not None:
            return compiled.read(tokens, state, lengths, keep=keep)
        if state is None:
            state = self._start(*tokens.shape)
        else:
            self.check_state(state, tokens.shape[0])
        cell = self.cell(tokens.shape[1])
        if self.graphs and starts is None and (fused := fused_of(self)) is not None:
            return fused_hidden(fused, tokens, state, lengths, cell)
        x = self.embedding(tokens).to(wide(self.dtype))
        after = []
        for block, before in zip(self.blocks, state.blocks, strict=True):
            x, carried = block(x, before, lengths, cell, starts)
            after.append(carried)
        return x, ModelState(tuple(after))

    def project(self, x: Tensor) -> Tensor:
        """Residual stream (..., E) -> capped logits (..., V), float32 (float64 in such a model)."""
        y = x if self.norm is None else self.norm(x)
        return soft_cap(self.head(y.to(self.dtype)).to(x.dtype), self.config.output_logit_soft_cap)

    def project_to(self, x: Tensor, tokens: Tensor) -> Tensor:
        """Logits (..., T) of the ids `tokens` (T,) alone, as `project` has them, in float32."""
        y = x if self.norm is None else self.norm(x)
        rows = self.head.weight[tokens].to(x.dtype)
        if self.int8:
            rows = rows * self.head.scale[tokens][:, None]
        return soft_cap(F.linear(y, rows), self.config.output_logit_soft_cap)

    def forward(
        self,
        tokens: Tensor,
        state: ModelState | None = None,
        lengths: Tensor | None = None,
        *,
        last_only: bool = False,
    ) -> tuple[Tensor, ModelState]:
        """Read tokens (B,S) as `hidden` does; logits (B,S,V), or with `last_only` (B,V).

        `last_only` projects each row's last true token alone: S times less work and memory.
        """
        x, state = self.hidden(tokens, state, lengths)
        if last_only:
            x = x[:, -1] if lengths is None else x[torch.arange(len(x)), (lengths - 1).clamp_min(0)]
        return self.project(x), state

    def _start(self, batch: int, tokens: int) -> ModelState:
        """The zero state; its memory is left out where a sequence kernel makes its own."""
        state = self.zero_state(batch)
        if tokens == 1:
            return state
        return ModelState(tuple(block._replace(memory=None) for block in state.blocks))

    def cell(self, tokens: int) -> Cell:
        """The sequence kernel, or the step kernel behind its signature where S = 1."""
        backend, eps = self.backend, self.config.eps
        if tokens == 1:
            return functools.partial(_step, step=backend.step, eps=eps)
        return functools.partial(backend.sequence, chunk_size=self.config.chunk_size, eps=eps)

    @torch.no_grad()
    def initialise(self, seed: int = 0) -> "XLSTM":
        """Fresh weights for training, drawn from `seed`; returns self.

        Normal with std sqrt(2/5E), output projections 2/(N sqrt(in)); input gates start nearly
        closed (bias -10), forget gates nearly open (biases 3 to 6 over the heads).
        """
        c, draw = self.config, torch.Generator(device=self.device).manual_seed(seed)
        small = math.sqrt(2 / (5 * c.embedding_dim))
        for name, weight in self.named_parameters():
            if not name.endswith("weight") or weight.ndim < 2 or ".conv." in name:
                continue
            last = name.endswith(("mlstm.out.weight", "ffn.down.weight"))
            std = 2 / (c.num_blocks * math.sqrt(weight.shape[1])) if last else small
            weight.normal_(std=std, generator=draw)
        for name, bias in self.named_parameters():
            if name.endswith("bias"):
                bias.zero_()
        for block in self.blocks:
            gates = block.mlstm.gates
            gates.weight.zero_()
            gates.bias[: c.num_heads] = -10.0
            gates.bias[c.num_heads :] = torch.linspace(3.0, 6.0, c.num_heads)
        return self


@functools.cache
def backend_for(kernels: str, device: str) -> Backend:
    """The kernels by name on a type of device; asked once, because `auto` logs its choice.

    Raises:
        ValueError: they are unknown or cannot run there; the message says why.
    """
    return resolve(kernels, device=device)


def _step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    i: Tensor,
    f: Tensor,
    state: State,
    *,
    step: Callable[..., tuple[Tensor, State]],
    eps: float,
) -> tuple[Tensor, State]:
    q, k, v, i, f = (x[:, :, 0] for x in (q, k, v, i, f))
    h, state = step(q, k, v, i, f, state, eps=eps)
    return h[:, :, None], state

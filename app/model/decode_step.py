"""One token a row on buffers that never move: what a CUDA graph captures, never captured here.

Either on the fused kernels, the state changed in place, or, for architectures that they do not
know, the model's own step with the new state copied back.
"""

import functools
import weakref

import torch

from app.kernels import State
from app.model.fused import Fused, linear, project
from app.model.layers import wide
from app.model.state import BlockState, ModelState
from app.model.xlstm import XLSTM


class DecodeStep:
    """One token for each of `batch` rows on the fused kernels, on buffers that never move.

    More than one row is not verified: GPU tests of 8 and 32 rows fail (data/experiments/decode.md).

    Attributes:
        tokens: (B,) int64, read by the next step, then what it chose.
        logits: (B,V) float32 of the last step.
        draw, seed: how tokens are chosen, see `app.kernels.triton_decode.pick`.
        cells: state of every block, changed in place.
    """

    def __init__(self, fused: Fused, batch: int = 1) -> None:
        from app.kernels.triton_decode import CellBuffers, pick_room, tile_width

        self.fused, self.batch = fused, batch
        c, device = fused.config, fused.device
        new = functools.partial(torch.zeros, device=device)
        self.tokens = new(batch, dtype=torch.long)
        self.logits = new(batch, c.vocab_size)
        self.draw, self.seed = new(1), new(2, dtype=torch.long)
        sizes = batch, c.num_heads, c.qk_head_dim, c.v_head_dim
        self.cells = tuple(CellBuffers.zeros(*sizes, device) for _ in fused.blocks)
        self._part = tile_width(c.qk_head_dim, c.v_head_dim)
        tiles = self.cells[0].m.shape[2]
        self._x = new(batch, c.embedding_dim)
        self._rows = new(2 * (c.qk_width + c.v_width) + 2 * c.num_heads)
        self._heads, self._inner = new(2, c.v_width), new(c.ffn_dim)
        self._stats = new(2, c.num_heads, 1 << (tiles - 1).bit_length())
        self._h = new(batch, c.num_heads, c.v_head_dim)
        self._best = pick_room(batch, c.vocab_size, device)
        self._values = new(c.embedding_dim)
        self._squares = {
            name: new(1 << (programs - 1).bit_length())
            for name, programs in self._programs().items()
        }

    def _programs(self) -> dict[str, int]:
        """How many programs leave squares of the residual stream, by what changes it."""
        from app.kernels.triton_decode import EMBED_TILE

        width, block = self.fused.config.embedding_dim, self.fused.blocks[0]
        out, down = (-(-width // w.tiles.rows) for w in (block.out, block.down))
        return {"embed": -(-width // EMBED_TILE), "out": out, "down": down}

    def load(self, state: ModelState) -> None:
        """Take over a state of as many rows."""
        for cell, block in zip(self.cells, state.blocks, strict=True):
            cell.load(block.memory)

    def state(self) -> ModelState:
        """A copy of the state."""
        return ModelState(tuple(BlockState(State(*cell.state())) for cell in self.cells))

    def run(self) -> None:
        """Read `tokens`; leaves the logits after them, the state there, and the next tokens."""
        from app.kernels.triton_decode import embed, pick

        if self.batch == 1:
            self._one_row()
        else:
            embed(self.tokens, self.fused.embedding, self._x)
            self._many_rows()
        pick(self.logits, self.tokens, self.draw, self.seed, self._best)

    def _one_row(self) -> None:
        from app.kernels.triton_decode import cell, embed
        from app.kernels.triton_matvec import ADD, CAP, STORE, SWIGLU, Onward, matvec

        c, fused, x, values = self.fused.config, self.fused, self._x[0], self._values
        wide = 2 * (c.qk_width + c.v_width)
        rows, gates = self._rows[None, :wide], self._rows[None, wide:]
        rms, norm = {"eps": c.norm_eps}, {"stats": self._stats, "part": self._part}
        gains = [block.planar[0] for block in fused.blocks[1:]] + [fused.planar_norm]
        squares = self._squares["embed"]
        first = Onward(values, squares, fused.blocks[0].planar[0])
        embed(self.tokens, fused.embedding, self._x, fused.head.planes, first)
        for block, state, gain in zip(fused.blocks, self.cells, gains):
            _, gates_weight, gain_ffn = block.planar
            matvec(
                block.projections, values, self._rows, squares=squares,
                gates=(gates_weight, block.gates[1]), **rms,
            )  # fmt: skip
            cell(
                rows, gates, state, self._heads, eps=c.eps, cap=c.gate_soft_cap,
                gain=block.norm_heads, stats=self._stats, planes=block.out.planes,
            )  # fmt: skip
            between = Onward(values, self._squares["out"], gain_ffn)
            matvec(block.out, self._heads, x, output=ADD, onward=between, **norm, **rms)
            matvec(block.up, values, self._inner, squares=between.squares, output=SWIGLU, **rms)
            squares = self._squares["down"]
            matvec(block.down, self._inner, x, output=ADD, onward=Onward(values, squares, gain))
        cap = c.output_logit_soft_cap
        output, cap = (STORE, 0.0) if cap is None else (CAP, cap)
        squares = None if fused.norm is None else squares
        matvec(fused.head, values, self.logits[0], squares=squares, output=output, cap=cap, **rms)

    def _many_rows(self) -> None:
        from app.kernels.triton_decode import cell
        from app.kernels.triton_rows import add_norm, gates_of, head_norm_gate, silu_product

        fused, x, added = self.fused, self._x, None
        c, dtype = fused.config, fused.dtype
        for block, state in zip(fused.blocks, self.cells):
            y = add_norm(x, added, block.norm_mlstm, c.norm_eps, dtype)
            i, f = gates_of(x[:, None], block.norm_mlstm, c.norm_eps, block.gates, None)
            gates = torch.cat([i, f], dim=1)[..., 0]
            rows = linear(block.projections, y)
            cell(rows, gates, state, self._h, eps=c.eps, cap=c.gate_soft_cap)
            o = rows[:, None, -c.v_width :]
            u = head_norm_gate(self._h[:, :, None], o, block.norm_heads, c.norm_eps, dtype)
            added = linear(block.out, u[:, 0])
            y = add_norm(x, added, block.norm_ffn, c.norm_eps, dtype)
            added = linear(block.down, silu_product(linear(block.up, y)))
        self.logits.copy_(project(fused, x + added))


class PlainStep:
    """The same interface over the model's own step, for any architecture."""

    def __init__(self, model: XLSTM, batch: int = 1) -> None:
        from app.kernels.triton_decode import pick_room

        self._model, self.batch = weakref.ref(model), batch
        new = functools.partial(torch.zeros, device=model.device)
        self.tokens = new(batch, dtype=torch.long)
        self.logits = new(batch, model.config.vocab_size, dtype=wide(model.dtype))
        self.draw, self.seed = new(1), new(2, dtype=torch.long)
        self._state = model.zero_state(batch).apply(torch.clone)
        self._best = pick_room(batch, model.config.vocab_size, model.device)

    def load(self, state: ModelState) -> None:
        """Take over a state of as many rows."""
        for mine, other in zip(self._state.blocks, state.blocks, strict=True):
            for name, tensor in other.tensors().items():
                mine.tensors()[name].copy_(tensor)

    def state(self) -> ModelState:
        """A copy of the state."""
        return self._state.apply(torch.clone)

    def run(self) -> None:
        """Read `tokens`; leaves the logits after them, the state there, and the next tokens."""
        from app.kernels.triton_decode import pick

        logits, state = self._model()(self.tokens[:, None], self._state, last_only=True)
        self.load(state)
        self.logits.copy_(logits)
        pick(logits.float(), self.tokens, self.draw, self.seed, self._best)

"""The model on Triton kernels: weights joined, and many rows read at once.

The same function as `layers.py` without gradients, in fewer launches and fewer passes over memory.
Models with biases or a convolution are none of its: `obstacle` says why.
"""

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.model.config import XLSTMConfig
from app.model.layers import Block, Cell, soft_cap
from app.model.state import BlockState, ModelState

if TYPE_CHECKING:
    from app.kernels.triton_matvec import Weights
    from app.model.xlstm import XLSTM


_fused: "weakref.WeakKeyDictionary[XLSTM, Fused]" = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class FusedBlock:
    """Weights of a block as the kernels take them; E width, U inner width of the feed-forward.

    norm_mlstm, norm_ffn: (E,) float32; projections: q, k, v, output gate (2 H Dk + 2 H Dv, E);
    gates: (2 H, E) float32 and their biases; norm_heads: (H Dv,) float32; out: (E, H Dv);
    up: gate, up (2 U, E); down: (E, U).
    `planar` holds norm_mlstm, the gates' weight and norm_ffn once more, as one token takes them.
    """

    norm_mlstm: Tensor
    projections: "Weights"
    gates: tuple[Tensor, Tensor]
    norm_heads: Tensor
    out: "Weights"
    norm_ffn: Tensor
    up: "Weights"
    down: "Weights"
    planar: tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Fused:
    """A model's weights as the kernels take them; none is held twice.

    embedding, head: (V, E); norm: (E,) float32 before the head, or None; `planar_norm` the same.
    """

    config: XLSTMConfig
    dtype: torch.dtype
    blocks: tuple[FusedBlock, ...]
    embedding: "Weights"
    norm: Tensor | None
    planar_norm: Tensor | None
    head: "Weights"

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.head.matrix.device

    @property
    def bytes(self) -> int:
        """What a step reads of them: all but the embedding, once."""
        wide = (w for b in self.blocks for w in (b.projections, b.out, b.up, b.down))
        return sum(w.bytes for w in (*wide, self.head)) + sum(
            4 * b.gates[0].numel() for b in self.blocks
        )

    def fits(self, model: "XLSTM") -> bool:
        """Whether these still are the model's weights: moving a model gives it others."""
        first = model.blocks[0].mlstm
        pairs = (
            (self.head.matrix, model.head.weight),
            (self.blocks[0].projections.matrix, first.qk.weight),
            (self.blocks[0].gates[0], first.gates.weight),
        )
        return all(a.data_ptr() == b.data_ptr() for a, b in pairs)


def fused_of(model: "XLSTM") -> Fused | None:
    """A model's fused weights, joined at first use; None where there is an obstacle."""
    found = _fused.get(model)
    if found is not None and found.fits(model):
        return found
    if obstacle(model):
        return None
    found = _fused[model] = fuse(model)
    return found


def obstacle(model: "XLSTM") -> str:
    """Why a model cannot run on these kernels, or ""."""
    c = model.config
    read, step = model.backend.chunkwise_kernel, model.backend.step_kernel
    if step != "triton" or not read.startswith("chunkwise--triton"):
        return f"its kernels are {read}, {step}"
    if model.head.weight.requires_grad or model.blocks[0].norm_ffn.weight.requires_grad:
        return "its weights are being trained"
    if c.use_bias or c.out_norm_bias or c.conv1d_kernel_size:
        return "it has biases or a convolution"
    if model.dtype == torch.float64:
        return "it is in float64"
    size = 1 if model.int8 else model.dtype.itemsize
    if any(width % (4 // size) for width in (c.embedding_dim, c.v_head_dim, c.ffn_dim)):
        return f"its widths do not divide by {4 // size}, the weights in a word"
    return ""


def fuse(model: "XLSTM") -> Fused:
    """Join the weights that share an input; the model's own become views of the joined ones."""
    from app.kernels.triton_matvec import planar  # Triton: on first use only

    head = _weights(model.head)
    norm = None if model.norm is None else model.norm.weight.detach()
    return Fused(
        config=model.config,
        dtype=model.dtype,
        blocks=tuple(_fuse_block(block) for block in model.blocks),
        embedding=_weights(model.embedding),
        norm=norm,
        planar_norm=None if norm is None else planar(norm, head.planes),
        head=head,
    )


def _fuse_block(block: Block) -> FusedBlock:
    from app.kernels.triton_matvec import planar

    layer, projections = block.mlstm, _join(block.mlstm.qk, block.mlstm.vo)
    norms = block.norm_mlstm.weight.detach(), block.norm_ffn.weight.detach()
    gates = layer.gates.weight.detach(), layer.gates.bias.detach()
    return FusedBlock(
        norm_mlstm=norms[0],
        projections=projections,
        gates=gates,
        norm_heads=layer.norm.weight.detach(),
        out=_weights(layer.out),
        norm_ffn=norms[1],
        up=_weights(block.ffn.up),
        down=_weights(block.ffn.down),
        planar=tuple(planar(x, projections.planes) for x in (norms[0], gates[0], norms[1])),
    )


def _weights(module: nn.Module) -> "Weights":
    from app.kernels.triton_matvec import Weights

    return Weights(module.weight.detach(), getattr(module, "scale", None))


def _join(first: nn.Module, second: nn.Module) -> "Weights":
    """One matrix with the rows of both, which become views of it."""
    from app.kernels.triton_matvec import Weights

    whole = torch.cat([first.weight.detach(), second.weight.detach()])
    for module, part in zip((first, second), whole.split([len(first.weight), len(second.weight)])):
        module.weight.data = part
    scale = getattr(first, "scale", None)
    return Weights(whole, None if scale is None else torch.cat([scale, second.scale]))


def linear(w: "Weights", x: Tensor) -> Tensor:
    """(R, K) times the transpose of (N, K), in the dtype of x."""
    from app.kernels.triton_rows import FEW_ROWS, int8_matmul

    if w.scale is None:
        return F.linear(x, w.matrix)
    if len(x) <= FEW_ROWS:
        return int8_matmul(x, w.matrix, w.scale)
    return (F.linear(x, w.matrix.to(x.dtype)) * w.scale).to(x.dtype)


def fused_hidden(
    fused: Fused, tokens: Tensor, state: ModelState, lengths: Tensor | None, cell: Cell
) -> tuple[Tensor, ModelState]:
    """Read tokens (B,S) as `XLSTM.hidden` does -> residual stream (B,S,E) float32, next state."""
    from app.kernels.triton_decode import embed
    from app.kernels.triton_rows import add_norm, gates_of, head_norm_gate, silu_product

    c, (batch, count), dtype = fused.config, tokens.shape, fused.dtype
    x = torch.empty(batch * count, c.embedding_dim, device=tokens.device)
    embed(tokens.flatten(), fused.embedding, x)
    added, after = None, []
    for block, before in zip(fused.blocks, state.blocks, strict=True):
        y = add_norm(x, added, block.norm_mlstm, c.norm_eps, dtype)
        i, f = gates_of(
            x.view(batch, count, -1), block.norm_mlstm, c.norm_eps, block.gates,
            c.gate_soft_cap, lengths,
        )  # fmt: skip
        q, k, v, o = _heads(linear(block.projections, y).view(batch, count, -1), c)
        h, memory = cell(q, k, v, i, f, before.memory)
        u = head_norm_gate(h, o, block.norm_heads, c.norm_eps, dtype)
        added = linear(block.out, u.flatten(0, 1))
        y = add_norm(x, added, block.norm_ffn, c.norm_eps, dtype)
        added = linear(block.down, silu_product(linear(block.up, y)))
        after.append(BlockState(memory))
    return (x + added).view(batch, count, -1), ModelState(tuple(after))


def project(fused: Fused, x: Tensor) -> Tensor:
    """Residual stream (R,E) -> capped logits (R,V) float32, as `XLSTM.project`; x stays."""
    from app.kernels.triton_rows import add_norm

    c, dtype = fused.config, fused.dtype
    y = x.to(dtype) if fused.norm is None else add_norm(x, None, fused.norm, c.norm_eps, dtype)
    return soft_cap(linear(fused.head, y).float(), c.output_logit_soft_cap)


def _heads(rows: Tensor, c: "object") -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rows (B,S,·) of the projections -> views q, k (B,H,S,Dk), v (B,H,S,Dv), o (B,S,H Dv)."""
    q, k, v, o = rows.split([c.qk_width, c.qk_width, c.v_width, c.v_width], dim=-1)
    q, k, v = (x.unflatten(-1, (c.num_heads, -1)).transpose(1, 2) for x in (q, k, v))
    return q, k, v, o

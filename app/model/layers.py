"""The parts of a block, bottom-up: soft cap, norms, convolution, feed-forward, mLSTM layer, block.

Weights, gates and norms; the cell itself is never computed here but by `app.kernels`. Residual
stream, norms, gates and states are float32 (float64 in a float64 model); only the wide projections
run in the weights' dtype.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.kernels import State
from app.model.config import XLSTMConfig
from app.model.state import BlockState

# (q, k, v, i, f, state) -> (h, state), as in app.kernels; gates are pre-activations (B,H,S).
Cell = Callable[..., tuple[Tensor, State]]


def soft_cap(u: Tensor, a: float | None) -> Tensor:
    """a*tanh(u/a): nearly u near 0, never beyond ±a; u itself where a is None."""
    return u if a is None else (u / a).tanh_() * a


def wide(dtype: torch.dtype) -> torch.dtype:
    """The dtype of residuals, norms, gates and states: float32, or float64 in a float64 model."""
    return torch.promote_types(dtype, torch.float32)


class RMSNorm(nn.Module):
    """u * rsqrt(mean(u^2) + eps) * weight (+ bias), over the last axis."""

    def __init__(self, width: int, eps: float, bias: bool, dtype: torch.dtype) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(width, dtype=dtype)) if bias else None

    def forward(self, u: Tensor) -> Tensor:
        """(..., width) -> (..., width), in the dtype of u, which is that of the weight."""
        y = F.rms_norm(u, (u.shape[-1],), self.weight, self.eps)
        return y if self.bias is None else y + self.bias


class MultiHeadNorm(nn.Module):
    """LayerNorm (biased variance) over each head's Dv, then one weight for the flattened heads."""

    def __init__(
        self, heads: int, head_dim: int, eps: float, bias: bool, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.head_dim, self.eps = head_dim, eps
        self.weight = nn.Parameter(torch.ones(heads * head_dim, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(heads * head_dim, dtype=dtype)) if bias else None

    def forward(self, h: Tensor) -> Tensor:
        """(B,S,H,Dv) -> (B,S,H*Dv)."""
        y = F.layer_norm(h, (self.head_dim,), eps=self.eps).flatten(-2) * self.weight
        return y if self.bias is None else y + self.bias


class CausalConvolution(nn.Module):
    """Per-channel causal convolution; weight (width, kernel), last column for the present."""

    def __init__(self, width: int, kernel: int, dtype: torch.dtype) -> None:
        super().__init__()
        # The identity, so that a model that gains a convolution keeps its function.
        self.weight = nn.Parameter(F.pad(torch.ones(width, 1, dtype=dtype), (kernel - 1, 0)))

    def forward(
        self,
        y: Tensor,
        window: Tensor,
        lengths: Tensor | None = None,
        starts: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Convolve y (B,S,E) after the K-1 inputs `window` (B,K-1,E) that came before it.

        Tokens where `starts` (B,S) is true begin a document: none of it sees what stands before.

        Returns:
            (B,S,E), and the K-1 inputs before the next token: after `lengths` (B,) tokens of each
            row where given, after all S else.
        """
        past, tokens = window.shape[1], y.shape[1]
        whole = torch.cat([window, y], dim=1)
        document = None if starts is None else F.pad(starts.cumsum(1), (past, 0))
        out = whole[:, past:] * self.weight[:, -1]
        for j in range(past):
            seen = whole[:, j : j + tokens]
            if document is not None:
                same = document[:, j : j + tokens] == document[:, past:]
                seen = seen * same[..., None]
            out = out + seen * self.weight[:, j]
        if document is not None:
            same = document[:, tokens:] == document[:, -1:]
            return out, whole[:, tokens:] * same[..., None]
        if lengths is None:
            return out, whole[:, tokens:].clone()
        last = lengths[:, None] + torch.arange(past, device=y.device)
        return out, torch.take_along_dim(whole, last[..., None], dim=1)


class FeedForward(nn.Module):
    """down(silu(gate(y)) * up(y)); `up` holds the rows of gate and then those of up."""

    def __init__(self, config: XLSTMConfig, linear: Callable[..., nn.Module]) -> None:
        super().__init__()
        self.up = linear(config.embedding_dim, 2 * config.ffn_dim, bias=config.use_bias)
        self.down = linear(config.ffn_dim, config.embedding_dim, bias=config.use_bias)

    def forward(self, y: Tensor) -> Tensor:
        """(B,S,E) -> (B,S,E)."""
        gate, up = self.up(y).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)


class MLSTMLayer(nn.Module):
    """Projections, gates, cell, norm of heads, output gate.

    `qk` holds the rows of q and then of k, `vo` those of v and of the output gate, `gates` those
    of i and of f. A convolution, where there is one, stands before q and k only.
    """

    def __init__(
        self, config: XLSTMConfig, linear: Callable[..., nn.Module], dtype: torch.dtype
    ) -> None:
        super().__init__()
        c, exact = config, wide(dtype)
        self.config, self.dtype = config, dtype
        self.qk = linear(c.embedding_dim, 2 * c.qk_width, bias=c.use_bias)
        self.vo = linear(c.embedding_dim, 2 * c.v_width, bias=c.use_bias)
        # Gates enter exponentials: rounded to bfloat16 they would be off by 3 % near -10.
        self.gates = nn.Linear(c.embedding_dim, 2 * c.num_heads, dtype=exact)
        self.norm = MultiHeadNorm(c.num_heads, c.v_head_dim, c.norm_eps, c.use_bias, exact)
        self.out = linear(c.v_width, c.embedding_dim, bias=c.use_bias)
        kernel = c.conv1d_kernel_size
        self.conv = CausalConvolution(c.embedding_dim, kernel, exact) if kernel else None

    def inputs(
        self,
        y: Tensor,
        window: Tensor | None,
        lengths: Tensor | None = None,
        starts: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """What the cell reads, from the normed input y (B,S,E), float32.

        Args:
            y: the input.
            window: the convolution's inputs before it, or None where there is no convolution.
            lengths: (B,) true tokens of right-padded rows, or None; pads leave the state alone.
            starts: (B,S) true where a document begins in a packed row, or None; never with lengths.

        Returns:
            q, k (B,H,S,Dk), v (B,H,S,Dv), i, f (B,H,S), the output gate before its sigmoid
            (B,S,H*Dv), and the next window.
        """
        c, (batch, tokens, _) = self.config, y.shape
        z = y
        if self.conv is not None:
            z, window = self.conv(y, window, lengths, starts)
        qk = self.qk(z.to(self.dtype)).view(batch, tokens, 2 * c.num_heads, c.qk_head_dim)
        q, k = qk.transpose(1, 2).split(c.num_heads, dim=1)
        v, o = self.vo(y.to(self.dtype)).split(c.v_width, dim=-1)
        v = v.view(batch, tokens, c.num_heads, c.v_head_dim).transpose(1, 2)
        i, f = soft_cap(self.gates(y), c.gate_soft_cap).transpose(1, 2).split(c.num_heads, dim=1)
        if lengths is not None:
            pad = (torch.arange(tokens, device=y.device) >= lengths[:, None])[:, None]
            i, f = i.masked_fill(pad, -torch.inf), f.masked_fill(pad, torch.inf)
        if starts is not None:
            f = f.masked_fill(starts[:, None], -torch.inf)  # nothing of the memory is kept
        return q, k, v, i, f, o, window

    def output(self, h: Tensor, o: Tensor) -> Tensor:
        """The cell's h (B,H,S,Dv) through the norm of heads, the output gate and projection."""
        exact = wide(self.dtype)
        h = self.norm(h.transpose(1, 2).to(exact)) * torch.sigmoid(o.to(exact))
        return self.out(h.to(self.dtype))


class Block(nn.Module):
    """x + mlstm(norm(x)), then x + ffn(norm(x))."""

    def __init__(
        self, config: XLSTMConfig, linear: Callable[..., nn.Module], dtype: torch.dtype
    ) -> None:
        super().__init__()
        exact = wide(dtype)
        norm = (config.embedding_dim, config.norm_eps, config.use_bias, exact)
        self.dtype = dtype
        self.norm_mlstm = RMSNorm(*norm)
        self.mlstm = MLSTMLayer(config, linear, dtype)
        self.norm_ffn = RMSNorm(*norm)
        self.ffn = FeedForward(config, linear)

    def forward(
        self,
        x: Tensor,
        state: BlockState,
        lengths: Tensor | None,
        cell: Cell,
        starts: Tensor | None = None,
    ) -> tuple[Tensor, BlockState]:
        """Residual stream x (B,S,E) float32 -> the same, and this block's next state.

        Args:
            x: the stream.
            state: never changed.
            lengths: as in `MLSTMLayer.inputs`, as are `starts`.
            cell: a sequence kernel, or for S = 1 a step kernel behind the same signature.
            starts: of documents.
        """
        *qkvif, o, window = self.before_cell(x, state.window, lengths, starts)
        h, memory = cell(*qkvif, state.memory)
        return self.after_cell(x, h, o), BlockState(memory, window)

    # Two functions of tensors alone, so that a compiler can take them; the cell is a kernel.
    def before_cell(
        self,
        x: Tensor,
        window: Tensor | None,
        lengths: Tensor | None = None,
        starts: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Norm, and then `MLSTMLayer.inputs`."""
        return self.mlstm.inputs(self.norm_mlstm(x), window, lengths, starts)

    def after_cell(self, x: Tensor, h: Tensor, o: Tensor) -> Tensor:
        """The stream with what the cell and then the feed-forward layer add to it."""
        x = x + self.mlstm.output(h, o)
        return x + self.ffn(self.norm_ffn(x).to(self.dtype))

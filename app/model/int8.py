"""Weight-only int8: one float32 scale per output channel, products in the activations' dtype.

Activations are never quantised, nor are norms, gates, biases and the convolution.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Up to here torch's packed CPU product, which reads int8 straight, beats widening the matrix: for
# 4096 x 768 and one thread 0.07 against 0.51 ms at one row, 0.61 against 0.64 at 16.
_FEW_ROWS = 16
_FEWER_ROWS = 4  # the same where the widened matrix is there already
# That product reads and writes whole vectors: other widths would reach beyond the tensors' ends.
_PACKED_WIDTH = 16


def quantize_rows(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Round each row to 255 steps of its largest magnitude.

    Args:
        weight: (out, in), any float dtype.

    Returns:
        int8 (out, in) and float32 (out,) with weight ≈ int8 * scale[:, None].
    """
    weight = weight.float()
    scale = weight.abs().amax(dim=1).clamp_min(1e-8) / 127
    return torch.round(weight / scale[:, None]).clamp(-127, 127).to(torch.int8), scale


class Int8Linear(nn.Module):
    """x W^T + bias with W = int8 weight * scale.

    With `widened`, W is kept beside the int8 weight from its first use by many rows on: they are
    read as fast as by a layer without int8, and few rows still read a byte a weight.
    """

    def __init__(
        self, inputs: int, outputs: int, bias: bool, dtype: torch.dtype, *, widened: bool = False
    ) -> None:
        super().__init__()
        self.widened, self._wide = widened, None
        self.register_buffer("weight", torch.zeros(outputs, inputs, dtype=torch.int8))
        self.register_buffer("scale", torch.ones(outputs))
        self.register_buffer("bias", torch.zeros(outputs, dtype=dtype) if bias else None)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out), in the dtype of x."""
        if self._packed(x):
            rows = x.reshape(-1, x.shape[-1]).contiguous()
            # Scales of 1: the kernel would round ours to bfloat16.
            y = torch._weight_int8pack_mm(rows, self.weight, x.new_ones(len(self.weight)))
            y = (y.view(*x.shape[:-1], -1) * self.scale).to(x.dtype)
        elif self.widened:
            y = F.linear(x, self._widened(x.dtype))
        else:
            y = F.linear(x, self.weight.to(x.dtype))  # integers to 127 are exact in bfloat16
            y = (y * self.scale).to(x.dtype)
        return y if self.bias is None else y + self.bias

    @torch.inference_mode(False)
    def _widened(self, dtype: torch.dtype) -> Tensor:
        """W in `dtype`, made once: rounded as a checkpoint that is loaded without int8."""
        if self._wide is None or self._wide.dtype != dtype:
            self._wide = (self.weight * self.scale[:, None]).to(dtype)
        return self._wide

    def _apply(self, *args: Any, **kwargs: Any) -> "Int8Linear":
        self._wide = None  # where the layer is moved to it is made anew
        return super()._apply(*args, **kwargs)

    def _packed(self, x: Tensor) -> bool:
        """Whether torch's packed product takes x (..., in), and is the faster one."""
        outputs, inputs = self.weight.shape
        fits = x.shape[-1] == inputs and not (inputs % _PACKED_WIDTH or outputs % _PACKED_WIDTH)
        few = 0 < x.numel() <= (_FEWER_ROWS if self.widened else _FEW_ROWS) * inputs
        # In float32 widening is as fast.
        return fits and few and x.device.type == "cpu" and x.dtype == torch.bfloat16


class Int8Embedding(nn.Module):
    """Rows of an int8 table, widened as they are looked up."""

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(rows, width, dtype=torch.int8))
        self.register_buffer("scale", torch.ones(rows))

    def forward(self, tokens: Tensor) -> Tensor:
        """Token ids (...) -> float32 (..., width)."""
        return self.weight[tokens] * self.scale[tokens][..., None]

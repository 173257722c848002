"""Random weights in the shape of xLSTM-7B, made where they run, here and in transformers.

Random weights compute as fast as trained ones; what they say is noise.
"""

import math
from typing import Any

import torch

from app.model.config import XLSTMConfig
from app.model.xlstm import XLSTM

BLOCKS = 32
SHAPE = {"vocab_size": 50304, "embedding_dim": 4096, "num_heads": 8}
STD = math.sqrt(2 / (5 * SHAPE["embedding_dim"]))


@torch.no_grad()
def random_model(
    *,
    int8: bool = False,
    blocks: int = BLOCKS,
    device: str = "cuda",
    graphs: bool | None = None,
    **options: Any,
) -> XLSTM:
    """A model in bfloat16 (int8 with bfloat16 products), drawn from a fixed seed.

    Gates open and close: input biases -3, forget biases 3 to 6, and weights as all others.
    `graphs` as `load_model` has it.
    """
    config = XLSTMConfig(**{**SHAPE, "num_blocks": blocks, **options})
    with torch.device("meta"):
        model = XLSTM(config, dtype=torch.bfloat16, int8=int8)
    model.to_empty(device=device)
    draw = torch.Generator(device=device).manual_seed(0)
    heads = config.num_heads
    for name, x in (*model.named_parameters(), *model.named_buffers()):
        if x.dtype == torch.int8:
            x.random_(-127, 128, generator=draw)
        elif name.endswith("scale"):
            x.fill_(STD / 73.3)  # what uniform int8 deviate by
        elif "norm" in name:
            x.fill_(1.0)
        elif name.endswith("gates.bias"):
            x[:heads] = -3.0
            x[heads:] = torch.linspace(3.0, 6.0, heads, device=device)
        else:
            x.normal_(std=STD, generator=draw)
    model.graphs = graphs
    return model.eval().requires_grad_(False)


@torch.no_grad()
def reference(model: XLSTM) -> XLSTM:
    """The same weights, widened, on the native layers in float32: what all is compared with."""
    with torch.device("meta"):
        exact = XLSTM(model.config, dtype=torch.float32, int8=model.int8, kernels="native")
    exact.to_empty(device=model.device)
    given = dict((*model.named_parameters(), *model.named_buffers()))
    for name, x in (*exact.named_parameters(), *exact.named_buffers()):
        x.copy_(given[name])
    return exact.eval().requires_grad_(False)


def transformers_model(blocks: int = BLOCKS, device: str = "cuda") -> Any | None:
    """The peer in the same shape, bfloat16, native kernels; None where it is not installed."""
    try:
        import transformers
    except ImportError:
        return None
    config = transformers.xLSTMConfig(
        vocab_size=SHAPE["vocab_size"],
        hidden_size=SHAPE["embedding_dim"],
        num_hidden_layers=blocks,
        num_heads=SHAPE["num_heads"],
        chunkwise_kernel="chunkwise--native_autograd",
        sequence_kernel="native_sequence__native",
        step_kernel="native",
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            return transformers.xLSTMForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(before)


def transformers_name() -> str:
    """The peer as a row names it."""
    import transformers

    return f"transformers {transformers.__version__}, bf16, native kernels"

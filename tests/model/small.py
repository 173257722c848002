"""Small random models that are made in milliseconds, in float64 unless asked otherwise."""

import torch

from app.model.config import XLSTMConfig
from app.model.xlstm import XLSTM

CONFIG = XLSTMConfig(
    vocab_size=61, embedding_dim=24, num_blocks=2, num_heads=3, qk_dim_factor=0.5, ffn_dim=40
)


def small(dtype=torch.float64, *, seed=0, scale=0.5, int8=False, **changes) -> XLSTM:
    """A model with gates that open and close at `scale` 0.5, and the changes to CONFIG."""
    config = XLSTMConfig(**{**CONFIG.__dict__, **changes})
    model = XLSTM(config, dtype=dtype, int8=int8)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=draw, dtype=weight.dtype)
            if "norm" in name or "conv" in name:
                weight.add_(0.1 * noise)
            else:
                weight.copy_(scale * noise)
    return model.eval().requires_grad_(False)


def prompt(length: int, seed: int = 1) -> list[int]:
    """So many ids of the small vocabulary."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(2, CONFIG.vocab_size, (length,), generator=draw).tolist()

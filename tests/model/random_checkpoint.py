"""A checkpoint of random weights in the public layout, written shard by shard.

By hand, the shape of xLSTM-7B (27 GB): python -m tests.model.random_checkpoint FOLDER --blocks 32
"""

import argparse
import json
import math
from pathlib import Path

import torch
from safetensors.torch import save_file

from app.model.config import XLSTMConfig
from app.model.layouts import hugging_face, pieces

# What the published 7B config.json says of its shape, in its own keys.
SHAPE = {
    "architectures": ["xLSTMForCausalLM"],
    "model_type": "xlstm",
    "embedding_dim": 4096,
    "num_heads": 8,
    "vocab_size": 50304,
    "qk_dim_factor": 0.5,
    "v_dim_factor": 1.0,
    "ffn_proj_factor": 2.667,
    "ffn_round_up_to_multiple_of": 64,
    "chunkwise_kernel": "chunkwise--triton_xl_chunk",
    "sequence_kernel": "native_sequence__triton",
    "step_kernel": "triton",
    "force_bos_token_insert": True,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "torch_dtype": "float32",
}


def write(folder: Path, blocks: int, *, shard_bytes: int = 4 * 10**9, **changes: object) -> Path:
    """Write float32 shards; no more than one of them is in memory at a time."""
    folder.mkdir(parents=True)
    values = {**SHAPE, "num_blocks": blocks, **changes}
    (folder / "config.json").write_text(json.dumps(values, indent=2))
    config, draw = XLSTMConfig.from_dict(values), torch.Generator().manual_seed(0)
    shards, used = [[]], 0
    for name, piece in pieces(config).items():
        size = 4 * math.prod(piece.shape)
        if shards[-1] and used + size > shard_bytes:
            shards.append([])
            used = 0
        shards[-1].append((name, piece))
        used += size
    where = {}
    for number, shard in enumerate(shards, start=1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        content = {hugging_face(n): _weight(n, p.shape, config, draw) for n, p in shard}
        save_file(content, folder / file, metadata={"format": "pt"})
        where |= dict.fromkeys(content, file)
    index = {"metadata": {}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def _weight(name: str, shape: tuple, config: XLSTMConfig, draw: torch.Generator) -> torch.Tensor:
    if "norm" in name:
        return torch.ones(shape)
    if name.endswith("igate_preact.bias"):
        return torch.full(shape, -10.0)
    if name.endswith("fgate_preact.bias"):
        return torch.linspace(3.0, 6.0, config.num_heads)
    return torch.randn(shape, generator=draw) * math.sqrt(2 / (5 * config.embedding_dim))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--blocks", type=int, default=2)
    args = parser.parse_args()
    write(args.folder, args.blocks)

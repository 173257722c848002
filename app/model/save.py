"""Writing a model folder in the Hugging Face layout, which transformers' own xLSTM reads as well.

Reading is in `checkpoint.py`. A folder appears whole or not at all.
"""

import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from app.model.config import XLSTMConfig, ffn_width
from app.model.errors import ModelError
from app.model.int8 import quantize_rows
from app.model.layouts import Piece, hugging_face, pieces
from app.model.xlstm import XLSTM


def save_model(
    model: XLSTM,
    folder: str | Path,
    *,
    dtype: torch.dtype = torch.float32,
    int8: bool = False,
    shard_bytes: int = 5 * 10**9,
) -> Path:
    """Write config.json and the weights as single (not fused) tensors.

    A tied head is written a second time under its own name, because transformers ignores the
    flag. What that layout has no place for is refused.

    Args:
        model: any model; an int8 one is widened unless `int8` is set.
        folder: must not exist yet.
        dtype: of the tensors written.
        int8: write projections and embedding as int8 with `NAME.scale`: `load_model` reads that,
            transformers does not.
        shard_bytes: largest size of a file; more than one file gets an index.

    Returns:
        The folder.

    Raises:
        ModelError: the folder exists, or the architecture cannot be said in this layout.
    """
    folder = Path(folder)
    if folder.exists():
        raise ModelError(f"{folder}: is there already; save to a new folder")
    if not model.config.add_out_norm or model.config.out_norm_bias:
        raise ModelError("the Hugging Face layout has a last norm, and none with a bias")
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        values = to_dict(model.config) | {"dtype": str(dtype).removeprefix("torch.")}
        (part / "config.json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
        _write_shards(model, part, dtype, int8, shard_bytes)
        os.replace(part, folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return folder


def to_dict(config: XLSTMConfig) -> dict[str, Any]:
    """config.json's keys as transformers and `XLSTMConfig.from_dict` read them."""
    c = config
    factor, multiple = _ffn_factor(c.embedding_dim, c.ffn_dim)
    values = {
        "architectures": ["xLSTMForCausalLM"],
        "model_type": "xlstm",
        "vocab_size": c.vocab_size,
        "hidden_size": c.embedding_dim,
        "embedding_dim": c.embedding_dim,
        "num_hidden_layers": c.num_blocks,
        "num_blocks": c.num_blocks,
        "num_heads": c.num_heads,
        "qk_dim_factor": c.qk_dim_factor,
        "v_dim_factor": c.v_dim_factor,
        "ffn_proj_factor": factor,
        "ffn_round_up_to_multiple_of": multiple,
        "use_bias": c.use_bias,
        "add_out_norm": c.add_out_norm,
        "tie_word_embeddings": c.tie_word_embeddings,
        "norm_eps": c.norm_eps,
        "eps": c.eps,
        "gate_soft_cap": c.gate_soft_cap,
        "output_logit_soft_cap": c.output_logit_soft_cap,
        "chunk_size": c.chunk_size,
        "weight_mode": "single",
        "bos_token_id": c.bos_token_id,
        "eos_token_id": c.eos_token_id,
    }
    if c.conv1d_kernel_size:
        values["conv1d_kernel_size"] = c.conv1d_kernel_size
    if c.force_bos_token_insert is not None:
        values["force_bos_token_insert"] = c.force_bos_token_insert
    return values


def _ffn_factor(width: int, inner: int) -> tuple[float, int]:
    """A factor and a multiple from which public code derives exactly `inner`."""
    if ffn_width(width, 2.667, 64) == inner:
        return 2.667, 64
    multiple, factor = math.gcd(inner, 64), inner / width
    while ffn_width(width, factor, multiple) < inner:
        factor = math.nextafter(factor, math.inf)
    return factor, multiple


def _write_shards(
    model: XLSTM, folder: Path, dtype: torch.dtype, int8: bool, shard_bytes: int
) -> None:
    shards: list[list[str]] = [[]]
    names = pieces(model.config)
    if model.config.tie_word_embeddings and not int8:
        names["head.weight"] = names["embedding.weight"]
    used = 0
    for name, piece in names.items():
        size = math.prod(piece.shape) * (1 if int8 else dtype.itemsize)
        if shards[-1] and used + size > shard_bytes:
            shards.append([])
            used = 0
        shards[-1].append(name)
        used += size
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    where, total = {}, 0
    for number, shard in enumerate(shards, start=1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        file = "model.safetensors" if len(shards) == 1 else file
        content = {}
        for name in shard:
            content |= dict(_tensors(hugging_face(name), names[name], tensors, dtype, int8))
        save_file(content, folder / file, metadata={"format": "pt"})
        where |= dict.fromkeys(content, file)
        total += sum(t.numel() * t.element_size() for t in content.values())
    if len(shards) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": where}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")


def _tensors(
    name: str, piece: Piece, tensors: dict[str, Tensor], dtype: torch.dtype, int8: bool
) -> Iterator[tuple[str, Tensor]]:
    """The file's tensors for one piece of ours: itself, and its scale where it is int8."""
    rows = slice(piece.start, piece.start + piece.shape[0])
    values = tensors[piece.target].detach()[rows]
    scales = tensors.get(piece.target.removesuffix("weight") + "scale")
    scale = None if scales is None else scales[rows]
    if int8 and _is_wide(piece):
        if scale is None:
            values, scale = quantize_rows(values)
        yield f"{name}.scale", scale.float().cpu().clone()
    else:
        values = (values if scale is None else values.float() * scale[:, None]).to(dtype)
    yield name, values.cpu().clone().contiguous()


def _is_wide(piece: Piece) -> bool:
    """Whether int8 covers it: projections and embeddings, not gates, norms, convolution."""
    kinds = (".qk.", ".vo.", ".out.", ".up.", ".down.", "embedding.", "head.")
    return piece.target.endswith("weight") and any(kind in piece.target for kind in kinds)

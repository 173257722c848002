"""Which tensor of a file holds which rows of which of our tensors, for every public layout.

Names and shapes only: no file is opened here.
"""

import re
from typing import NamedTuple

from app.model.config import XLSTMConfig

# Our names follow the Hugging Face layout without its "backbone." where a tensor stands alone.
_HF_ONLY = {"embedding.weight": "backbone.embeddings.weight", "head.weight": "lm_head.weight"}
_ALIASES = [
    (re.compile(r"^backbone\.embeddings?\."), "embedding."),
    (re.compile(r"^backbone\."), ""),
    (re.compile(r"^lm_head\."), "head."),
    (re.compile(r"\.mlstm_layer\.(query|key|value)\."), lambda m: f".mlstm_layer.{m[1][0]}."),
]
# A fused tensor is these, row after row.
FUSED = {
    "mlstm_layer.qkv_opreact": [f"mlstm_layer.{x}" for x in ("q", "k", "v", "ogate_preact")],
    "mlstm_layer.ifgate_preact": ["mlstm_layer.igate_preact", "mlstm_layer.fgate_preact"],
    "ffn.proj_up_gate_z": ["ffn.proj_up_gate", "ffn.proj_up"],
}


class Piece(NamedTuple):
    """Rows `start` to `start + shape[0]` of our tensor `target`; `shape` is the file tensor's."""

    target: str
    start: int
    shape: tuple[int, ...]


def canonical(name: str) -> str:
    """The one name under which a file's tensor is known here, whatever its layout calls it."""
    for pattern, replacement in _ALIASES:
        name = pattern.sub(replacement, name)
    return name


def split(name: str) -> list[str]:
    """The single tensors that the canonical `name` holds, in row order: itself unless fused."""
    for fused, parts in FUSED.items():
        if f".{fused}." in name:
            return [name.replace(f".{fused}.", f".{part}.") for part in parts]
    return [name]


def hugging_face(name: str) -> str:
    """The Hugging Face layout's name of a canonical single tensor."""
    return _HF_ONLY.get(name, f"backbone.{name}")


def pieces(config: XLSTMConfig) -> dict[str, Piece]:
    """Every single tensor that a checkpoint of `config` must hold, by canonical name."""
    c, found = config, {}
    found["embedding.weight"] = Piece("embedding.weight", 0, (c.vocab_size, c.embedding_dim))
    for b in range(c.num_blocks):
        for name, piece in _block(c).items():
            found[f"blocks.{b}.{name}"] = piece._replace(target=f"blocks.{b}.{piece.target}")
    if c.add_out_norm:
        found["out_norm.weight"] = Piece("norm.weight", 0, (c.embedding_dim,))
        if c.out_norm_bias:
            found["out_norm.bias"] = Piece("norm.bias", 0, (c.embedding_dim,))
    if not c.tie_word_embeddings:
        found["head.weight"] = Piece("head.weight", 0, (c.vocab_size, c.embedding_dim))
    return found


def _block(c: XLSTMConfig) -> dict[str, Piece]:
    width, qk, v, inner, heads = c.embedding_dim, c.qk_width, c.v_width, c.ffn_dim, c.num_heads
    found = {}

    def add(name: str, target: str, start: int, shape: tuple[int, ...], bias: bool) -> None:
        found[f"{name}.weight"] = Piece(f"{target}.weight", start, shape)
        if bias:
            found[f"{name}.bias"] = Piece(f"{target}.bias", start, shape[:1])

    add("norm_mlstm", "norm_mlstm", 0, (width,), c.use_bias)
    add("norm_ffn", "norm_ffn", 0, (width,), c.use_bias)
    add("mlstm_layer.q", "mlstm.qk", 0, (qk, width), c.use_bias)
    add("mlstm_layer.k", "mlstm.qk", qk, (qk, width), c.use_bias)
    add("mlstm_layer.v", "mlstm.vo", 0, (v, width), c.use_bias)
    add("mlstm_layer.ogate_preact", "mlstm.vo", v, (v, width), c.use_bias)
    add("mlstm_layer.igate_preact", "mlstm.gates", 0, (heads, width), True)
    add("mlstm_layer.fgate_preact", "mlstm.gates", heads, (heads, width), True)
    add("mlstm_layer.multihead_norm", "mlstm.norm", 0, (v,), c.use_bias)
    add("mlstm_layer.out_proj", "mlstm.out", 0, (width, v), c.use_bias)
    add("ffn.proj_up_gate", "ffn.up", 0, (inner, width), c.use_bias)
    add("ffn.proj_up", "ffn.up", inner, (inner, width), c.use_bias)
    add("ffn.proj_down", "ffn.down", 0, (width, inner), c.use_bias)
    if c.conv1d_kernel_size:
        add("mlstm_layer.conv1d", "mlstm.conv", 0, (width, c.conv1d_kernel_size), False)
    return found

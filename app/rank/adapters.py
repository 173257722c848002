"""Trained changes to MiniLM that are small enough to ship: low-rank adapters, biases, a head.

Low-rank adaptation after Hu et al. 2021: a weight W (out, in) becomes W + B A, with A (r, in) and
B (out, r). Everything else that was trained is added as it is.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from app.rank.encoder import LAYERS

FILE = "adapters.safetensors"
UP, DOWN, DELTA, SCALE = ".up", ".down", ".delta", ".scale"
HEAD = "head."
_LINEAR = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
LINEAR = tuple(f"encoder.layer.{i}.{name}.weight" for i in range(LAYERS) for name in _LINEAR)
SEGMENTS = "embeddings.token_type_embeddings.weight"


def base_weights(file: Path) -> dict[str, Tensor]:
    """MiniLM's weights as its checkpoint has them, without what the cross-encoder never uses."""
    kept = ("embeddings.", "encoder.")
    return {
        name: tensor
        for name, tensor in load_file(file).items()
        if name.startswith(kept) and tensor.is_floating_point()
    }


def fresh(
    base: Mapping[str, Tensor], rank: int | None, hidden: int, seed: int = 0
) -> dict[str, Tensor]:
    """Adapters that change nothing yet, float32, with a drawn head.

    Args:
        base: MiniLM's weights.
        rank: Of the adapters; None makes full ones, which is fine-tuning all layers.
        hidden: Width of the head's hidden layers.
        seed: Of what is drawn.
    """
    draw = torch.Generator().manual_seed(seed)
    made = {}
    for name, weight in base.items():
        if name in LINEAR and rank is not None:
            out, width = weight.shape
            made[name + DOWN] = torch.randn(rank, width, generator=draw) / math.sqrt(width)
            made[name + UP] = torch.zeros(out, rank)
        elif name in LINEAR or name == SEGMENTS or weight.dim() == 1:
            made[name + DELTA] = torch.zeros(weight.shape)
    width = base[SEGMENTS].shape[1]
    made[HEAD + "attention"] = torch.zeros(width)
    for name, inputs in (("sentence", 2 * width), ("none", width)):
        drawn = torch.randn(hidden, inputs, generator=draw) / math.sqrt(inputs)
        made[f"{HEAD}{name}.hidden"] = drawn
        made[f"{HEAD}{name}.bias"] = torch.zeros(hidden)
        made[f"{HEAD}{name}.out"] = torch.zeros(hidden)
        made[f"{HEAD}{name}.constant"] = torch.zeros(())
    return made


def merged(
    base: Mapping[str, Tensor], adapters: Mapping[str, Tensor], dtype: torch.dtype | None = None
) -> dict[str, Tensor]:
    """MiniLM's weights with the adapters in them, and the head, by name; neither is changed.

    Args:
        base: MiniLM's weights.
        adapters: As `fresh` names them.
        dtype: Of what is read by every token; None leaves it. The head's networks stay float32.

    Raises:
        ValueError: an adapter belongs to no weight.
    """
    known = {name + end for name in base for end in (UP, DOWN, DELTA)}
    if strange := sorted(name for name in adapters if name not in known and HEAD not in name):
        raise ValueError(f"MiniLM has no weight for the adapter {strange[0]!r}")
    weights = {}
    for name, weight in base.items():
        if name + UP in adapters:
            weight = weight + adapters[name + UP] @ adapters[name + DOWN]
        elif name + DELTA in adapters:
            weight = weight + adapters[name + DELTA]
        weights[name] = weight.to(dtype)  # of None: as it is
    head = {name: tensor for name, tensor in adapters.items() if name.startswith(HEAD)}
    attention = HEAD + "attention"
    return weights | head | {attention: head[attention].to(dtype)}


def save(adapters: Mapping[str, Tensor], folder: Path) -> Path:
    """Write `folder/adapters.safetensors`: low-rank parts in int8, the rest in float16.

    A scale belongs to each component, a row of A and a column of B: the largest value becomes 127.
    """
    stored = {}
    for name, tensor in adapters.items():
        tensor = tensor.detach().float().cpu()
        if name.endswith((UP, DOWN)):
            across = 0 if name.endswith(UP) else 1
            scale = (tensor.abs().amax(across, keepdim=True) / 127).clamp(min=1e-8)
            stored[name] = (tensor / scale).round().to(torch.int8)
            stored[name + SCALE] = scale
        else:
            stored[name] = tensor.half()
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in stored.items()}, folder / FILE)
    return folder / FILE


def load(folder: Path) -> dict[str, Tensor]:
    """Adapters as `save` wrote them, float32.

    Raises:
        FileNotFoundError: there are none.
        ValueError: the file is no safetensors file.
    """
    path = folder / FILE
    if not path.is_file():
        raise FileNotFoundError(f"no ranker in {folder}: {FILE} is missing")
    try:
        stored = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file: {error}") from None
    return {
        name: tensor.float() * stored[name + SCALE] if name + SCALE in stored else tensor.float()
        for name, tensor in stored.items()
        if not name.endswith(SCALE)
    }


def check(base: Mapping[str, Tensor], adapters: Mapping[str, Tensor], folder: Path) -> None:
    """See that adapters are a ranker's of this base: every part there, in its shape, and finite.

    Raises:
        ValueError: they are not; the message names the file and the first part that is wrong.
    """
    low, bias = LINEAR[0] + DOWN, HEAD + "sentence.bias"
    rank = len(adapters[low]) if low in adapters else None
    wanted = fresh(base, rank, len(adapters[bias]) if bias in adapters else 1)
    for name in sorted(wanted.keys() | adapters.keys()):
        here, there = (tuple(x[name].shape) if name in x else None for x in (adapters, wanted))
        if here != there:
            told = "is missing" if here is None else f"has the shape {here}, not {there}"
            told = told if there is not None else "is none of its parts"
            raise ValueError(f"{folder / FILE} is no ranker: {name!r} {told}")
        if not adapters[name].isfinite().all():
            raise ValueError(f"{folder / FILE}: {name!r} is not finite")

"""Loading a model folder: safetensors and a config, one tensor at a time, strictly.

Never unpickles, never returns a half-loaded model, never fills in a weight that is not there.
"""

import math
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from app.model.config import XLSTMConfig
from app.model.cuda_graph import no_graphs
from app.model.device import pick_dtype
from app.model.errors import ModelError, listed
from app.model.files import locate, read_config, tensor_files
from app.model.int8 import quantize_rows
from app.model.layouts import Piece, pieces, split
from app.model.tensors import Stored, stored_tensors
from app.model.xlstm import XLSTM, backend_for

_SLICE_VALUES = 2**23  # of a file's tensor that are read and cast at once


def load_model(
    path: str | Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    int8: bool | None = None,
    kernels: str = "auto",
    graphs: bool | None = None,
) -> XLSTM:
    """Load a checkpoint in the Hugging Face or the xlstm_large layout, single or fused.

    Weights stored as int8 with `NAME.scale` are read as well. Tensors are cast slice by slice as
    they are read, so the peak is the model in `dtype` and a slice.

    Args:
        path: a folder, or the name of a model on the Hugging Face hub.
        device: where the weights go.
        dtype: of the projections; None takes the faster one on `device`, timed once.
        int8: keep or make the projections and the embedding int8; False widens stored ones. None
            has both on a CPU for what is stored as int8: decoding then reads a byte a weight, and
            prompts are read as fast as without int8, for a third more memory in bfloat16 from
            the first prompt on that PyTorch reads.
        kernels: name of the mLSTM kernels, as `app.kernels.backends.resolve` knows them.
        graphs: of CUDA. None decodes by one where the model is on a GPU with Triton kernels; True
            reads prompts on the fused kernels too, or is an error; False does neither. The
            graph's buffers hold one state more.

    Raises:
        ModelError: anything missing, unexpected, misshaped or damaged, by file or tensor name.
        ValueError: kernels that are unknown or cannot run on `device`, or graphs that cannot.
    """
    backend_for(kernels, torch.device(device).type)  # before minutes of reading
    if graphs and (reason := no_graphs(kernels, torch.device(device))):
        raise ValueError(f"graphs=True cannot be met: {reason}")
    folder = locate(path)
    config, large = read_config(folder)
    stored = stored_tensors(tensor_files(folder))
    config = _as_stored(config, stored, large)
    _check(folder, config, stored)
    dtype = pick_dtype(device) if dtype is None else dtype
    both = int8 is None and _stored_int8(stored) and torch.device(device).type == "cpu"
    with torch.device("meta"):
        model = XLSTM(config, dtype=dtype, int8=int8 or both, widened=both, kernels=kernels)
    model.to_empty(device=device)
    if config.tie_word_embeddings:
        model.tie()
    with torch.no_grad():
        _fill(model, stored)
    model.graphs = graphs
    return model.eval().requires_grad_(False)


def _stored_int8(stored: dict[str, Stored]) -> bool:
    return any(tensor.kind == "I8" for tensor in stored.values())


def _as_stored(config: XLSTMConfig, stored: dict[str, Stored], large: bool) -> XLSTMConfig:
    """The config as the code of each layout takes it, where flag and code differ."""
    # transformers normalises whatever add_out_norm says.
    out_norm = config.add_out_norm or (not large and "out_norm.weight" in stored)
    return replace(
        config,
        add_out_norm=out_norm,
        out_norm_bias=out_norm and large and config.use_bias,
        tie_word_embeddings=config.tie_word_embeddings and not large and _one_head(stored),
    )


def _one_head(stored: dict[str, Stored]) -> bool:
    """Whether a checkpoint that says it is tied holds no head, or the embedding once more.

    transformers ignores the flag, so it trains and saves a head of its own: that is the model then.
    """
    if not {"head.weight", "embedding.weight"} <= stored.keys():
        return True
    for kind in ("weight", "weight.scale"):
        head, embedding = (stored.get(f"{name}.{kind}") for name in ("head", "embedding"))
        if head is None and embedding is None:
            continue
        if head is None or embedding is None or head[2:4] != embedding[2:4] or not head.shape:
            return False
        if not torch.equal(head.rows(), embedding.rows()):
            return False
    return True


def _check(folder: Path, config: XLSTMConfig, stored: dict[str, Stored]) -> None:
    """Every tensor of the architecture is there in its shape, and none besides."""
    if config.num_blocks > len(stored):  # said before so many names are made
        raise ModelError(
            f"{folder}: the config has {config.num_blocks} blocks; "
            f"the checkpoint holds {len(stored)} tensors in all"
        )
    weights = {name for name in stored if not name.endswith(".scale")}
    held: dict[str, str] = {}
    for name in sorted(weights):
        for part in split(name):
            if part in held:
                twin = stored[held[part]].name
                raise ModelError(f"{stored[name].label} holds the same weights as {twin}")
            held[part] = name
    scaled = {name.removesuffix(".scale") for name in stored if name.endswith(".scale")}
    spare = {"head.weight"} if config.tie_word_embeddings else set()
    for what, names in (
        ("lacks", pieces(config).keys() - held.keys()),
        ("holds unexpected", held.keys() - pieces(config).keys() - spare),
        ("holds scales without their", scaled - weights),
    ):
        if names:
            raise ModelError(f"{folder}: the checkpoint {what} tensors: {listed(sorted(names))}")
    for name, parts in _parts(config, stored).items():
        _check_shape(stored[name], stored.get(f"{name}.scale"), parts)


def _parts(config: XLSTMConfig, stored: dict[str, Stored]) -> dict[str, list[Piece]]:
    """For each tensor to read, in the order of the files, the pieces that its rows make up."""
    wanted = pieces(config)
    weights = (name for name in stored if not name.endswith(".scale"))
    found = {name: [wanted[p] for p in split(name) if p in wanted] for name in weights}
    return {name: parts for name, parts in found.items() if parts}


def _check_shape(tensor: Stored, scale: Stored | None, parts: list[Piece]) -> None:
    """A tensor has the shape of its parts, one after the other, and a scale if it is int8."""
    shape = (sum(part.shape[0] for part in parts), *parts[0].shape[1:])
    if tensor.shape != shape:
        raise ModelError(f"{tensor.label} has shape {tensor.shape}; the config asks for {shape}")
    if (tensor.kind == "I8") != (scale is not None):
        raise ModelError(f"{tensor.label} is int8 without a scale, or has one without being int8")
    if scale is not None and (scale.shape != shape[:1] or scale.kind == "I8"):
        raise ModelError(
            f"{scale.label} is {scale.kind} of shape {scale.shape}; floats {shape[:1]} are needed"
        )


def _fill(model: XLSTM, stored: dict[str, Stored]) -> None:
    """Copy every tensor of the files to its place, in the order of the files."""
    targets = dict(model.named_parameters()) | dict(model.named_buffers())
    for name, parts in _parts(model.config, stored).items():
        tensor, scale = stored[name], stored.get(f"{name}.scale")
        scales = None if scale is None else scale.rows()
        start = 0
        for part in parts:
            _copy(tensor, scales, start, part, targets)
            start += part.shape[0]


def _copy(
    tensor: Stored, scales: Tensor | None, start: int, piece: Piece, targets: dict[str, Tensor]
) -> None:
    """Copy the rows of a file's tensor from `start` on that make up `piece`, slice by slice."""
    count = piece.shape[0]
    step = max(1, _SLICE_VALUES // math.prod(piece.shape[1:]))
    for first in range(0, count, step):
        last = min(count, first + step)
        values = tensor.rows(start + first, start + last)
        scale = None if scales is None else scales[start + first : start + last]
        rows = slice(piece.start + first, piece.start + last)
        put = _put(values, scale, piece.target, rows, targets)
        if not torch.isfinite(put.sum(dtype=torch.float64)):
            raise ModelError(f"{tensor.label} holds values that are not finite in {put.dtype}")


def _put(
    values: Tensor, scale: Tensor | None, name: str, rows: slice, targets: dict[str, Tensor]
) -> Tensor:
    """Write rows of a file into rows of ours: int8 as it is or made so, or widened and cast.

    Returns what can have become infinite by it: the scales of int8, else the rows as cast.
    """
    target = targets[name][rows]
    if target.dtype == torch.int8:
        if scale is None:
            values, scale = quantize_rows(values)
        scales = targets[name.removesuffix("weight") + "scale"][rows]
        target.copy_(values)
        return scales.copy_(scale)
    if scale is not None:
        values = values.float() * scale.view(-1, *[1] * (values.ndim - 1))
    return target.copy_(values)

"""Loading a model folder: safetensors and a config, one tensor at a time, strictly.

Never unpickles, never returns a half-loaded model, never fills in a weight that is not there.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from app.model.config import XLSTMConfig
from app.model.device import pick_dtype
from app.model.errors import ModelError, listed
from app.model.files import Stored, locate, opened, read_config, stored_tensors, tensor_files
from app.model.int8 import quantize_rows
from app.model.layouts import Piece, pieces, split
from app.model.xlstm import XLSTM, backend_for

_SLICE_BYTES = 64 * 2**20  # of a file's tensor that are cast at once


def load_model(
    path: str | Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    int8: bool = False,
    kernels: str = "auto",
) -> XLSTM:
    """Load a checkpoint in the Hugging Face or the xlstm_large layout, single or fused.

    Weights stored as int8 with `NAME.scale` are read as well. Tensors are cast slice by slice as
    they are read, so the peak is the model in `dtype` and a slice.

    Args:
        path: a folder, or the name of a model on the Hugging Face hub.
        device: where the weights go.
        dtype: of the projections; None takes the faster one on `device`, timed once.
        int8: keep or make the projections and the embedding int8.
        kernels: name of the mLSTM kernels, as `app.kernels.backends.resolve` knows them.

    Raises:
        ModelError: anything missing, unexpected, misshaped or damaged, by file or tensor name.
        ValueError: kernels that are unknown or cannot run on `device`.
    """
    backend_for(kernels, torch.device(device).type)  # before minutes of reading
    folder = locate(path)
    config, large = read_config(folder)
    stored = stored_tensors(tensor_files(folder))
    config = _as_stored(config, stored, large)
    dtype = pick_dtype(device) if dtype is None else dtype
    with torch.device("meta"):
        model = XLSTM(config, dtype=dtype, int8=int8, kernels=kernels)
    _check(folder, config, stored)
    model.to_empty(device=device)
    if config.tie_word_embeddings:
        model.tie()
    with torch.no_grad():
        _fill(model, stored)
    return model.eval().requires_grad_(False)


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
    head, embedding = (_whole(stored[name]) for name in ("head.weight", "embedding.weight"))
    return torch.equal(head, embedding)


def _whole(place: Stored) -> Tensor:
    with opened(place.file) as tensors:
        return tensors.get_tensor(place.name)


def _check(folder: Path, config: XLSTMConfig, stored: dict[str, Stored]) -> None:
    """Every tensor of the architecture is there, and none besides."""
    weights = {name for name in stored if not name.endswith(".scale")}
    held = {part for name in weights for part in split(name)}
    scaled = {name.removesuffix(".scale") for name in stored if name.endswith(".scale")}
    spare = {"head.weight"} if config.tie_word_embeddings else set()
    for what, names in (
        ("lacks", pieces(config).keys() - held),
        ("holds unexpected", held - pieces(config).keys() - spare),
        ("holds scales without their", scaled - weights),
    ):
        if names:
            raise ModelError(f"{folder}: the checkpoint {what} tensors: {listed(sorted(names))}")


def _fill(model: XLSTM, stored: dict[str, Stored]) -> None:
    """Copy every tensor of the files to its place, file by file."""
    wanted = pieces(model.config)
    targets = dict(model.named_parameters()) | dict(model.named_buffers())
    names = [n for n in stored if not n.endswith(".scale") and all(p in wanted for p in split(n))]
    for file in sorted({stored[name].file for name in names}):
        with opened(file) as tensors:
            for name in (n for n in names if stored[n].file == file):
                scale = stored.get(f"{name}.scale")
                scale = None if scale is None else _whole(scale)
                source = _Source(tensors.get_slice(stored[name].name), scale, f"{file}: {name}")
                source.check(wanted, split(name))
                start = 0
                for part in split(name):
                    source.copy(start, wanted[part], targets)
                    start += wanted[part].shape[0]


class _Source:
    """One tensor of a file with its int8 scale, if any, and what to call it in an error."""

    def __init__(self, rows: Any, scale: Tensor | None, label: str) -> None:
        self.rows, self.scale, self.label = rows, scale, label

    def check(self, wanted: dict[str, Piece], parts: list[str]) -> None:
        """Shape and kind are those of the parts, one after the other."""
        shapes = [wanted[part].shape for part in parts]
        shape, given = (sum(s[0] for s in shapes), *shapes[0][1:]), tuple(self.rows.get_shape())
        if given != shape:
            raise ModelError(f"{self.label} has shape {given}; the config asks for {shape}")
        kind = self.rows.get_dtype()
        if kind == "I8" and (self.scale is None or self.scale.shape != shape[:1]):
            raise ModelError(f"{self.label} is int8 without a scale of shape {shape[:1]}")
        if kind not in ("F64", "F32", "F16", "BF16", "I8"):
            raise ModelError(f"{self.label} is stored as {kind}; float or int8 weights are read")

    def copy(self, start: int, piece: Piece, targets: dict[str, Tensor]) -> None:
        """Copy the rows from `start` on that make up `piece` to their target, slice by slice."""
        count = piece.shape[0]
        step = max(1, _SLICE_BYTES // (4 * max(1, piece.shape[-1])))
        for first in range(0, count, step):
            last = min(count, first + step)
            values = self.rows[start + first : start + last]
            scale = None if self.scale is None else self.scale[start + first : start + last]
            if not torch.isfinite(values.sum(dtype=torch.float64)):
                raise ModelError(f"{self.label} holds values that are not finite")
            _put(
                values, scale, piece.target, slice(piece.start + first, piece.start + last), targets
            )


def _put(
    values: Tensor, scale: Tensor | None, name: str, rows: slice, targets: dict[str, Tensor]
) -> None:
    """Write rows of a file into rows of ours: int8 as it is or made so, or widened and cast."""
    target = targets[name][rows]
    if target.dtype == torch.int8:
        if scale is None:
            values, scale = quantize_rows(values)
        targets[name.removesuffix("weight") + "scale"][rows] = scale.to(target.device)
    elif scale is not None:
        values = values.float() * scale.view(-1, *[1] * (values.ndim - 1))
    target.copy_(values)

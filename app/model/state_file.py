"""A state on disk: a prefix that was read once is there the next day, for the same weights only.

safetensors, written beside and renamed; a damaged state or one of other weights is refused.
"""

import hashlib
import os
import tempfile
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from app.kernels import State
from app.model.errors import ModelError, listed
from app.model.layers import wide
from app.model.state import BlockState, ModelState
from app.model.xlstm import XLSTM

_FORMAT = "2"


def fingerprint(model: XLSTM) -> str:
    """sha256 of config and weights as they are in memory: name, dtype, shape and bytes.

    Computed anew each time (about a second a gigabyte), because weights may change in place;
    weights in another dtype give another state, so they have another fingerprint.
    """
    digest = hashlib.sha256(repr(model.config).encode())
    _digest(digest, dict(model.named_parameters()) | dict(model.named_buffers()))
    return digest.hexdigest()


def check_target(path: str | Path) -> None:
    """See that a state can be written to `path`, before the work that makes one.

    Raises:
        ModelError: its folder is absent or not writable, or the name cannot be a file's.
    """
    path = Path(path)
    if os.path.isdir(path):
        raise ModelError(f"{path}: cannot be written, a folder has that name")
    try:
        Path(_beside(path)).unlink()
    except OSError as error:  # its own text names the file beside
        raise ModelError(f"{path}: cannot be written ({error.strerror})") from error


def save_state(path: str | Path, model: XLSTM, logits: Tensor, state: ModelState) -> None:
    """Write a state and the logits (B,V) that belong to it, whole or not at all.

    Args:
        path: the file; replaced where it exists.
        model: whose state it is.
        logits: after the last token read, so that a text can go on from the file alone.
        state: written as it is, bit for bit.

    Raises:
        ModelError: logits or a state that are not this model's, or a file that cannot be written.
    """
    tensors = {"logits": logits}
    for b, block in enumerate(state.blocks):
        tensors |= {f"{b}.{name}": tensor for name, tensor in block.tensors().items()}
    # Cloned: blocks may share a tensor, which the format does not allow.
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    path = Path(path)
    check_target(path)
    _check(path, tensors, model)
    meta = {"format": _FORMAT, "weights": fingerprint(model), "content": _content(tensors)}
    try:
        _write(path, tensors, meta)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: cannot be written ({error})") from error


def load_state(path: str | Path, model: XLSTM) -> tuple[Tensor, ModelState]:
    """Logits (B,V) and state of a file, on the model's device.

    Raises:
        ModelError: no such file, a damaged one, or a state of other weights.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            meta = file.metadata() or {}
            if meta.get("format") != _FORMAT:
                raise ModelError(f"{path}: not a state of this version; read the text again")
            if meta.get("weights") != fingerprint(model):
                raise ModelError(
                    f"{path}: this state belongs to other weights or another dtype; "
                    "read the text again with this model"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise ModelError(f"{path}: there is no such state file") from error
    except (SafetensorError, OSError, ValueError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{path}: damaged or not a state ({error})") from error
    if meta.get("content") != _content(tensors):
        raise ModelError(f"{path}: damaged, its content is not what was saved; read the text again")
    _check(path, tensors, model)
    tensors = {name: tensor.to(model.device) for name, tensor in tensors.items()}
    blocks = tuple(
        BlockState(
            State(*(tensors[f"{b}.{name}"] for name in State._fields)), tensors.get(f"{b}.window")
        )
        for b in range(model.config.num_blocks)
    )
    return tensors["logits"], ModelState(blocks)


def _check(path: Path | str, tensors: dict[str, Tensor], model: XLSTM) -> None:
    """The names, shapes and dtypes of `model`'s states and logits; every value is finite."""
    memory, dtype = tensors.get("0.c"), wide(model.dtype)
    batch = len(memory) if memory is not None and memory.ndim else 1
    wanted = {"logits": (batch, model.config.vocab_size)}
    for b in range(model.config.num_blocks):
        wanted |= {f"{b}.{name}": shape for name, shape in model.state_shapes(batch).items()}
    if odd := sorted(wanted.keys() ^ tensors.keys()):
        raise ModelError(f"{path}: lacks tensors, or is of another model: {listed(odd)}")
    for name, tensor in tensors.items():
        shape = tuple(tensor.shape)
        if shape != wanted[name] or tensor.dtype != dtype:
            raise ModelError(
                f"{path}: {name} is {tensor.dtype} {shape}; the model needs {dtype} {wanted[name]}"
            )
        if not torch.isfinite(tensor).all():
            raise ModelError(f"{path}: {name} holds values that are not finite")


def _content(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    _digest(digest, tensors)
    return digest.hexdigest()


def _digest(digest: "hashlib._Hash", tensors: dict[str, Tensor]) -> None:
    """Add name, dtype, shape and bytes of each tensor, in the order of their names."""
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        values = tensor.detach().reshape(-1)
        for part in values.split(2**24):
            digest.update(part.cpu().contiguous().view(torch.uint8).numpy())


def _write(path: Path, tensors: dict[str, Tensor], meta: dict[str, str]) -> None:
    """Write beside `path`, then rename: whole or not at all."""
    part = _beside(path)
    try:
        save_file(tensors, part, metadata=meta)
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def _beside(path: Path) -> str:
    """A new empty file in the folder of `path`."""
    handle, part = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    os.close(handle)
    return part

"""A state on disk: a prefix that was read once is there the next day, for the same weights only.

safetensors, written beside and renamed; a state of other weights is refused.
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
from app.model.errors import ModelError
from app.model.state import BlockState, ModelState
from app.model.xlstm import XLSTM

_FORMAT = "1"


def fingerprint(model: XLSTM) -> str:
    """sha256 of config and weights as they are in memory: name, dtype, shape and bytes.

    Computed once a model (about a second a gigabyte) and kept with it; weights in another dtype
    give another state, so they have another fingerprint.
    """
    if (known := getattr(model, "_fingerprint", None)) is not None:
        return known
    digest = hashlib.sha256(repr(model.config).encode())
    for name, tensor in sorted((*model.named_parameters(), *model.named_buffers())):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        for rows in tensor.detach().split(max(1, 2**24 // max(1, tensor[0].numel()))):
            digest.update(rows.cpu().contiguous().view(torch.uint8).numpy())
    model._fingerprint = digest.hexdigest()
    return model._fingerprint


def save_state(path: str | Path, model: XLSTM, logits: Tensor, state: ModelState) -> None:
    """Write a state and the logits (B,V) that belong to it, whole or not at all.

    Args:
        path: the file; replaced where it exists.
        model: whose state it is.
        logits: after the last token read, so that a text can go on from the file alone.
        state: written as it is, bit for bit.
    """
    tensors = {"logits": logits}
    for b, (memory, window) in enumerate(state.blocks):
        tensors |= {f"{b}.{name}": tensor for name, tensor in zip(State._fields, memory)}
        if window is not None:
            tensors[f"{b}.window"] = window
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    path = Path(path)
    handle, part = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    os.close(handle)
    try:
        save_file(tensors, part, metadata={"format": _FORMAT, "weights": fingerprint(model)})
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def load_state(path: str | Path, model: XLSTM) -> tuple[Tensor, ModelState]:
    """Logits (B,V) and state of a file, on the model's device.

    Raises:
        ModelError: no such file, a damaged one, or a state of other weights.
    """
    try:
        with safe_open(str(path), framework="pt", device=str(model.device)) as file:
            meta = file.metadata() or {}
            if meta.get("format") != _FORMAT or meta.get("weights") != fingerprint(model):
                raise ModelError(
                    f"{path}: this state belongs to other weights or another dtype; "
                    "read the text again with this model"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise ModelError(f"{path}: there is no such state file") from error
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: damaged or not a state ({error})") from error
    blocks = tuple(
        BlockState(
            State(*(tensors[f"{b}.{name}"] for name in State._fields)), tensors.get(f"{b}.window")
        )
        for b in range(model.config.num_blocks)
    )
    return tensors["logits"], ModelState(blocks)

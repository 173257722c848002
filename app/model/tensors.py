"""The tensors of safetensors files: where each is, and any rows of it.

Files are read, never mapped: a mapped shard would count as memory of ours while it is copied.
"""

import json
import math
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from app.model.errors import ModelError
from app.model.layouts import canonical

_KINDS = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I8": torch.int8,
}


class Stored(NamedTuple):
    """A tensor of a file: its name there, how it is stored, its shape, its first byte."""

    file: Path
    name: str
    kind: str
    shape: tuple[int, ...]
    start: int

    @property
    def label(self) -> str:
        """What an error calls it."""
        return f"{self.file}: {self.name}"

    def rows(self, first: int = 0, last: int | None = None) -> Tensor:
        """Rows `first` to `last` (exclusive; None is all), as they are stored, read anew.

        Raises:
            ModelError: the file became shorter or cannot be read.
        """
        last = self.shape[0] if last is None else last
        found = torch.empty(last - first, *self.shape[1:], dtype=_KINDS[self.kind])
        row_bytes = math.prod(self.shape[1:]) * found.element_size()
        try:
            with self.file.open("rb") as file:
                file.seek(self.start + first * row_bytes)
                count = file.readinto(found.view(-1).view(torch.uint8).numpy())
        except OSError as error:
            raise ModelError(f"{self.label} cannot be read ({error})") from error
        if count != (last - first) * row_bytes:
            raise ModelError(f"{self.label} is cut short; fetch the file again")
        return found


def stored_tensors(files: list[Path]) -> dict[str, Stored]:
    """Canonical name -> where that tensor is.

    Raises:
        ModelError: a damaged file, one tensor in two places, or one that is no float or int8.
    """
    found: dict[str, Stored] = {}
    for file in files:
        for tensor in _header(file):
            name = canonical(tensor.name)
            if name in found:
                twin = found[name]
                raise ModelError(f"{tensor.label} stands in {twin.file.name} too ({twin.name})")
            if tensor.kind not in _KINDS:
                raise ModelError(
                    f"{tensor.label} is stored as {tensor.kind}; {', '.join(_KINDS)} are read"
                )
            found[name] = tensor
    return found


def _header(file: Path) -> list[Stored]:
    try:
        with safe_open(str(file), framework="pt"):
            pass  # the library checks that the header and the bytes fit together
        with file.open("rb") as content:
            size = int.from_bytes(content.read(8), "little")
            header = json.loads(content.read(size))
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{file}: damaged or cut short ({error}); fetch it again") from error
    header.pop("__metadata__", None)
    return [
        Stored(file, name, x["dtype"], tuple(x["shape"]), 8 + size + x["data_offsets"][0])
        for name, x in header.items()
    ]

"""From trained weights to the folder that ships: averaged, int8, in small files.

Weights only; tokenizer and prompt form are copied as they are.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch

from app.model.checkpoint import load_model
from app.model.save import save_model
from app.model.xlstm import XLSTM

SHARD_BYTES = 45_000_000  # of a file: the hosting takes 50 MB


def averaged(folders: Sequence[Path]) -> XLSTM:
    """The mean of several models' weights, float32: checkpoints of one cool-down do better so.

    Raises:
        ValueError: no folder, or models of different architectures.
    """
    if not folders:
        raise ValueError("there is no model to export")
    mean = load_model(folders[0], dtype=torch.float32, int8=False)
    for count, folder in enumerate(folders[1:], start=2):
        other = load_model(folder, dtype=torch.float32, int8=False)
        if other.config != mean.config:
            raise ValueError(f"{folder} has another architecture than {folders[0]}")
        with torch.no_grad():
            for weight, more in zip(mean.parameters(), other.parameters()):
                weight.lerp_(more, 1 / count)
    return mean


def export(folders: Sequence[Path], reader: Path, out: Path, *, int8: bool = True) -> Path:
    """Write the folder of a reader: its weights averaged, in the public layout's names.

    Args:
        folders: of models; one is taken as it is.
        reader: folder of tokenizer.json and prompt.json.
        out: must not exist yet.
        int8: projections and embedding as int8 with a scale a row, else bfloat16.

    Raises:
        ValueError: as in `averaged`.
        ModelError: the folder exists, or weights cannot be read.
    """
    # What is not int8 (norms, gates, convolution) is small: kept exactly.
    dtype = torch.float32 if int8 else torch.bfloat16
    save_model(averaged(folders), out, dtype=dtype, int8=int8, shard_bytes=SHARD_BYTES)
    for name in ("tokenizer.json", "prompt.json"):
        shutil.copyfile(reader / name, out / name)
    return out

"""A run on disk: weights as a model folder, the optimizer's tensors, and where everything stood.

A checkpoint appears whole or not at all. Nothing is unpickled.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from app.model.checkpoint import load_model
from app.model.save import save_model
from app.model.xlstm import XLSTM
from app.train.optimizer import Optimizer
from app.train.progress import Point

KEPT = 2  # of the checkpoints made on the way
BEFORE_COOLING = "before-cooling"
_RNG = "rng"


@dataclass(frozen=True)
class Standing:
    """Where a run stands: `data` is the state of each process's feed, by rank.

    `seconds` are those trained so far; `lost` (by rank) and `weighed` the sums of loss and weights
    since the last line of the log; `config` the settings, for whoever reads it later.
    """

    step: int
    tokens: int
    seconds: float
    skipped: int
    lost: tuple[float, ...]
    weighed: float
    points: tuple[Point, ...]
    data: tuple[Mapping[str, Any], ...]
    config: Mapping[str, Any]


def save_checkpoint(
    folder: Path, name: str, model: XLSTM, optimizer: Optimizer, standing: Standing
) -> Path:
    """Write `folder/name`: model/, optimizer.safetensors, run.json; an older one is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder))
    try:
        save_model(model, part / "model")
        tensors = {n: t.detach().cpu().contiguous() for n, t in optimizer.state().items()}
        save_file({**tensors, _RNG: torch.get_rng_state()}, part / "optimizer.safetensors")
        (part / "run.json").write_text(json.dumps(asdict(standing)) + "\n", encoding="utf-8")
        if (folder / name).exists():
            shutil.rmtree(folder / name)
        os.replace(part, folder / name)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    for old in sorted(folder.glob("step-*"))[:-KEPT]:
        shutil.rmtree(old)
    return folder / name


def last_checkpoint(folder: Path) -> Path | None:
    """The checkpoint of a run to go on from; None where there is none yet."""
    found = sorted(folder.glob("step-*"))
    return found[-1] if found else None


def restore_checkpoint(path: Path, model: XLSTM, optimizer: Optimizer) -> Standing:
    """Put weights, optimizer and random state back as they were; returns where the run stood.

    Raises:
        ModelError: the weights cannot be read.
        ValueError: they are of another architecture.
    """
    saved = load_model(path / "model", dtype=torch.float32, int8=False, kernels="native")
    weights, own = dict(saved.named_parameters()), dict(model.named_parameters())
    if {n: w.shape for n, w in weights.items()} != {n: w.shape for n, w in own.items()}:
        raise ValueError(f"{path} holds weights of another architecture")
    with torch.no_grad():
        for name, weight in own.items():
            weight.copy_(weights[name])
    tensors = load_file(path / "optimizer.safetensors")
    torch.set_rng_state(tensors.pop(_RNG))
    optimizer.restore(tensors)
    raw = json.loads((path / "run.json").read_text(encoding="utf-8"))
    points = tuple(Point(**point) for point in raw.pop("points"))
    lists = {"points": points, "data": tuple(raw["data"]), "lost": tuple(raw["lost"])}
    return Standing(**raw | lists)

"""What a model folder holds: where it is, its config, and which files have its weights.

No tensor is looked at here.
"""

import json
import os
from pathlib import Path
from typing import Any

from app.model.config import XLSTMConfig
from app.model.errors import ModelError, listed


def locate(path: str | Path) -> Path:
    """The folder of a model: `path` where that is one, else the hub's copy of that name.

    The hub is asked only where HF_HUB_OFFLINE allows it; its cache is looked into anyway.

    Raises:
        ModelError: neither is there.
    """
    folder = Path(path)
    if os.path.isdir(folder):  # unlike Path's, also for names that no file can have
        return folder
    if str(path).count("/") != 1 or str(path).startswith((".", "/", "~")):
        raise ModelError(f"{path}: there is no such model folder")
    from huggingface_hub import snapshot_download  # heavy, and only for names

    try:
        wanted = ["*.safetensors", "*.json", "*.yaml"]
        return Path(snapshot_download(str(path), allow_patterns=wanted))
    except Exception as error:  # the hub raises a dozen kinds, and each means: not to be had
        raise ModelError(
            f"{path}: no such folder, and the hub's copy is not to be had "
            f"({type(error).__name__}); give a folder, or set HF_HUB_OFFLINE=0 to allow a download"
        ) from error


def read_config(folder: Path) -> tuple[XLSTMConfig, bool]:
    """The architecture of a folder, and whether its layout is xlstm_large's (config.yaml).

    Raises:
        ModelError: no config, or one that cannot be read.
    """
    values, file = read_values(folder)
    return XLSTMConfig.from_dict(values, source=str(file)), file.suffix == ".yaml"


def read_values(folder: Path) -> tuple[dict[str, Any], Path]:
    """Every key of a folder's config.json or config.yaml, and which of them it was."""
    for file in (folder / "config.json", folder / "config.yaml"):
        if not file.is_file():
            continue
        try:
            text = file.read_text(encoding="utf-8")
            values = json.loads(text) if file.suffix == ".json" else _parse_yaml(text)
        except (ValueError, OSError, RecursionError) as error:
            raise ModelError(f"{file}: cannot be read ({error})") from error
        if not isinstance(values, dict):
            raise ModelError(f"{file}: a mapping of keys to values is needed")
        return values, file
    raise ModelError(f"{folder}: neither config.json nor config.yaml is in this model folder")


def tensor_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder: those of its index, or one, or numbered ones.

    Raises:
        ModelError: none, or the index names one that is absent.
    """
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            shards = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
            files = sorted({folder / Path(name).name for name in shards})
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
            raise ModelError(f"{index}: not an index of shards ({error})") from error
        missing = [file.name for file in files if not os.path.isfile(file)]
        if missing or not files:
            shown = listed([name[:80] for name in missing]) or "none at all"
            raise ModelError(f"{index}: names files that are absent: {shown}")
        return files
    single = folder / "model.safetensors"
    found = [single] if single.is_file() else sorted(folder.glob("model_*.safetensors"))
    if not found:
        raise ModelError(f"{folder}: no model.safetensors and no shards in this model folder")
    return found


def _parse_yaml(text: str) -> Any:
    import yaml  # only for the xlstm_large layout

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(error) from error

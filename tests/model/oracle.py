"""Folders of numeric fixtures: the committed excerpt, or the whole where the shared data is."""

import os
from pathlib import Path

DATA = Path(__file__).parent / "data"
NAMES = ("hf_a_128x3", "hf_b_tied_64x2", "large_a_64x2", "large_b_bias_48x2")


def folders() -> list[Path]:
    """Every fixture at hand, the whole one in place of its excerpt."""
    shared = os.environ.get("XLSTM_QA_SHARED")
    whole = [Path(shared) / "oracle" / name for name in NAMES] if shared else []
    found = {folder.name: folder for folder in DATA.iterdir() if folder.is_dir()}
    return list((found | {f.name: f for f in whole if f.is_dir()}).values())

"""Fixtures that every folder uses."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Read once, when something first imports Triton: without a GPU its kernels are interpreted.
if not any(Path("/dev").glob("nvidia*")):
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with the papers, oracle numbers and question sets that are not part of the project."""
    folder = os.environ.get("XLSTM_QA_SHARED")
    if not folder:
        pytest.skip("XLSTM_QA_SHARED is not set: the shared papers and figures are not at hand")
    return Path(folder)

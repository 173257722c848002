"""JupyterLab on a copy of the project, and a headless Chromium that looks at it; all slow."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A Chromium of this machine, driven by its own protocol."""
    pytest.importorskip("websocket", reason="websocket-client comes with JupyterLab")
    from devtools import Browser, find_chromium

    if find_chromium() is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    with Browser(find_chromium(), tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="session")
def lab(browser, shared, tmp_path_factory):
    """JupyterLab on loopback over a copy of the project with the real paper in it."""
    from lab_server import PAPER, Lab

    if not (ROOT / "data/models/reader/prompt.json").is_file():
        pytest.skip("no reader in data/models/reader")
    project = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "app", project / "app", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "run.ipynb", project)
    (project / "data/papers").mkdir(parents=True)
    shutil.copy(shared / "papers" / PAPER, project / "data/papers")
    (project / "data/models").symlink_to(ROOT / "data/models")
    with Lab(project, tmp_path_factory.mktemp("jupyter")) as lab:
        yield lab

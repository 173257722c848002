"""requirements.txt: compiled, pinned, without addresses; requirements.in: who needs each line."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IN = (ROOT / "requirements.in").read_text()
TXT = (ROOT / "requirements.txt").read_text()
DESIGN = {
    "langchain",
    "langchain-community",
    "faiss-cpu",
    "sentence-transformers",
    "pypdf",
    "torch",
    "transformers",
    "jupyterlab",
    "pip-tools",
}


def name_of(line: str) -> str:
    return re.split(r"[=<>;\[ ]", line)[0].lower()


def test_the_design_packages_are_asked_for():
    asked = {name_of(line) for line in IN.splitlines() if line and not line.startswith("#")}
    assert asked >= DESIGN


def test_every_line_of_requirements_in_says_who_needs_it():
    for line in IN.splitlines():
        if line and not line.startswith("#"):
            assert re.search(r"#\s*\w+.*", line), line
    assert "pip-compile" in IN.splitlines()[0]


def test_everything_asked_for_is_pinned():
    pinned = {name_of(line): line for line in TXT.splitlines() if re.match(r"[a-z0-9]", line)}
    for line in IN.splitlines():
        if line and not line.startswith("#"):
            assert "==" in pinned[name_of(line)], line
    assert pinned["torch"].startswith("torch==2.13.0")
    assert pinned["triton"].startswith("triton==3.7.1")  # what torch 2.13.0's GPU build names


def test_no_option_no_address_no_local_version():
    for line in TXT.splitlines():
        assert not line.startswith("--") and "://" not in line and "+cpu" not in line, line


def test_top_level_is_as_designed():
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout
    top = {name.split("/")[0] for name in files.split("\n") if name and not name.startswith(".")}
    assert top <= {
        "requirements.in",
        "requirements.txt",
        "run.ipynb",
        "app",
        "data",
        "tests",
        "README.md",
        "LICENSE",
    }


def test_no_weights_beyond_the_limits():
    files = [
        ROOT / line
        for line in subprocess.run(
            ["git", "ls-files", "data/models"],
            cwd=ROOT,
            capture_output=True,
            text=True,
        ).stdout.splitlines()
    ]
    sizes = [path.stat().st_size for path in files if path.exists()]
    assert all(size <= 50e6 for size in sizes) and sum(sizes) <= 115e6

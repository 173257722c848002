"""run.ipynb: short cells without logic, real saved outputs, relative links; and it runs (slow)."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = json.loads((ROOT / "run.ipynb").read_text(encoding="utf-8"))
CODE = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def source(cell) -> str:
    return "".join(cell["source"])


def outputs(cell) -> str:
    return json.dumps(cell["outputs"], ensure_ascii=False)


def test_at_most_fifteen_code_cells_of_one_to_eight_lines():
    assert 1 <= len(CODE) <= 15
    for cell in CODE:
        assert 1 <= len([line for line in source(cell).split("\n") if line.strip()]) <= 8


def test_no_logic_in_cells():
    for cell in CODE:
        assert not re.search(r"^\s*(def|class|for|while|if|try)\b", source(cell), re.M)


def test_every_group_is_announced_by_a_heading():
    first_lines = [source(c) for c in NOTEBOOK["cells"] if c["cell_type"] == "markdown"]
    assert sum(line.startswith("#") for line in first_lines) >= 5


def test_the_two_questions_of_the_readme_are_compared():
    text = "\n".join(source(cell) for cell in CODE)
    question = "What are the major improvements over the previous or vanilla LSTM architecture?"
    assert question in text and "bullet" in text and "compare(" in text
    assert question in (ROOT / "README.md").read_text(encoding="utf-8")


def test_outputs_are_saved_in_order_and_without_errors():
    counts = [cell["execution_count"] for cell in CODE]
    assert counts == list(range(1, len(CODE) + 1))
    assert not any(o["output_type"] == "error" for cell in CODE for o in cell["outputs"])
    assert sum("text/html" in outputs(cell) for cell in CODE) >= 4


def test_saved_on_the_real_paper_with_relative_page_links():
    text = "".join(outputs(cell) for cell in CODE)
    assert "data/papers/xlstm-2405.04517v1.pdf#page=" in text
    assert str(ROOT) not in text and "/home/" not in text and "file://" not in text
    assert "<script" not in text


@pytest.mark.slow
def test_runs_top_to_bottom_from_our_own_note_where_the_paper_is_missing(tmp_path):
    """A bare copy without the paper and without a network: it says so and reads the note."""
    for name in ("app", "run.ipynb"):
        where = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        where(ROOT / name, tmp_path / name)
    (tmp_path / "data/papers").mkdir(parents=True)
    shutil.copy(ROOT / "data/papers/mlstm-formulations.pdf", tmp_path / "data/papers")
    (tmp_path / "data/models").symlink_to(ROOT / "data/models")
    closed = {"https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "nbconvert",
            "--to",
            "notebook",
            "--execute",
            "run.ipynb",
            "--output",
            "done.ipynb",
            "--ExecutePreprocessor.timeout=900",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, **closed},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    cells = json.loads((tmp_path / "done.ipynb").read_text())["cells"]
    text = json.dumps(next(cell["outputs"] for cell in cells if cell.get("outputs")))
    assert "mlstm-formulations.pdf" in text and "instead of arxiv:2405.04517v1" in text

"""The README: its commands are there, run what they say, and every file it names exists."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def command(tag: str) -> str:
    block = README.split(f"<!-- {tag} -->")[1].split("```")[1].split("\n", 1)[1].strip()
    assert "\n" not in block, "one line"
    return block


def test_setup_is_one_line_that_ends_in_the_notebook():
    line = command("setup")
    assert "-m venv .venv" in line and "-r requirements.txt" in line
    assert line.endswith("run.ipynb") and "jupyter" in line


def test_tests_are_one_line():
    assert command("tests").endswith("-m pytest tests -q")


def test_every_file_named_exists():
    for name in re.findall(r"`((?:app|data|tests)/[\w./-]+)`", README):
        assert (ROOT / name).exists() or name.startswith("data/index"), name


def test_every_command_named_is_one_of_the_command_line():
    from app.cli import COMMANDS

    named = set(re.findall(r"python -m app (\w+)", README))
    assert named and named <= set(COMMANDS)


def test_it_says_what_the_torch_pin_fetches_elsewhere():
    assert "CUDA" in README and "2.13.0" in README

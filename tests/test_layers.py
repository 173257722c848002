"""The structure of app/: imports go in one direction, files stay small, heavy packages at home."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

APP = Path(__file__).resolve().parent.parent / "app"
FILES = sorted(APP.rglob("*.py"))

# folder -> the folders of app that it may import
MAY_IMPORT = {
    "cpu": set(),
    "kernels": set(),
    "papers": set(),
    "show": set(),
    "rank": {"papers"},
    "model": {"kernels", "cpu"},
    "retrieve": {"rank", "papers", "show"},
    "answer": {"model", "rank", "retrieve", "papers", "show"},
    "train": {"model", "kernels", "rank", "papers", "answer"},
    "evaluate": {"answer", "model", "retrieve", "papers", "show", "kernels", "train"},
    "bench": {"evaluate", "answer", "model", "retrieve", "papers", "show", "kernels"},
    "cli": {
        "bench",
        "evaluate",
        "answer",
        "model",
        "rank",
        "retrieve",
        "papers",
        "show",
        "kernels",
        "train",
        "",
    },
    "": {"cli"},
}
# package -> where it may be imported, by path prefix; what is not named may be imported anywhere
HOMES = {
    "langchain_core": (
        "bench/index.py",
        "retrieve/store.py",
        "retrieve/base.py",
        "retrieve/library.py",
        "retrieve/embed.py",
        "answer/llm.py",
    ),
    "torch": (
        "kernels/",
        "model/",
        "rank/",
        "train/",
        "evaluate/",
        "bench/",
        "answer/reader.py",
        "retrieve/embed.py",
    ),
    "triton": ("kernels/", "bench/"),
    "mlstm_kernels": ("bench/",),
    "faiss": ("retrieve/", "bench/"),
    "sentence_transformers": ("retrieve/embed.py",),
    "pypdf": ("papers/", "retrieve/"),
    "transformers": ("retrieve/embed.py", "bench/"),
    "langchain": (),
    "langchain_community": (),
    "langchain_classic": (),
    "pickle": (),
}


def imports(path: Path) -> list[str]:
    """Every module that a file imports, wherever in the file."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found += [node.module]
            if node.module == "app":
                found += [
                    f"app.{alias.name}" for alias in node.names if (APP / alias.name).is_dir()
                ]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(APP)))
def test_imports_go_in_one_direction(path):
    place = path.relative_to(APP)
    folder = place.parts[0] if len(place.parts) > 1 else ""
    assert folder in MAY_IMPORT, f"app/{folder} has no place in the table of layers"
    for module in imports(path):
        parts = module.split(".")
        if parts[0] == "app":
            target = parts[1] if len(parts) > 1 and (APP / parts[1]).is_dir() else ""
            assert target == folder or target in MAY_IMPORT[folder], f"{place} imports {module}"
        elif parts[0] in HOMES:
            assert any(str(place).startswith(home) for home in HOMES[parts[0]]), (
                f"{place} imports {module}, whose home is {HOMES[parts[0]]}"
            )


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(APP)))
def test_files_stay_readable(path):
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= (400 if "triton" in path.name else 310), f"{lines} lines"


def run_python(code: str) -> str:
    """What a fresh interpreter prints for `code`."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=APP.parent
    ).stdout


@pytest.mark.parametrize(
    "module",
    [
        "app",
        "app.cli",
        "app.papers.read",
        "app.papers.chunk",
        "app.retrieve.library",
        "app.show.html",
    ],
)
def test_importing_loads_nothing_heavy(module):
    heavy = {"torch", "sentence_transformers", "transformers", "triton", "matplotlib"}
    loaded = run_python(f"import sys, {module}; print(*sys.modules)").split()
    assert not heavy & set(loaded)


def test_importing_app_is_almost_free():
    before = len(run_python("import sys, os, importlib; print(*sys.modules)").split())
    after = run_python("import app, sys; print(*sys.modules)").split()
    assert "app" in after and len(after) - before < 30


def test_an_unknown_public_name_lists_the_known():
    import app

    with pytest.raises(AttributeError, match="Library"):
        _ = app.librarian
    for name in dir(app):
        assert getattr(app, name) is not None

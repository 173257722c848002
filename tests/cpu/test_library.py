"""The library of C++: compiled once for each state of its sources, and never half."""

import ctypes
import logging
import subprocess

import pytest

from app.cpu import library as compiled
from app.cpu.library import NotCompiled, build


@pytest.fixture(autouse=True)
def compiler():
    try:
        compiled.find_compiler()
    except NotCompiled as reason:
        pytest.skip(str(reason))


def test_a_library_is_compiled_once(monkeypatch, tmp_path):
    sources, folder = tmp_path / "sources", tmp_path / "cache"
    sources.mkdir()
    (sources / "one.cpp").write_text('#include "two.h"\nextern "C" int one() { return TWO; }')
    (sources / "two.h").write_text("#define TWO 2")
    (sources / "three.cpp").write_text('extern "C" int three() { return 3; }')
    first = build(sources, folder)
    code = ctypes.CDLL(str(first))
    assert (code.one(), code.three()) == (2, 3)
    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "run", lambda *a, **k: pytest.fail("compiled again"))
        assert build(sources, folder) == first
    assert [entry.name for entry in folder.iterdir()] == [first.name]
    (sources / "two.h").write_text("#define TWO 22")
    assert ctypes.CDLL(str(build(sources, folder))).one() == 22


def test_source_that_does_not_compile_leaves_nothing(tmp_path):
    broken = tmp_path / "sources"
    broken.mkdir()
    (broken / "broken.cpp").write_text("int main( {")
    folder = tmp_path / "cache"
    with pytest.raises(NotCompiled, match="broken.cpp"):
        build(broken, folder)
    assert not list(folder.iterdir())


def test_a_folder_that_cannot_be_written_is_no_end(monkeypatch, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with caplog.at_level(logging.INFO, "app.cpu.library"):
        assert compiled.library.__wrapped__() is None
    assert "Not a directory" in caplog.text

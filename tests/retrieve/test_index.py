"""An index on disk is whole or absent, whatever kills its writer; what is damaged is never used."""

import dataclasses
import io
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from app.retrieve import index as disk

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {"words": 130}


def recipe(pdf="a.pdf", sha256="1" * 64, **changes):
    return {**disk.make_recipe(Path(pdf), sha256, "2" * 64, SETTINGS, "whole"), **changes}


@pytest.fixture
def written(tmp_path, index_of, blocks):
    index = index_of("a.pdf", blocks)
    return disk.write_index(tmp_path, recipe(), index), index


def assert_same(got, expected):
    assert got.paper == expected.paper and got.chunks == expected.chunks
    assert got.vectors.dtype == got.sentence_vectors.dtype == np.float32
    assert np.array_equal(got.vectors, expected.vectors)
    assert np.array_equal(got.sentence_vectors, expected.sentence_vectors)


def test_what_is_written_is_read(written):
    folder, index = written
    assert_same(disk.read_index(folder, recipe()), index)
    assert {path.name for path in folder.iterdir()} == {
        "index.faiss",
        "sentences.npy",
        "paper.json",
        "manifest.json",
    }


def test_faiss_itself_reads_the_file(written):
    import faiss

    folder, index = written
    flat = faiss.read_index(str(folder / "index.faiss"))
    scores, rows = flat.search(index.vectors[2:3], 1)
    assert rows[0, 0] == 2 and np.isclose(scores[0, 0], 1, atol=1e-6)


@pytest.mark.parametrize("name", ["index.faiss", "sentences.npy", "paper.json", "manifest.json"])
def test_one_flipped_bit_anywhere_is_noticed(written, name):
    folder, _ = written
    path = folder / name
    data = path.read_bytes()
    for at in random.Random(0).sample(range(len(data)), 60):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(disk.UnusableIndex):
            disk.read_index(folder, recipe())


@pytest.mark.parametrize("name", ["index.faiss", "sentences.npy", "paper.json", "manifest.json"])
@pytest.mark.parametrize("harm", ["truncated", "empty", "missing", "a folder"])
def test_a_harmed_file_is_noticed(written, name, harm):
    path = written[0] / name
    data = path.read_bytes()
    path.unlink()
    if harm == "a folder":
        path.mkdir()
    elif harm != "missing":
        path.write_bytes(data[: len(data) // 2] if harm == "truncated" else b"")
    with pytest.raises(disk.UnusableIndex):
        disk.read_index(written[0], recipe())


def test_a_pickle_in_the_place_of_vectors_is_not_opened(written):
    folder, _ = written
    np.save(folder / "sentences.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    data = (folder / "sentences.npy").read_bytes()
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["sentences.npy"] = {"bytes": len(data), "sha256": disk._digest(data)}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(disk.UnusableIndex, match="allow_pickle"):
        disk.read_index(folder, recipe())


def test_another_recipe_is_another_folder_and_its_difference_is_named(written):
    folder, _ = written
    for key, cause in disk.CAUSES.items():
        other = recipe(**{key: "changed"})
        assert disk.folder_name(other) != folder.name
        assert disk.others(folder.parent, other) == [folder]
        assert disk.difference(folder, other) == cause
        with pytest.raises(disk.UnusableIndex, match="another recipe"):
            disk.read_index(folder, other)


def test_the_longest_unused_indexes_of_a_paper_go(tmp_path, index_of, blocks):
    index = index_of("a.pdf", blocks)
    recipes = [recipe(sha256=str(n) * 64) for n in range(7)]
    for n, each in enumerate(recipes):
        os.utime(disk.write_index(tmp_path, each, index), (n, n))
    bystander = disk.write_index(tmp_path, recipe("a-b.pdf"), index)
    disk.tidy(tmp_path, recipes[0])
    kept = {disk.folder_name(recipes[n]) for n in (0, 4, 5, 6)}
    assert {path.name for path in tmp_path.iterdir()} == kept | {bystander.name}


def test_leftovers_go_once_their_writer_is_dead(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    host = disk._host()
    names = {
        f".writing-{dead.pid}-0a-{host}": False,
        f".writing-{os.getpid()}-0b-{host}": True,
        f".writing-{dead.pid}-0c-elsewhere": True,
        ".writing-something-else": True,
    }
    for name in names:
        (tmp_path / name).mkdir()
    old = tmp_path / f".writing-{os.getpid()}-0d-elsewhere"
    old.mkdir()
    two_days_ago = time.time() - 2 * 86_400
    os.utime(old, (two_days_ago, two_days_ago))
    disk.remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {n for n, stays in names.items() if stays}


# Forks writers from one process that holds no threads, and kills them: first before each single
# operation on files in turn, then at random moments. Prints how many died and how many finished.
CRASHES = """
import os, random, signal, sys, time
from pathlib import Path
sys.path[:0] = [sys.argv[1]]
import numpy as np, faiss
from app.papers.records import Chunk, Page, Paper, Sentence, Span
from app.retrieve import index as disk
from app.retrieve.contents import PaperIndex

root = Path(sys.argv[2])
sync, os.fsync = os.fsync, lambda handle: None  # what is set up needs no disk that lasts
def make(seed):
    rows = np.random.default_rng(seed).standard_normal((100, 64)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    chunks = tuple(
        Chunk(f"a.pdf:{i:04d}", "a.pdf", "T", "S", "main", "1", "Text.", (Span(1, 0, 5),),
              (Sentence("Text.", 0, 5, (Span(1, 0, 5),)),)) for i in range(100))
    return PaperIndex(Paper("a.pdf", str(seed), "T", None, (Page(1, "1", "Text."),), ()), chunks,
                      rows, rows)
def recipe(seed):
    return disk.make_recipe(Path("a.pdf"), str(seed), "w", {}, "whole")
old, new = make(1), make(2)
disk.write_index(root, recipe(1), old)
target = root / disk.folder_name(recipe(2))
def check():
    assert np.array_equal(disk.read_index(root / disk.folder_name(recipe(1)), recipe(1)).vectors,
                          old.vectors)
    if target.exists():
        assert np.array_equal(disk.read_index(target, recipe(2)).vectors, new.vectors)
        return True
    return False
EVENTS = {"open", "os.mkdir", "os.rename", "os.rmdir", "os.remove"}
def writer(last=None):
    pid = os.fork()
    if pid:
        return pid
    os.fsync = sync
    if last is not None:
        count = 0
        def hook(event, args):
            nonlocal count
            if event in EVENTS:
                count += 1
                if count == last:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(hook)
    disk.write_index(root, recipe(2), new)
    os._exit(0)
def attempt(last=None, delay=None, damaged=False):
    if damaged:
        disk.write_index(root, recipe(2), new)
        (target / "sentences.npy").write_bytes(b"junk")
    pid = writer(last)
    if delay is not None:
        time.sleep(delay)
        os.kill(pid, signal.SIGKILL)
    died = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0
    if died and damaged and target.exists():
        try:
            check()
        except disk.UnusableIndex:
            disk.write_index(root, recipe(2), new)
    whole = check()
    assert whole or died
    disk.remove_leftovers(root)
    assert not [p for p in root.iterdir() if p.name.startswith(".writing")]
    import shutil
    shutil.rmtree(target, ignore_errors=True)
    return died
results = []
for damaged in (False, True):
    last = 1
    while attempt(last=last, damaged=damaged):
        results.append(True)
        last += 1
start = time.perf_counter()
attempt()
took = time.perf_counter() - start
draw = random.Random(0)
results += [attempt(delay=draw.uniform(0, 1.2 * took)) for _ in range(int(sys.argv[3]))]
print(sum(results), len(results))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks the writers that it kills")
def test_a_writer_killed_at_any_moment_leaves_old_or_new(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CRASHES, str(ROOT), str(tmp_path), "25"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    died, tried = map(int, done.stdout.split())
    assert died > 15 and tried >= died


# Several processes open one index, and harm it in between.
CONTEST = """
import random, sys
from pathlib import Path
sys.path[:0] = [sys.argv[1], str(Path(sys.argv[1], "tests", "retrieve"))]
import numpy as np
import conftest
from app.retrieve import index as disk

root, draw = Path(sys.argv[2]), random.Random(int(sys.argv[3]))
index = conftest.make_index("a.pdf", conftest.BLOCKS, conftest.WordEmbedder())
recipe = disk.make_recipe(Path("a.pdf"), "s", "w", {}, "whole")
folder = root / disk.folder_name(recipe)
for _ in range(60):
    disk.remove_leftovers(root)
    try:
        found = disk.read_index(folder, recipe)
    except disk.UnusableIndex:
        disk.write_index(root, recipe, index)
        found = index
    disk.tidy(root, recipe)
    assert np.array_equal(found.vectors, index.vectors) and found.chunks == index.chunks
    if draw.random() < 0.3:
        try:
            (folder / "paper.json").write_bytes(b"{}")
        except OSError:
            pass
"""


def test_processes_at_once_do_not_harm_each_other(tmp_path):
    command = [sys.executable, "-c", CONTEST, str(ROOT), str(tmp_path)]
    running = [
        subprocess.Popen([*command, str(n)], stderr=subprocess.PIPE, text=True) for n in range(3)
    ]
    errors = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], errors
    names = [path.name for path in tmp_path.iterdir()]
    assert len(names) == 1 and not names[0].startswith(".")


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path, index_of, blocks):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        disk.write_index(tmp_path / "file" / "index", recipe(), index_of("a.pdf", blocks))
    shutil.rmtree(tmp_path, ignore_errors=True)


def signed(folder, name, data):
    """Put other bytes in a file's place and their hash in the manifest."""
    (folder / name).write_bytes(data)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = {"bytes": len(data), "sha256": disk._digest(data)}
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("name", ["/etc/hostname", "../other", "more.json", "pipe", "./paper.json"])
def test_a_manifest_names_no_file_of_its_own(written, name):
    folder, _ = written
    os.mkfifo(folder / "pipe")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = {"bytes": 1, "sha256": "0" * 64}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(disk.UnusableIndex, match="lists other files"):
        disk.read_index(folder, recipe())


@pytest.mark.parametrize("name", ["index.faiss", "sentences.npy", "paper.json", "manifest.json"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(written, name):
    folder, _ = written
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(disk.UnusableIndex, match="no regular file"):
        disk.read_index(folder, recipe())
    if name == "manifest.json":
        assert disk.difference(folder, recipe()) == "its manifest cannot be read"


def spoilt(rows, harm):
    rows = rows.copy()
    if harm == "long":
        return rows * 2
    if harm == "narrow":
        rows = rows[:, :-1]
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)
    if harm == "double":
        return rows.astype(np.float64)
    rows[1, 3] = {"nan": np.nan, "infinite": np.inf}[harm]
    return rows


@pytest.mark.parametrize(
    ("field", "harm"),
    [
        (field, harm)
        for field in ("vectors", "sentence_vectors")
        for harm in ("nan", "infinite", "long", "narrow", "double")
        if (field, harm) != ("vectors", "double")  # FAISS holds single precision only
    ],
)
def test_vectors_that_are_none_are_not_used_even_where_the_hash_fits(written, field, harm):
    folder, index = written
    other = dataclasses.replace(index, **{field: spoilt(getattr(index, field), harm)})
    buffer = io.BytesIO()
    np.save(buffer, other.sentence_vectors)
    signed(folder, "sentences.npy", buffer.getvalue())
    signed(folder, "index.faiss", disk.encode(other)["index.faiss"])
    with pytest.raises(disk.UnusableIndex, match="vectors of"):
        disk.read_index(folder, recipe(), index.vectors.shape[1])


def test_vectors_of_another_width_than_the_embedders_are_not_used(written):
    folder, index = written
    with pytest.raises(disk.UnusableIndex, match="vectors of chunks"):
        disk.read_index(folder, recipe(), index.vectors.shape[1] + 1)

"""The index of one paper on disk: written whole or not at all, and checked before it is used.

It never reads or writes a pickle and never uses a file whose hash is not the one in the manifest.
"""

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from app.papers.records import shown_name
from app.retrieve.contents import FILES, PaperIndex, decode, encode

FORMAT = 2
MANIFEST = "manifest.json"
KEPT_PER_PAPER = 4
_LEFTOVER = re.compile(r"\.writing-(\d+)-[0-9a-f]+-(.*)")
_DAY_SECONDS = 86_400

Recipe = Mapping[str, Any]


class UnusableIndex(Exception):
    """What lies in a folder is no index of the wanted recipe; the message says why."""


class UnusableFolder(OSError):
    """The folder of the indexes cannot be written; the message says why and what to do."""

    def __init__(self, root: Path, reason: str) -> None:
        super().__init__(
            f"the index folder {root} cannot be written ({reason}); make room or give another "
            "folder: --index FOLDER, in Python Library.open(..., index=FOLDER)"
        )


def make_recipe(
    pdf: Path, sha256: str, weights: str, settings: Mapping[str, Any], vectors: str
) -> Recipe:
    """All that an index depends on: two that agree in it are the same.

    Args:
        pdf: The file; its name is part of chunk ids.
        sha256: Of the file.
        weights: Fingerprint of the embedder.
        settings: How the paper is cut.
        vectors: What the vectors of chunks are made of.
    """
    return {
        "format": FORMAT,
        "file": shown_name(pdf),
        "pdf_sha256": sha256,
        "embedder_sha256": weights,
        "chunks": dict(settings),
        "vectors": vectors,
        "pypdf": _version("pypdf"),
        "fonttools": _version("fonttools"),
        "reading": _hash_of_reading(),
    }


CAUSES = {
    "format": "the form of the index changed",
    "pdf_sha256": "the PDF changed",
    "embedder_sha256": "another embedder",
    "chunks": "other chunk settings",
    "vectors": "vectors of chunks made another way",
    "pypdf": "another version of pypdf",
    "fonttools": "another version of fonttools",
    "reading": "the code that reads papers changed",
}


def folder_name(recipe: Recipe) -> str:
    """Name of an index's folder: the paper's, and a hash of the recipe."""
    return f"{_stem(recipe['file'])}-{_digest(json.dumps(recipe, sort_keys=True).encode())[:12]}"


def read_index(folder: Path, recipe: Recipe, width: int | None = None) -> PaperIndex:
    """Read and check an index; its vectors must be as wide as `width` says.

    Raises:
        UnusableIndex: a file is missing, damaged or of another recipe.
    """
    try:
        manifest = json.loads(_read_file(folder / MANIFEST))
        if manifest["recipe"] != recipe:
            raise UnusableIndex("its manifest is of another recipe")
        if set(manifest["files"]) != set(FILES):  # names from a file are never followed
            raise UnusableIndex("its manifest lists other files")
        data = {}
        for name in FILES:
            expected, data[name] = manifest["files"][name], _read_file(folder / name)
            if len(data[name]) != expected["bytes"] or _digest(data[name]) != expected["sha256"]:
                raise UnusableIndex(f"{name} is damaged")
        return decode(data, width)
    except OSError as error:
        raise UnusableIndex(f"{Path(error.filename or folder).name} cannot be read") from error
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise UnusableIndex(f"it cannot be read ({type(error).__name__}: {error})") from error


def write_index(root: Path, recipe: Recipe, index: PaperIndex) -> Path:
    """Write an index beside its place and move it there in one step; a crash leaves old or new.

    A whole index that another process put there meanwhile stays.

    Returns:
        The folder.

    Raises:
        UnusableFolder: it cannot be written there.
    """
    make_root(root)
    target, temporary = root / folder_name(recipe), _temporary(root)
    try:
        temporary.mkdir()
        files = {}
        for name, data in encode(index).items():
            _write_file(temporary / name, data)
            files[name] = {"bytes": len(data), "sha256": _digest(data)}
        manifest = {"recipe": recipe, "files": files}
        _write_file(temporary / MANIFEST, json.dumps(manifest, indent=1).encode())
        _sync_folder(temporary)
        _move(temporary, target, recipe)
        _sync_folder(root)
    except OSError as error:
        raise UnusableFolder(root, error.strerror or str(error)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def make_root(root: Path) -> None:
    """Make the folder of the indexes where it is missing.

    Raises:
        UnusableFolder: there can be none, or nothing can be written in it.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UnusableFolder(root, "it is no folder") from None
    except OSError as error:
        raise UnusableFolder(root, error.strerror or str(error)) from error
    if not os.access(root, os.W_OK | os.X_OK):
        raise UnusableFolder(root, "it is read-only")


def others(root: Path, recipe: Recipe) -> list[Path]:
    """Folders of the same paper under other recipes, the one used last first."""
    name = re.compile(re.escape(_stem(recipe["file"])) + r"-[0-9a-f]{12}")
    found = [each for each in _entries(root) if name.fullmatch(each.name)]
    found = [each for each in found if each.name != folder_name(recipe)]
    return sorted(found, key=_modified, reverse=True)


def difference(folder: Path, recipe: Recipe) -> str:
    """In words, what sets the index in a folder apart from a recipe."""
    try:
        found = json.loads(_read_file(folder / MANIFEST))["recipe"]
        causes = [cause for key, cause in CAUSES.items() if found.get(key) != recipe[key]]
    except (UnusableIndex, OSError, ValueError, KeyError, AttributeError, TypeError, RuntimeError):
        causes = []
    return ", ".join(causes) or "its manifest cannot be read"


def tidy(root: Path, recipe: Recipe) -> None:
    """Mark an index as used, and remove the longest unused of the same paper beyond a few."""
    with suppress(OSError):
        os.utime(root / folder_name(recipe))
    for old in others(root, recipe)[KEPT_PER_PAPER - 1 :]:
        shutil.rmtree(old, ignore_errors=True)


def remove_leftovers(root: Path) -> None:
    """Remove what writers that crashed have left: those of dead processes, or a day old."""
    for entry in _entries(root):
        match = _LEFTOVER.fullmatch(entry.name)
        if match and not _may_live(int(match[1]), match[2], entry):
            shutil.rmtree(entry, ignore_errors=True)


def _may_live(pid: int, host: str, entry: Path) -> bool:
    if time.time() - _modified(entry) > _DAY_SECONDS:
        return False
    if host != _host() or os.name != "posix":  # os.kill means something else on Windows
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _move(temporary: Path, target: Path, recipe: Recipe) -> None:
    while True:
        try:
            os.rename(temporary, target)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
        with suppress(UnusableIndex):
            read_index(target, recipe)
            return
        aside = _temporary(target.parent)
        with suppress(FileNotFoundError):
            os.rename(target, aside)
        shutil.rmtree(aside, ignore_errors=True)


def _read_file(path: Path) -> bytes:
    if path.exists() and not path.is_file():  # a pipe would be waited for without end
        raise UnusableIndex(f"{path.name} is no regular file")
    return path.read_bytes()


def _write_file(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":  # Windows has no handle of a folder to sync
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _temporary(root: Path) -> Path:
    return root / f".writing-{os.getpid()}-{secrets.token_hex(4)}-{_host()}"


def _host() -> str:
    return re.sub(r"[^\w.-]", "_", socket.gethostname())


def _entries(root: Path) -> list[Path]:
    try:
        return list(root.iterdir())
    except OSError:  # none, or not to be looked into: there is nothing to tidy
        return []


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # another process removed it
        return 0.0


def _stem(file: str) -> str:
    return re.sub(r"[^\w.-]", "_", Path(file).stem)[:60].lstrip(".") or "paper"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


@cache
def _hash_of_reading() -> str:
    """Hash of the code of app.papers: where it changes, texts and chunks may."""
    folder = Path(__file__).parent.parent / "papers"
    sources = sorted(folder.glob("*.py"))
    return _digest(b"\0".join(path.name.encode() + path.read_bytes() for path in sources))[:16]

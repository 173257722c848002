"""The C++ in this folder as a library: compiled on first use, kept in the user's cache.

Never required. Knows no model; whoever calls it has a way to do without.
"""

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

logger = logging.getLogger(__name__)

_BUILDING = threading.Lock()

SOURCES = Path(__file__).parent
_COMPILERS = ("c++", "g++", "clang++")
# -O3: at -O2 gcc 12 leaves the sums of a tile in memory, three times slower.
_FLAGS = ("-std=c++17", "-O3", "-fno-math-errno", "-ffp-contract=fast", "-w", "-fPIC")
_FLAGS += ("-pthread",)
_SECONDS = 120  # a compiler that takes longer is stuck; seen: 10


class Matrix(ctypes.Structure):
    """`Matrix` of model.h: rows of weights, and a scale for each where they are int8."""

    _fields_ = [
        ("weight", ctypes.c_void_p),
        ("scale", ctypes.c_void_p),
        ("rows", ctypes.c_int64),
        ("columns", ctypes.c_int64),
        ("kind", ctypes.c_int64),
    ]


class NotCompiled(Exception):
    """There is no library; the message says why."""


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled library, or None where there can be none; either is logged once, with why.

    XLSTM_COMPILE=0 in the environment keeps it from being compiled or used.
    """
    if os.environ.get("XLSTM_COMPILE") == "0":
        logger.info("CPU: PyTorch (XLSTM_COMPILE=0)")
        return None
    try:
        with _BUILDING:  # threads that ask at once: the others find what the first has made
            path = build(SOURCES, cache_folder())
        found = ctypes.CDLL(str(path))
    except (NotCompiled, OSError) as reason:
        logger.info("CPU: PyTorch, decoding several times slower (%s)", reason)
        return None
    logger.info("CPU: compiled (%s)", path)
    return found


def cache_folder() -> Path:
    """Where compiled libraries are kept: XDG_CACHE_HOME or ~/.cache, in a folder of our own."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ask-your-papers"


def build(sources: Path, folder: Path) -> Path:
    """Compile the folder `sources` into `folder`, unless what was made of it for this CPU is there.

    Raises:
        NotCompiled: no compiler, or it fails.
        OSError: the folder cannot be written.
    """
    compiler = find_compiler()
    files = sorted(path for path in sources.iterdir() if path.suffix in (".cpp", ".h"))
    texts = (path.read_text(encoding="utf-8") for path in files)
    digest = hashlib.sha256("\n".join((*texts, compiler, *_FLAGS, _cpu())).encode()).hexdigest()
    target = folder / f"{sources.name}-{digest[:16]}.so"
    if target.is_file():
        return target
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=folder) as room:
        made = Path(room, "made.so")
        units = [path for path in files if path.suffix == ".cpp"]
        # for this CPU where the compiler can, else for any of its kind
        for tuned in (("-march=native",), ()):
            failure = _compile([compiler, *_FLAGS, *tuned], units, made)
            if not failure:
                os.replace(made, target)
                return target
    raise NotCompiled(f"{compiler} failed: {failure}")


def find_compiler() -> str:
    """Path of the C++ compiler: CXX of the environment, else the first of the usual names.

    Raises:
        NotCompiled: there is none, or this system has other libraries.
    """
    if os.name != "posix":
        raise NotCompiled(f"not compiled on {platform.system()}")
    named = os.environ.get("CXX")
    for name in (named,) if named else _COMPILERS:
        if path := shutil.which(name):
            return path
    raise NotCompiled(f"no C++ compiler: {named or ', '.join(_COMPILERS)} not found")


def _compile(command: Sequence[str], units: Sequence[Path], made: Path) -> str:
    """Compile units side by side and link them; why that failed, or ''."""
    objects = [made.with_name(f"{unit.stem}.o") for unit in units]
    steps = [[*command, "-c", str(u), "-o", str(o)] for u, o in zip(units, objects)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        failures = [failure for failure in pool.map(_run, steps) if failure]
    if failures:
        return failures[0]
    return _run([*command, "-shared", *map(str, objects), "-o", str(made)])


def _run(command: Sequence[str]) -> str:
    """Why the compiler failed, in its first line; '' where it did not."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else (done.stderr.strip() or "no message").split("\n")[0]


def _cpu() -> str:
    """What sets one CPU's code apart: a home folder may be shared between machines."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().split("\n") if info.exists() else []
    flags = [line for line in lines if line.startswith(("model name", "flags", "Features"))][:2]
    return "\n".join([platform.machine(), platform.processor(), *flags])

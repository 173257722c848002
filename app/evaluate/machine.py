"""What a figure was measured on: CPU, its bf16 units, GPU, versions, commit. Measures nothing."""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

UNITS = ("amx_bf16", "avx512_bf16", "avx512f", "avx2")
PACKAGES = ("torch", "triton", "transformers", "sentence-transformers", "faiss-cpu", "pypdf")


def cpu_info(path: Path = Path("/proc/cpuinfo")) -> tuple[str, str]:
    """Name of the CPU and those of its vector units that matter for bf16, best first."""
    lines = path.read_text().split("\n") if path.exists() else []
    fields = dict(reversed([tuple(x.strip() for x in s.split(":", 1)) for s in lines if ":" in s]))
    flags = set(fields.get("flags", "").split())
    name = fields.get("model name") or platform.processor() or platform.machine()
    return name, " ".join(unit for unit in UNITS if unit in flags)


def commit() -> str:
    """Short hash of the checked-out commit, with a plus where files differ from it.

    Where the files travelled without their history: what SOURCE_COMMIT says, else ''.
    """
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("SOURCE_COMMIT", "")


def gpu() -> str:
    """Name of the GPU that torch uses; '' where there is none or torch was not imported."""
    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name() if torch and torch.cuda.is_available() else ""


def describe() -> dict[str, str]:
    """Machine and versions, as one flat record of strings."""
    name, units = cpu_info()
    record = {"cpu": name, "units": units, "cores": str(len(os.sched_getaffinity(0)))}
    record["gpu"] = gpu()
    record["python"] = platform.python_version()
    for package in PACKAGES:
        try:
            record[package] = version(package)
        except PackageNotFoundError:
            record[package] = ""
    return {**record, "commit": commit()}

"""The Triton kernels compiled for a Hopper GPU on any machine: what interpreting cannot show."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.kernels.compiled import overwritten

ROOT = Path(__file__).resolve().parents[2]
KERNELS = "chunk_gates gates sums walk outputs rows queries keys values gate_gradients"


def compiled(what):
    """Kernel -> what Triton made of each variant, in a process that does not interpret."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.kernels.compiled", what],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_a_buffer_too_few_is_found():
    """The compiler's fault that the kernels go around; gone from Triton, this test says so."""
    assert len(overwritten(*compiled("planted")["planted_kernel"])) == 1


@pytest.mark.slow
def test_no_product_reads_what_is_overwritten():
    texts = compiled("chunkwise")
    assert set(texts) == {f"{name}_kernel" for name in KERNELS.split()}
    assert "warp_group_dot" in texts["outputs_kernel"][0]  # the matrix units of a Hopper GPU
    found = {name: [overwritten(text) for text in made] for name, made in texts.items()}
    assert not any(any(names) for names in found.values()), found

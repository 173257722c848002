"""The Triton kernels compiled for a Hopper GPU on any machine: what interpreting cannot show."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.kernels.compiled import overwritten

ROOT = Path(__file__).resolve().parents[2]
KERNELS = {
    "triton": "states outputs rows state_gradients gradients",
    "wide": "gates sums walk outputs rows queries keys values gate_gradients",
}


def compiled(form):
    """Kernel -> what Triton made of each variant, in a process that does not interpret."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.kernels.compiled", form],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_a_buffer_too_few_is_found():
    """The compiler's fault that the wide kernels go around; gone from Triton, this test says so."""
    assert len(overwritten(*compiled("planted")["planted_kernel"])) == 1


@pytest.mark.slow
@pytest.mark.parametrize("form", ["triton", "wide"])
def test_no_product_reads_what_is_overwritten(form):
    texts = compiled(form)
    assert set(texts) == {f"{name}_kernel" for name in KERNELS[form].split()}
    assert "warp_group_dot" in texts["outputs_kernel"][0]  # the matrix units of a Hopper GPU
    found = {name: [overwritten(text) for text in made] for name, made in texts.items()}
    assert not any(any(names) for names in found.values()), found

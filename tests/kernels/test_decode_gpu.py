"""The kernels of a decode step and of many rows on a GPU, at odd widths and at those of a 7B model.

One command: python -m pytest tests/kernels tests/model -m gpu -q
"""

import pytest
import torch
from tests.kernels import decode_cases as cases

from app.kernels import triton_matvec

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU"),
]
GPU = "cuda"
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.int8]
WIDE = [(24, 100), (4096, 4096), (1024, 10944)]


@pytest.fixture(autouse=True, params=[0, 1, 2], ids=["plain", "waits", "loads-first"])
def overlap(request, monkeypatch):
    """Launches that overlap in every way must give what plain ones give."""
    monkeypatch.setattr(triton_matvec, "PROGRAMMATIC", request.param)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n, k", WIDE)
def test_products_equal_torch(n, k, dtype):
    cases.products_equal_torch(n, k, dtype, GPU)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n, k", WIDE)
def test_streams_equal_torch(n, k, dtype):
    cases.streams_equal_torch(n, k, dtype, GPU)


@pytest.mark.parametrize(
    "batch, heads, dk, dv", [(2, 3, 12, 20), (1, 8, 256, 512), (3, 8, 128, 128), (1, 2, 512, 80)]
)
def test_cell_equals_native(batch, heads, dk, dv):
    cases.cell_equals_native(batch, heads, dk, dv, GPU)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("heads, dk, dv", [(3, 12, 20), (8, 256, 512), (6, 128, 128)])
def test_heads_equal_torch(heads, dk, dv, dtype):
    cases.heads_equal_torch(heads, dk, dv, dtype, GPU)


def test_picks():
    cases.picks_are_the_likeliest(GPU, 50304)
    cases.picks_follow_the_softmax(GPU, 2000)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_rows_equal_torch(dtype):
    cases.rows_equal_torch(GPU, dtype)


def test_gates_equal_torch():
    cases.gates_equal_torch(GPU)
    cases.gates_equal_torch(GPU, tokens=300, width=4096, heads=8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("rows, n, k", [(5, 37, 200), (8, 4096, 4096), (32, 512, 10944)])
def test_int8_products_equal_torch(rows, n, k, dtype):
    cases.int8_products_equal_torch(rows, n, k, dtype, GPU)

"""The kernels of a decode step and of many rows, interpreted on a CPU; tiny shapes."""

import pytest
import torch
from tests.kernels import decode_cases as cases

if torch.cuda.is_available():
    pytest.skip("a GPU is at hand: test_decode_gpu compiles what this file interprets", True)

CPU = "cpu"
# Rows, columns, dtype: one tile, ends of tiles, several tiles.
SIZES = [
    (8, 32, torch.float32),
    (20, 268, torch.float32),
    (20, 100, torch.bfloat16),
    (24, 100, torch.float16),
    (24, 268, torch.int8),
]


@pytest.mark.parametrize("n, k, dtype", SIZES)
def test_products_equal_torch(n, k, dtype):
    cases.products_equal_torch(n + n % 8, k, dtype, CPU, cases.SMALL)


@pytest.mark.parametrize("n, k, dtype", SIZES[1:])
def test_streams_equal_torch(n, k, dtype):
    cases.streams_equal_torch(n, k, dtype, CPU, cases.SMALL)


@pytest.mark.parametrize(
    "batch, heads, dk, dv", [(1, 2, 16, 16), (2, 3, 12, 20), (1, 1, 300, 52), (1, 2, 40, 300)]
)
def test_cell_equals_native(batch, heads, dk, dv):
    cases.cell_equals_native(batch, heads, dk, dv, CPU)


def test_cell_without_a_cap_equals_native():
    cases.cell_equals_native(1, 2, 8, 8, CPU, cap=None)


@pytest.mark.parametrize(
    "heads, dk, dv, dtype",
    [(3, 12, 20, torch.bfloat16), (2, 300, 52, torch.float32), (2, 300, 52, torch.int8)],
)
def test_heads_equal_torch(heads, dk, dv, dtype):
    cases.heads_equal_torch(heads, dk, dv, dtype, CPU, cases.SMALL)


def test_tiles_of_a_whole_row_equal_torch():
    cases.products_equal_torch(16, 100, torch.int8, CPU)
    cases.heads_equal_torch(3, 12, 20, torch.int8, CPU)


def test_picks_are_the_likeliest():
    cases.picks_are_the_likeliest(CPU)


def test_picks_follow_the_softmax():
    cases.picks_follow_the_softmax(CPU, 150)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_rows_equal_torch(dtype):
    cases.rows_equal_torch(CPU, dtype)


def test_gates_equal_torch():
    cases.gates_equal_torch(CPU)


def test_int8_products_equal_torch():
    cases.int8_products_equal_torch(5, 37, 200, torch.float32, CPU)


def test_rows_that_are_no_whole_words_are_refused():
    from app.kernels.triton_matvec import Weights, matvec

    with pytest.raises(ValueError, match="whole words of 4"):
        matvec(
            Weights(torch.zeros(4, 30, dtype=torch.int8), torch.ones(4)),
            torch.zeros(30),
            torch.zeros(4),
        )

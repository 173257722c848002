"""The kernels on a GPU: compiled Triton and native against float64, in every dtype.

One command: python -m pytest tests/kernels -m gpu -q
"""

import os

import pytest
import torch
from tests.kernels import triton_cases as cases
from tests.kernels.close import (
    DATA,
    TOLERANCE,
    assert_as_oracle,
    assert_close,
    double,
    inputs,
    kernel_files,
)

from app.kernels import mlstm_chunkwise, mlstm_recurrent
from app.kernels.backends import available, resolve

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU"),
]
GPU = "cuda"
DTYPES = [torch.float32, torch.bfloat16]
HEADS = [(16, 16), (48, 80), (80, 48), (96, 192), (192, 96), (64, 64), (256, 512), (512, 128)]


@pytest.fixture(scope="module")
def triton():
    assert os.environ.get("TRITON_INTERPRET") != "1", "interpreted: nothing of the GPU is tested"
    return resolve("triton", device=GPU)


@pytest.fixture(scope="module")
def sequence(triton):
    return triton.sequence


def test_auto_takes_triton(triton):
    assert resolve("auto", device=GPU) == triton
    assert available(GPU)["triton"] == ""


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("dk, dv", HEADS)
def test_forward_equals_native(sequence, dk, dv, dtype):
    cases.forward_equals_native(sequence, 197, dk, dv, dtype, True, GPU)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("s", [1, 17, 63, 64, 65, 128, 1000, 2049])
def test_any_length_equals_native(sequence, s, dtype):
    cases.forward_equals_native(sequence, s, 64, 128, dtype, s % 2 == 0, GPU)


@pytest.mark.parametrize("chunk", [16, 50, 64, 1000])
def test_any_chunk_size_equals_native(sequence, chunk):
    cases.forward_equals_native(sequence, 197, 64, 64, torch.float32, True, GPU, chunk)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("dk, dv", [(16, 16), (48, 80), (96, 192), (256, 512)])
def test_gradients_equal_native(sequence, dk, dv, dtype):
    cases.gradients_equal_native(sequence, 197, dk, dv, dtype, True, GPU)


@pytest.mark.parametrize("s", [1, 64, 65, 1000])
def test_gradients_of_any_length_equal_native(sequence, s):
    cases.gradients_equal_native(sequence, s, 64, 64, torch.float32, False, GPU)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("dk, dv", HEADS)
def test_steps_equal_native(triton, dk, dv, dtype):
    cases.steps_equal_native(triton.step, dk, dv, dtype, GPU)


def test_float64_equals_native_to_the_last_digits(sequence):
    limit = 1e-11
    cases.gradients_equal_native(sequence, 40, 16, 16, torch.float64, True, GPU, 16, limit=limit)


def test_infinite_gates_equal_native(sequence, triton):
    cases.infinite_gates_equal_native(sequence, triton.step, 50, GPU)


@pytest.mark.parametrize("i", [-100.0, 90.0])
@pytest.mark.parametrize("f", [-1e7, -110.0, 20.0])
def test_large_gates_equal_native(sequence, f, i):
    cases.large_gates_equal_native(sequence, i, f, GPU, s=200)


def test_a_reset_forgets_an_open_gate(sequence):
    cases.a_reset_forgets_an_open_gate(sequence, GPU)


def test_the_oracle_is_met(sequence):
    for path in kernel_files(DATA).values():
        assert_as_oracle(sequence, path, torch.float32, GPU, chunk_size=16)
        assert_as_oracle(mlstm_chunkwise, path, torch.float64, GPU, chunk_size=16)


def test_a_call_gives_the_same_bits_again(sequence):
    """What is overwritten while a product still reads it differs from call to call."""
    x = inputs(4000, 256, 512, b=1, h=8, dtype=torch.bfloat16, device=GPU)
    first, _ = sequence(*x)
    assert all(torch.equal(sequence(*x)[0], first) for _ in range(20))


def test_pieces_equal_the_whole(sequence, triton):
    x = inputs(1000, 96, 192, device=GPU)
    h, last = mlstm_chunkwise(*double(x))
    h1, state = sequence(*(y[:, :, :990] for y in x))
    rows = [h1]
    for t in range(990, 1000):
        row, state = triton.step(*(y[:, :, t] for y in x), state)
        rows.append(row.unsqueeze(2))
    assert_close("h", torch.cat(rows, 2), h, TOLERANCE[torch.float32])
    assert_close("c", state.c, last.c, 2e-6)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_native_forms_on_the_gpu_equal_float64_on_the_cpu(dtype):
    x = inputs(150, 48, 80, dtype=dtype)
    ref, last = mlstm_recurrent(*double(x))
    for form in (mlstm_recurrent, mlstm_chunkwise):
        h, state = form(*(y.to(GPU) for y in x))
        assert_close("h", h, ref, TOLERANCE[dtype])
        assert_close("c", state.c, last.c, 2e-6)


def test_no_memory_beside_the_tensors_is_written(sequence):
    """Odd heads inside a larger allocation: what lies around their rows must stay as it is."""
    dk, dv, s = 48, 80, 70
    room = [torch.full((2, 2, s, d + 32), 9.0, device=GPU) for d in (dk, dk, dv)]
    views = [y[..., 16:-16] for y in room]
    q, k, v, i, f = inputs(s, dk, dv, device=GPU)
    for view, y in zip(views, (q, k, v)):
        view.copy_(y)
    before = [y.clone() for y in room]
    h, _ = sequence(*views, i, f)
    assert all(torch.equal(a, b) for a, b in zip(before, room))
    assert_close("h", h, mlstm_chunkwise(*double((q, k, v, i, f)))[0], TOLERANCE[h.dtype])

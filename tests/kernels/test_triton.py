"""The Triton kernels, interpreted on a CPU; tiny shapes, since the interpreter is slow."""

import numpy
import pytest
import torch
from tests.kernels import triton_cases as cases
from tests.kernels.close import (
    DATA,
    assert_as_oracle,
    assert_close,
    carried,
    double,
    inputs,
    kernel_files,
)

from app.kernels import State, mlstm_chunkwise, mlstm_parallel, triton_tiles, zero_state
from app.kernels.backends import resolve

if torch.cuda.is_available():
    pytest.skip("a GPU is at hand: test_gpu compiles what this file interprets", True)

CPU = "cpu"


@pytest.fixture(scope="module")
def chunkwise():
    return resolve("chunkwise--triton", device=CPU).sequence


@pytest.fixture(scope="module")
def step():
    return resolve("triton", device=CPU).step


@pytest.mark.parametrize("start", [False, True], ids=["zero", "carried"])
@pytest.mark.parametrize(
    "s, dk, dv, chunk", [(1, 16, 16, 64), (16, 16, 32, 16), (17, 48, 80, 16), (35, 8, 20, 16)]
)
def test_forward_equals_native(chunkwise, s, dk, dv, chunk, start):
    cases.forward_equals_native(chunkwise, s, dk, dv, torch.float32, start, CPU, chunk, b=1)


@pytest.fixture
def small_tiles(monkeypatch):
    """Tiles of 16, gates of 2 chunks or 128 tokens: every loop over tiles and blocks runs."""
    for tile in triton_tiles.FLOAT32.values():
        for name in tile:
            monkeypatch.setitem(tile, name, 16 if name.isupper() else tile[name])
    monkeypatch.setattr(triton_tiles, "CHUNKS", 2)
    monkeypatch.setattr(triton_tiles, "GATES", 128)
    triton_tiles.plan.cache_clear()
    yield
    triton_tiles.plan.cache_clear()


@pytest.mark.parametrize(
    "s, dk, dv, chunk, start",
    [
        (37, 24, 24, 8, True),
        (37, 24, 24, 1000, True),
        pytest.param(45, 40, 24, 20, False, marks=pytest.mark.slow),
    ],
)
def test_any_tiles_equal_native(chunkwise, small_tiles, s, dk, dv, chunk, start):
    sizes = {"b": 1, "h": 1}
    case = (chunkwise, s, dk, dv, torch.float32, start, CPU, chunk)
    cases.forward_equals_native(*case, **sizes)
    cases.gradients_equal_native(*case, **sizes)


@pytest.fixture
def bfloat16_products(monkeypatch):
    """The interpreter multiplies the bits of bfloat16 as whole numbers: hand it their values."""
    interpreter = pytest.importorskip("triton.runtime.interpreter")
    language = pytest.importorskip("triton.language")
    create_dot = interpreter.InterpreterBuilder.create_dot

    def value(x):
        if x.dtype.scalar != language.bfloat16:
            return x
        bits = x.data.astype(numpy.uint32) << 16
        return interpreter.TensorHandle(bits.view(numpy.float32), language.float32)

    monkeypatch.setattr(
        interpreter.InterpreterBuilder,
        "create_dot",
        lambda self, a, b, *rest: create_dot(self, value(a), value(b), *rest),
    )


@pytest.mark.parametrize("s, dk, dv, start", [(45, 24, 16, True), (150, 16, 16, False)])
def test_bfloat16_equals_native(chunkwise, bfloat16_products, s, dk, dv, start):
    case = (chunkwise, s, dk, dv, torch.bfloat16, start, CPU)
    cases.forward_equals_native(*case, b=1, h=1)
    if s < 100:
        cases.gradients_equal_native(*case, b=1, h=1)


@pytest.mark.parametrize("dk, dv", [(96, 192), (192, 24), (80, 48)])
def test_wide_and_odd_heads_equal_native(chunkwise, step, dk, dv):
    cases.forward_equals_native(chunkwise, 5, dk, dv, torch.float32, True, CPU, b=1, h=1)
    cases.steps_equal_native(step, dk, dv, torch.float32, CPU, count=1)


@pytest.mark.parametrize(
    "s, dk, dv, chunk, start",
    [
        (1, 16, 16, 64, True),
        (21, 16, 24, 16, False),
        (21, 24, 16, 16, True),
        (18, 80, 12, 11, True),
    ],
)
def test_gradients_equal_native(chunkwise, s, dk, dv, chunk, start):
    cases.gradients_equal_native(chunkwise, s, dk, dv, torch.float32, start, CPU, chunk, b=1, h=2)


def test_gradients_are_the_derivatives(chunkwise):
    """gradcheck in float64: the true gradient, through the denominator, m and the weight of eps."""
    x = tuple(y.requires_grad_() for y in inputs(3, 2, 2, b=1, h=1, dtype=torch.float64))
    state = tuple(y.requires_grad_() for y in carried(2, 2, b=1, h=1, dtype=torch.float64))

    def flat(*a):
        h, last = chunkwise(*a[:5], State(*a[5:]), chunk_size=2, eps=1e-2)
        return (h, *last)

    assert torch.autograd.gradcheck(flat, (*x, *state), fast_mode=True)


def test_gradients_in_float64_equal_native_to_the_last_digits(chunkwise):
    cases.gradients_equal_native(chunkwise, 19, 5, 6, torch.float64, True, CPU, 8, limit=1e-12, b=1)


def test_the_oracle_is_met(chunkwise):
    assert_as_oracle(chunkwise, kernel_files(DATA)["k02"], torch.float32, chunk_size=16)


@pytest.mark.slow
@pytest.mark.parametrize("name", [f"k0{n}" for n in range(1, 8)])
def test_every_kernel_fixture_is_met(chunkwise, shared, name):
    path = kernel_files(shared / "oracle" / "kernels")[name]
    assert_as_oracle(chunkwise, path, torch.float32, chunk_size=32)


def test_infinite_gates_equal_native(chunkwise, step):
    cases.infinite_gates_equal_native(chunkwise, step, 20, CPU)


@pytest.mark.parametrize("i", [-100.0, 90.0])
@pytest.mark.parametrize("f", [-1e7, -110.0, 20.0])
def test_large_gates_equal_native(chunkwise, f, i):
    cases.large_gates_equal_native(chunkwise, i, f, CPU, start=f > -200)


def test_a_reset_forgets_an_open_gate(chunkwise):
    cases.a_reset_forgets_an_open_gate(chunkwise, CPU)


def test_a_state_with_an_infinite_m_is_empty(chunkwise):
    x, state = inputs(20, 16, 24), zero_state(2, 2, 16, 24)
    h, _ = chunkwise(*x, state._replace(m=torch.full((2, 2), -float("inf"))))
    assert_close("h", h, mlstm_parallel(*double(x)), 5e-6)


def test_pieces_equal_the_whole(chunkwise, step):
    x, state = inputs(23, 16, 16, b=1), carried(16, 16, b=1)
    h, last = mlstm_chunkwise(*x, state)
    h1, middle = chunkwise(*(y[:, :, :19] for y in x), state, chunk_size=16)
    rows = [h1]
    for t in range(19, 23):
        row, middle = step(*(y[:, :, t] for y in x), middle)
        rows.append(row.unsqueeze(2))
    assert_close("h", torch.cat(rows, 2), h, 5e-6)
    assert_close("c", middle.c, last.c, 2e-6)


def test_misuse_is_named(chunkwise, step):
    q, k, v, i, f = inputs(2, 16, 16)
    with pytest.raises(ValueError, match="axes"):
        chunkwise(q[0], k[0], v[0], i[0], f[0])
    with pytest.raises(ValueError, match="need"):
        chunkwise(q, k, v, i, f, zero_state(1, 2, 16, 16))
    row = [y[:, :, 0] for y in (q, k, v, i, f)]
    with pytest.raises(ValueError, match="need"):
        step(*row, zero_state(2, 2, 8, 16))
    with pytest.raises(ValueError, match="a step takes"):
        step(*row[:3], row[3][:1], row[4], zero_state(2, 2, 16, 16))
    with pytest.raises(RuntimeError, match="no gradient; use mlstm_step"):
        step(row[0].requires_grad_(), *row[1:], zero_state(2, 2, 16, 16))


def test_the_backend_shows_the_triton_names():
    backend = resolve("chunkwise--triton", device=CPU)
    assert (backend.chunkwise_kernel, backend.step_kernel) == ("chunkwise--triton", "native")
    assert resolve("triton", device=CPU).step_kernel == "triton"

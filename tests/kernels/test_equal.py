"""The equalities between native formulations; the reference is the float64 step-by-step form."""

import pytest
import torch
from tests.kernels.close import (
    TOLERANCE,
    assert_close,
    assert_same_state,
    carried,
    double,
    gradients,
    inputs,
    names,
)

from app.kernels import (
    State,
    mlstm_chunkwise,
    mlstm_parallel,
    mlstm_recurrent,
    mlstm_step,
    zero_state,
)

DTYPES = [torch.float64, torch.float32, torch.bfloat16]
SHAPES = [(1, 16, 16), (63, 16, 32), (64, 48, 80), (65, 96, 24), (197, 20, 12), (1000, 16, 16)]


def ids(x):
    return "x".join(map(str, x)) if isinstance(x, tuple) else str(x).removeprefix("torch.")


@pytest.mark.parametrize("start", ["zero", "carried"])
@pytest.mark.parametrize("shape", SHAPES, ids=ids)
@pytest.mark.parametrize("dtype", DTYPES, ids=ids)
def test_chunkwise_equals_recurrent(dtype, shape, start):
    s, dk, dv = shape
    x = inputs(s, dk, dv, dtype=dtype)
    state = None if start == "zero" else carried(dk, dv)
    ref_h, ref_state = mlstm_recurrent(*double(x), state and double(state))
    for chunk_size in (16, 64, 100):
        h, last = mlstm_chunkwise(*x, state, chunk_size=chunk_size)
        assert h.dtype == dtype
        assert last.c.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert_close(f"h, chunk {chunk_size}", h, ref_h, TOLERANCE[dtype])
        # The state is summed in float32 from the bf16 numbers as they are, so it is as exact.
        assert_same_state(last, ref_state, 2e-6 if dtype != torch.float64 else 1e-12)
    h, last = mlstm_recurrent(*x, state)
    assert_close("h, recurrent", h, ref_h, TOLERANCE[dtype])


@pytest.mark.parametrize("shape", SHAPES, ids=ids)
def test_parallel_equals_recurrent_but_for_the_weight_of_eps(shape):
    x = inputs(*shape, dtype=torch.float64)
    assert_close("h", mlstm_parallel(*x), mlstm_recurrent(*x)[0], 2e-6)
    assert_close("h, no eps", mlstm_parallel(*x, eps=0), mlstm_recurrent(*x, eps=0)[0], 1e-10)


@pytest.mark.parametrize("cut", [1, 17, 64, 90, 99])
def test_state_splits_anywhere(cut):
    x, state = inputs(100, 16, 24), carried(16, 24)
    h, last = mlstm_chunkwise(*x, state, chunk_size=32)
    h1, middle = mlstm_chunkwise(*(y[:, :, :cut] for y in x), state, chunk_size=32)
    h2, end = mlstm_chunkwise(*(y[:, :, cut:] for y in x), middle, chunk_size=16)
    assert_close("h", torch.cat((h1, h2), 2), h, TOLERANCE[h.dtype])
    assert_same_state(end, last, 2e-6)


def test_prefill_and_steps_equal_the_whole():
    x = inputs(80, 16, 24)
    h, last = mlstm_chunkwise(*x)
    _, state = mlstm_chunkwise(*(y[:, :, :70] for y in x))
    for t in range(70, 80):
        row, state = mlstm_step(*(y[:, :, t] for y in x), state)
        assert_close(f"h at {t}", row, h[:, :, t], TOLERANCE[h.dtype])
    assert_same_state(state, last, 2e-6)


@pytest.mark.parametrize("start", ["zero", "carried"])
@pytest.mark.parametrize("dtype", DTYPES[:2], ids=ids)
def test_gradients_equal(dtype, start):
    x = inputs(75, 16, 24, dtype=dtype)
    state = None if start == "zero" else carried(16, 24, dtype=dtype)
    _, ref = gradients(mlstm_recurrent, double(x), state and double(state))
    for chunk_size in (16, 64):
        _, got = gradients(mlstm_chunkwise, x, state, chunk_size=chunk_size)
        for name, a, b in zip(names(state), got, ref):
            assert_close(f"d{name}, chunk {chunk_size}", a, b, 4 * TOLERANCE[dtype])


def test_gradients_are_the_derivatives():
    x = tuple(y.requires_grad_() for y in inputs(7, 3, 2, b=1, dtype=torch.float64))
    state = tuple(y.requires_grad_() for y in carried(3, 2, b=1, dtype=torch.float64))

    def chunkwise(*a):
        h, last = mlstm_chunkwise(*a[:5], State(*a[5:]), chunk_size=3)
        return (h, *last)

    assert torch.autograd.gradcheck(chunkwise, (*x, *state))
    assert torch.autograd.gradcheck(mlstm_parallel, x)


def test_arguments_are_left_as_they_are():
    x, state = inputs(40, 8, 8), carried(8, 8)
    before = [y.clone() for y in (*x, *state)]
    mlstm_chunkwise(*x, state)
    mlstm_step(*(y[:, :, 0] for y in x), state)
    assert all(torch.equal(a, b) for a, b in zip(before, (*x, *state)))


def test_misfits_are_named():
    q, k, v, i, f = inputs(4, 8, 8)
    with pytest.raises(ValueError, match=r"i \(2, 2, 4, 1\).*allowed"):
        mlstm_chunkwise(q, k, v, i[..., None], f)
    with pytest.raises(ValueError, match="S >= 1"):
        mlstm_chunkwise(*(y[:, :, :0] for y in (q, k, v, i, f)))
    with pytest.raises(ValueError, match="need"):
        mlstm_chunkwise(q, k, v, i, f, zero_state(1, 2, 8, 8))
    with pytest.raises(ValueError, match="chunk_size is 0"):
        mlstm_chunkwise(q, k, v, i, f, chunk_size=0)
    with pytest.raises(ValueError, match="takes no state"):
        mlstm_parallel(q, k, v, i, f, zero_state(2, 2, 8, 8))


@pytest.mark.parametrize("form", [mlstm_step, mlstm_recurrent, mlstm_chunkwise])
@pytest.mark.parametrize("name", State._fields)
def test_no_part_of_a_state_is_broadcast(form, name):
    x, state = inputs(1, 8, 6), carried(8, 6)
    x = [y[:, :, 0] for y in x] if form is mlstm_step else x
    part = getattr(state, name)
    for odd in (part[:1], part[:, :1], part[..., :1], part[..., None], part[0]):
        with pytest.raises(ValueError, match="these inputs need"):
            form(*x, state._replace(**{name: odd}))


@pytest.mark.parametrize("n", range(5))
def test_no_input_of_a_step_is_broadcast(n):
    x, state = [y[:, :, 0] for y in inputs(1, 8, 6)], carried(8, 6)
    for odd in (x[n][:1], x[n][:, :1], x[n][..., None]):
        with pytest.raises(ValueError, match="a step takes|these inputs need"):
            mlstm_step(*x[:n], odd, *x[n + 1 :], state)


@pytest.mark.parametrize("form", [mlstm_step, mlstm_recurrent, mlstm_chunkwise])
@pytest.mark.parametrize("kept", [torch.bfloat16, torch.float32, torch.float64], ids=ids)
@pytest.mark.parametrize("given", [torch.bfloat16, torch.float32, torch.float64], ids=ids)
def test_a_state_of_another_dtype_becomes_the_cells(form, kept, given):
    x, state = inputs(1, 8, 6, dtype=given), carried(8, 6, dtype=kept)
    x = [y[:, :, 0] for y in x] if form is mlstm_step else x
    h, last = form(*x, state)
    cell = torch.float64 if given == torch.float64 else torch.float32
    assert h.dtype == given and {y.dtype for y in last} == {cell}
    want, _ = form(*(y.double() for y in x), State(*(y.double() for y in state)))
    assert_close("h", h, want, 2e-2 if given == torch.bfloat16 else 5e-6)


@pytest.mark.parametrize("low", [0.0, -30.0])
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float16, 2e-2), (torch.bfloat16, 0.15), (torch.float32, 5e-6), (torch.float64, 1e-6)],
    ids=ids,
)
def test_the_parallel_form_takes_gates_of_any_dtype(dtype, tolerance, low):
    x = inputs(40, 16, 24)
    x[3].add_(low)
    h = mlstm_parallel(*x, gate_dtype=dtype)
    assert h.dtype == torch.float32
    # e^-30 of the values is left: absolutely, since float16 has nothing that small.
    assert_close("h", h, mlstm_parallel(*double(x)), tolerance, absolute=low < 0)
    x[3][:, :, 7] = torch.inf
    x[4][:, :, 20] = -torch.inf
    assert torch.isfinite(mlstm_parallel(*x, gate_dtype=dtype)).all()

"""Gates at and near infinity: an answer wherever there is one, and no NaN in gradients."""

import pytest
import torch
from tests.kernels.close import assert_close, assert_same_state, carried, gradients, inputs

from app.kernels import (
    State,
    mlstm_chunkwise,
    mlstm_parallel,
    mlstm_recurrent,
    mlstm_step,
    zero_state,
)

INF = float("inf")


def whole(*x, chunk_size=0):
    """The parallel form under the common signature."""
    return mlstm_parallel(*x), carried(16, 24, dtype=x[0].dtype)


STATEFUL = [mlstm_recurrent, mlstm_chunkwise]
ALL = [*STATEFUL, whole]


def call(form, x, state=None):
    options = {"chunk_size": 16} if form is mlstm_chunkwise else {}
    return form(*x, *(() if form is whole else (state,)), **options)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("at", [0, 1, 15, 16, 17, 30, 39])
@pytest.mark.parametrize("form", ALL)
def test_a_closed_forget_gate_forgets_all_before_it(form, at, dtype):
    """f = -inf at t: what follows equals a run that starts at t with an empty memory."""
    x = list(inputs(40, 16, 24, dtype=dtype))
    x[4][:, :, at] = -INF
    h, last = call(form, x, carried(16, 24, dtype=dtype))
    # An empty memory has m = -inf; the parallel form starts so, and so does a step from it.
    empty = zero_state(2, 2, 16, 24, dtype=torch.float64)._replace(m=torch.full((2, 2), -INF))
    ref_h, ref = mlstm_recurrent(*(y[:, :, at:].double() for y in x), empty)
    tolerance = 5e-6 if dtype == torch.float32 else 1e-10
    assert_close("h", h[:, :, at:], ref_h, tolerance)
    if form in STATEFUL:
        assert_same_state(last, ref, tolerance)


@pytest.mark.parametrize("form", ALL)
def test_a_reset_beside_ordinary_gates_costs_no_digits(form):
    """A huge finite gate must not swallow the small ones of its chunk: f = -1e7 as f = -inf."""
    x = list(inputs(40, 16, 24))
    x[4][:, :, 10] = -1e7
    h, _ = call(form, x)
    x[4][:, :, 10] = -INF
    assert_close("h", h, call(form, x)[0].double(), 1e-7)


@pytest.mark.parametrize("at", [[0], [0, 1, 2], [16], [5, 20, 39], list(range(40))])
@pytest.mark.parametrize("form", ALL)
def test_a_closed_input_gate_writes_nothing(form, at):
    """i = -inf equals a token whose k and v are zero and whose gate is far below all others."""
    x = list(inputs(40, 16, 24))
    x[3][:, :, at] = -INF
    h, last = call(form, x)
    y = [z.double() for z in x]
    y[1][:, :, at], y[2][:, :, at], y[3][:, :, at] = 0, 0, -79
    if form is whole:
        ref_h = mlstm_parallel(*y)
        first = next(t for t in range(41) if t not in at)
        assert torch.equal(h[:, :, :first], torch.zeros_like(h[:, :, :first]))
    else:
        ref_h, ref = mlstm_recurrent(*y)
        assert_same_state(last, ref, 2e-6)
    assert_close("h", h, ref_h, 5e-6)


@pytest.mark.parametrize("pad", [1, 16, 23, 100])
@pytest.mark.parametrize("form", STATEFUL)
def test_right_padding_changes_nothing(form, pad):
    """Padding is i = -inf, f = +inf: the state comes out as without it, whatever q, k, v hold."""
    x, state = inputs(33, 16, 24), carried(16, 24)
    h, last = call(form, x, state)
    tail = [torch.full_like(y[:, :, :1], 7.0).repeat_interleave(pad, 2) for y in x]
    tail[3], tail[4] = torch.full_like(tail[3], -INF), torch.full_like(tail[4], INF)
    padded, same = call(form, [torch.cat(y, 2) for y in zip(x, tail)], state)
    assert_close("h", padded[:, :, :33], h.double(), 1e-6)
    assert_same_state(same, last, 1e-6)


def test_a_step_over_padding_returns_the_same_bits():
    state = carried(16, 24)
    q, k, v, i, f = (y[:, :, 0] for y in inputs(1, 16, 24))
    _, after = mlstm_step(q, k, v, torch.full_like(i, -INF), torch.full_like(f, INF), state)
    assert all(torch.equal(a, b) for a, b in zip(after, state))


@pytest.mark.parametrize("form", ALL)
def test_an_open_input_gate_leaves_that_token_alone(form):
    """i = +inf: h is v times the sign of q k until a forget gate closes."""
    x = list(inputs(40, 16, 24, dtype=torch.float64))
    x[3][:, :, 10] = INF
    h, _ = call(form, x)
    sign = (x[0][:, :, 10:] * x[1][:, :, 10:11]).sum(-1, True).sign()
    assert_close("h", h[:, :, 10:], sign * x[2][:, :, 10:11], 1e-4)  # eps beside a small q k


@pytest.mark.parametrize("i", [-100.0, -40.0, 40.0, 90.0])
@pytest.mark.parametrize("f", [-110.0, -20.0, 20.0])
@pytest.mark.parametrize("form", ALL)
def test_large_gates_stay_finite_and_right(form, f, i):
    g = torch.Generator().manual_seed(3)
    x = list(inputs(40, 16, 24))
    x[3] = torch.where(torch.rand(x[3].shape, generator=g) < 0.5, x[3], torch.tensor(i))
    x[4] = torch.where(torch.rand(x[4].shape, generator=g) < 0.5, x[4], torch.tensor(f))
    x[:2] = x[0].abs(), x[1].abs()  # q n must not cancel: its digits would not be the gates' doing
    ref_h, ref = call(form, [y.double() for y in x])
    h, last = call(form, x)
    assert_close("h", h, ref_h, 5e-6)
    if form in STATEFUL:
        assert_same_state(last, ref, 2e-5)  # m near 90 is rounded to 8e-6, and exp passes it on


@pytest.mark.parametrize("form", ALL)
def test_gradients_at_infinite_gates_are_finite(form):
    x = list(inputs(40, 16, 24, dtype=torch.float64))
    x[3][:, :, [0, 1, 20]] = -INF
    x[4][:, :, [0, 7, 17, 30]] = -INF
    x[4][:, :, [9, 20]] = INF
    x[3][0, :, 36] = INF
    (h, last), grads = gradients(lambda *y: call(form, y[:5], y[5]), x, None)
    for name, y in zip((*"hcnm", *"qkvif"), (h, *last, *grads)):
        assert torch.isfinite(y).all(), name


def test_states_of_other_packages_with_an_infinite_m_are_taken():
    x = inputs(20, 16, 24)
    state = State(torch.zeros(2, 2, 16, 24), torch.zeros(2, 2, 16), torch.full((2, 2), -INF))
    h, _ = mlstm_chunkwise(*x, state)
    assert_close("h", h, mlstm_parallel(*x).double(), 5e-6)


def test_a_nan_gate_is_not_hidden():
    x = list(inputs(20, 16, 24))
    x[3][0, 0, 3] = float("nan")
    h, last = mlstm_chunkwise(*x)
    assert torch.isnan(h[0, 0, 3:]).all() and torch.isnan(last.c[0, 0]).all()
    assert torch.isfinite(h[1]).all()

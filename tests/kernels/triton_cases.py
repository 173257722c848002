"""What Triton must equal, said once: interpreted on a CPU here, compiled in `test_gpu`."""

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

from app.kernels import State, mlstm_chunkwise, mlstm_recurrent, mlstm_step, zero_state

INF = float("inf")


def as_projected(x):
    """The same values as views of (B, S, H, D) rows, which is how a model has them."""
    return tuple(y.transpose(1, 2).contiguous().transpose(1, 2) for y in x)


def forward_equals_native(fn, s, dk, dv, dtype, start, device, chunk_size=64, **sizes):
    """h and the last state, against the float64 native form on the same numbers."""
    x = as_projected(inputs(s, dk, dv, dtype=dtype, device=device, **sizes))
    state = carried(dk, dv, device=device, **sizes) if start else None
    ref_h, ref = mlstm_chunkwise(*double(x), state and double(state))
    h, last = fn(*x, state, chunk_size=chunk_size)
    assert h.dtype == dtype and last.c.dtype == torch.float32
    assert_close("h", h, ref_h, TOLERANCE[dtype])
    loose = dtype == torch.bfloat16  # keys times weights are rounded before the product
    for name, y, r in zip("cn", last, ref):
        assert_close(name, y, r, 6e-3 if loose else 2e-6)
    assert_close("m", last.m, ref.m, 1e-5, absolute=True)


def gradients_equal_native(fn, s, dk, dv, dtype, start, device, chunk_size=64, limit=None, **sizes):
    """All eight gradients of a loss on h, c, n and m, against the float64 native form's."""
    x = as_projected(inputs(s, dk, dv, dtype=dtype, device=device, **sizes))
    state = carried(dk, dv, dtype=torch.promote_types(dtype, torch.float32), device=device, **sizes)
    state = state if start else None
    _, ref = gradients(mlstm_chunkwise, double(x), state and double(state))
    _, got = gradients(fn, x, state, chunk_size=chunk_size)
    for name, a, b in zip(names(state), got, ref):
        assert_close(f"d{name}", a, b, limit or 4 * TOLERANCE[dtype])


def large_gates_equal_native(fn, i, f, device, s=70, start=True):
    """Half the gates near `i` and near `f`, in every place of a chunk; results and gradients."""
    x = [y.double() for y in inputs(s, 16, 16, b=1, device=device)]
    x[0], x[1] = x[0].abs(), x[1].abs()  # q n must not cancel: the gates are the matter here
    g = torch.Generator().manual_seed(3)
    for n, value in ((3, i), (4, f)):
        chosen = torch.rand(x[n].shape, generator=g) < 0.5
        x[n] = x[n] + value * chosen.to(device)  # no two alike: whose M it is must be plain
    state = carried(16, 16, b=1, dtype=torch.float64, device=device) if start else None
    (ref_h, ref), ref_grads = gradients(mlstm_recurrent, x, state)
    single = [y.float() for y in x]
    (h, last), grads = gradients(fn, single, state and State(*(y.float() for y in state)))
    for name, a, b in zip("hcnm", (h, *last), (ref_h, *ref)):
        assert_close(name, a, b, 2e-5)  # m near 90 is rounded to 8e-6, and exp passes it on
    for name, a, b in zip(names(state), grads, ref_grads):
        assert_close(f"d{name}", a, b, 1e-4)


def a_reset_forgets_an_open_gate(fn, device):
    """i = +inf and then f = -inf in one chunk: what follows is as from an empty memory."""
    x = list(inputs(40, 16, 24, device=device))
    x[3][:, :, 10], x[4][:, :, [13, 30]] = INF, -INF
    h, last = fn(*x, carried(16, 24, device=device))
    empty = zero_state(2, 2, 16, 24, device=device, dtype=torch.float64)
    empty = empty._replace(m=torch.full_like(empty.m, -INF))
    ref_h, ref = mlstm_recurrent(*(y[:, :, 30:].double() for y in x), empty)
    assert_close("h", h[:, :, 30:], ref_h, 5e-6)
    assert_same_state(last, ref, 2e-6)


def steps_equal_native(step, dk, dv, dtype, device, count=4):
    """Some steps with the state carried by each form itself."""
    x, state = inputs(count, dk, dv, dtype=dtype, device=device), carried(dk, dv, device=device)
    kept, ref_state, before = state, double(state), [y.clone() for y in state]
    for t in range(count):
        row = [y[:, :, t] for y in x]
        h, state = step(*row, state)
        ref_h, ref_state = mlstm_step(*double(row), ref_state)
        assert h.dtype == dtype
        assert_close(f"h at {t}", h, ref_h, TOLERANCE[dtype])
        assert_same_state(state, ref_state, 2e-6)
    assert all(torch.equal(a, b) for a, b in zip(kept, before))


def infinite_gates_equal_native(fn, step, s, device):
    """Resets, closed and open input gates and padding; results and gradients of the native form."""
    x = [y.double() for y in inputs(s, 16, 16, device=device)]
    x[0], x[1] = x[0].abs(), x[1].abs()  # q n must not cancel: the gates are the matter here
    x[3][:, :, [0, s // 2]] = -INF
    x[4][:, :, [0, s // 3, s // 2]] = -INF
    x[4][:, :, s // 2 + 1] = INF
    x[3][0, 0, s - 4] = INF
    x[3][1, :, -2:], x[4][1, :, -2:] = -INF, INF
    state = carried(16, 16, dtype=torch.float64, device=device)
    (ref_h, ref), ref_grads = gradients(mlstm_recurrent, x, state)
    single, single_state = [y.float() for y in x], State(*(y.float() for y in state))
    (h, last), grads = gradients(fn, single, single_state, chunk_size=16)
    got, wanted = (h, *last, *grads), (ref_h, *ref, *ref_grads)
    for name, a, b in zip(("h", *"cnm", *names(state)), got, wanted):
        assert_close(name, a, b, 2e-5)
    state = single_state
    for t in range(s):
        row, state = step(*(y[:, :, t] for y in single), state)
        assert_close(f"step {t}", row, ref_h[:, :, t], 5e-6)

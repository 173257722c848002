"""The public packages' numbers: an excerpt that is part of the project, the rest where at hand."""

import pytest
import torch
from tests.kernels.close import DATA, assert_as_oracle, assert_close, kernel_files, oracle

from app.kernels import mlstm_chunkwise, mlstm_parallel, mlstm_recurrent

FORMS = [
    (mlstm_recurrent, {}),
    (mlstm_chunkwise, {"chunk_size": 64}),
    (mlstm_chunkwise, {"chunk_size": 7}),
]
NAMES = ["recurrent", "chunks of 64", "chunks of 7"]


@pytest.mark.parametrize("form", FORMS, ids=NAMES)
def test_the_excerpt_is_met(form):
    fn, options = form
    for path in kernel_files(DATA).values():
        assert_as_oracle(fn, path, **options)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("form", FORMS, ids=NAMES)
@pytest.mark.parametrize("name", [f"k0{n}" for n in range(1, 8)])
def test_every_kernel_fixture_is_met(shared, name, form, dtype):
    fn, options = form
    assert_as_oracle(fn, kernel_files(shared / "oracle" / "kernels")[name], dtype, **options)


@pytest.mark.parametrize("name", ["k01", "k02", "k04", "k06"])
def test_every_parallel_fixture_is_met(shared, name):
    path = kernel_files(shared / "oracle" / "kernels")[name]
    x, _, values = oracle(path)
    leaves = [y.requires_grad_() for y in x]
    h = mlstm_parallel(*leaves)
    grads = torch.autograd.grad((h * values["in.w"]).sum(), leaves)
    limit = 1e-7 if "extreme" in path.name else 1e-10
    assert_close("h", h, values["parallel.h"], limit)
    for letter, grad in zip("qkvif", grads):
        assert_close(f"d{letter}", grad, values[f"parallel.d{letter}"], 4 * limit)
    if "extreme" not in path.name:  # rounding the inputs alone moves that one by 1.2e-4
        assert_close("float32", mlstm_parallel(*(y.float() for y in x)), values["parallel.h"], 5e-6)

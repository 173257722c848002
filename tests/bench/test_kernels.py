"""The bounds that the kernels' bench compares with, and that a wrong kernel is not timed."""

import pytest
import torch

from app.bench import kernels
from app.bench.kernels import Case
from app.kernels import mlstm_chunkwise


def test_bytes_are_those_of_operands_and_output():
    q, k, v, h = (torch.empty(2, 3, 10, d, dtype=torch.bfloat16) for d in (4, 4, 6, 6))
    once = sum(x.nbytes for x in (q, k, v, h))
    assert Case(2, 3, 10, 4, 6).nbytes == once
    assert Case(2, 3, 10, 4, 6, backward=True).nbytes == 3 * once


def test_flops_are_those_of_states_and_of_causal_pairs():
    pairs = sum(1 for t in range(64) for j in range(64) if j <= t)
    states = 64 * 2 * (2 * 4 * 6)  # writing k v^T and reading q C: a multiplication and an addition
    assert Case(1, 1, 64, 4, 6).flops == states + pairs * 2 * (4 + 6)


def test_a_kernel_that_is_off_is_not_timed(monkeypatch):
    x = [torch.randn(1, 2, 20, 4), torch.randn(1, 2, 20, 4), torch.randn(1, 2, 20, 6)]
    x += [torch.randn(1, 2, 20) for _ in range(2)]
    monkeypatch.setattr(kernels, "inputs", lambda case: x)
    kernels.verify(mlstm_chunkwise, 4, 6)

    def slightly_off(q, k, v, i, f):
        h, state = mlstm_chunkwise(q, k, v, i, f)
        return 1.05 * h, state

    with pytest.raises(ValueError, match="h at 4/6 is off by 5.0e-02"):
        kernels.verify(slightly_off, 4, 6)


def test_a_kernel_that_changes_from_call_to_call_is_not_timed(monkeypatch):
    x = [torch.randn(1, 2, 20, d) for d in (4, 4, 6)] + [torch.randn(1, 2, 20) for _ in range(2)]
    monkeypatch.setattr(kernels, "inputs", lambda case: x)

    def restless(q, k, v, i, f):
        h, state = mlstm_chunkwise(q, k, v, i, f)
        return h + 1e-4 * torch.rand_like(h), state

    with pytest.raises(ValueError, match="from call to call"):
        kernels.verify(restless, 4, 6)


def test_rows_show_bound_and_rates(monkeypatch):
    monkeypatch.setattr(kernels, "copy_bandwidth", lambda: 4e12)
    monkeypatch.setattr(kernels, "matrix_rate", lambda: 8e14)
    bound, by = kernels.floor(Case(1, 8, 8192, 256, 512), 500.0)
    assert bound == pytest.approx(50.3, abs=0.1)  # 201.3 MB at 4 TB/s; 37.6 GFLOP would take 47.0
    assert by == "bandwidth; 75 TFLOP/s and 403 GB/s reached"

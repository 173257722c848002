"""Names, refusals, the automatic choice and the printed records."""

import dataclasses
import logging
import subprocess
import sys

import pytest
import torch
from tests.kernels.close import assert_close, inputs

from app.kernels import mlstm_chunkwise, mlstm_recurrent, mlstm_step, zero_state
from app.kernels.backends import (
    REFUSED,
    available,
    backend_config,
    mLSTMBackendConfig,
    mLSTMLayerConfig,
    resolve,
)

# The documented names: chunkwise, sequence and step kernels of the public packages.
DOCUMENTED = [
    "chunkwise--native_autograd",
    "chunkwise--native_custbw",
    "chunkwise--triton_limit_chunk",
    "chunkwise--triton_xl_chunk",
    "chunkwise--triton_xl_chunk_siging",
    "parallel--native_autograd",
    "parallel--native_custbw",
    "parallel--native_stablef_autograd",
    "parallel--native_stablef_custbw",
    "parallel--triton_limit_headdim",
    "parallel--native_siging_autograd",
    "parallel--native_siging_custbw",
    "native_sequence__native",
    "native_sequence__triton",
    "native",
    "triton",
]
WORKING = [
    "native",
    "native_autograd",
    "native_stablef_autograd",
    "chunkwise--native_autograd",
    "parallel--native_autograd",
    "parallel--native_stablef_autograd",
    "native_sequence__native",
]


@pytest.mark.parametrize("name", WORKING)
def test_names_that_must_work_give_the_cell(name):
    x = inputs(20, 8, 12)
    backend = resolve(name)
    h, state = backend.sequence(*x, chunk_size=16, eps=1e-6)
    assert_close("h", h, mlstm_recurrent(*(y.double() for y in x))[0], 5e-6)
    assert (state is None) == ("parallel" in backend.chunkwise_kernel)
    assert backend.step is mlstm_step


def test_native_reads_in_chunks_and_a_sequence_name_reads_by_steps():
    assert resolve("native").sequence is mlstm_chunkwise
    assert resolve("native").chunkwise_kernel == "chunkwise--native_autograd"
    x, state = inputs(20, 8, 12), zero_state(2, 2, 8, 12)
    h, last = resolve("native_sequence__native").sequence(*x, state, chunk_size=16)
    ref_h, ref = mlstm_recurrent(*x, state)
    assert torch.equal(h, ref_h) and torch.equal(last.c, ref.c)
    with pytest.raises(ValueError, match="takes no state"):
        resolve("parallel--native_autograd").sequence(*x, state)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_other_documented_names_raise_with_the_reason(name):
    with pytest.raises(ValueError, match="cannot be had: it") as error:
        resolve(name)
    assert name in str(error.value) and REFUSED[name] in str(error.value)


def test_every_documented_name_is_known_and_an_unknown_one_lists_them():
    assert set(DOCUMENTED) <= set(available())
    assert set(DOCUMENTED) - set(REFUSED) <= {*WORKING, "triton"}
    with pytest.raises(ValueError, match="'chunkwise--cuda' is not known; known: auto, native"):
        resolve("chunkwise--cuda")


@pytest.mark.parametrize("name", ["triton", "chunkwise--triton"])
def test_triton_on_a_cpu_raises_with_the_reason(name, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(ValueError, match="cannot run: Triton needs a GPU, the device is cpu"):
        resolve(name, device="cpu")
    assert available("cpu")[name].startswith("Triton needs a GPU")
    assert available("cpu")["native"] == ""


def test_auto_logs_one_line(caplog):
    with caplog.at_level(logging.INFO, logger="app.kernels"):
        backend = resolve("auto", device="cpu")
    assert backend == resolve("native")
    assert [r.getMessage() for r in caplog.records] == [
        "mLSTM kernels: auto is native on cpu (Triton needs a GPU, the device is cpu)"
    ]


def test_records_print_ten_fields_as_in_the_public_package():
    record = mLSTMLayerConfig(
        embedding_dim=4096, num_heads=8, mlstm_backend=backend_config(resolve("native"))
    )
    assert repr(record) == (
        "mLSTMLayerConfig(embedding_dim=4096, num_heads=8, use_bias=False, norm_eps=1e-06, "
        "norm_reduction_force_float32=True, qk_dim_factor=0.5, v_dim_factor=1.0, "
        "gate_soft_cap=15.0, mlstm_backend=mLSTMBackendConfig("
        "chunkwise_kernel='chunkwise--native_autograd', sequence_kernel='native_sequence__native', "
        "step_kernel='native', mode='inference', chunk_size=64, return_last_states=True, "
        "autocast_kernel_dtype='float32', eps=1e-06, inference_state_dtype='float32', "
        "normalize_siging=True), weight_mode='single')"
    )
    assert len(dataclasses.fields(mLSTMLayerConfig)) == 10
    assert len(dataclasses.fields(mLSTMBackendConfig)) == 10


def test_the_record_shows_what_runs():
    record = backend_config(resolve("parallel--native_autograd"), mode="train", chunk_size=32)
    assert (record.chunkwise_kernel, record.return_last_states, record.mode, record.chunk_size) == (
        "parallel--native_autograd",
        False,
        "train",
        32,
    )


def test_native_use_does_not_import_triton():
    code = (
        "import sys, torch; from app.kernels.backends import resolve, available;"
        "available('cpu'); b = resolve('auto'); x = torch.ones(1, 1, 3, 4); g = x[..., 0];"
        "b.sequence(x, x, x, g, g); bad = [m for m in sys.modules if m.split('.')[0] == 'triton'];"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

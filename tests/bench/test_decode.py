"""The 7B benches on a CPU: the shape, the bytes of a step, and what is asked without a GPU."""

import importlib

import pytest
import torch

from app.bench import Options
from app.bench.seven_billion import random_model, reference
from app.model.fused import fuse

OPTIONS = Options(papers=(), model="")


@pytest.mark.parametrize("name", ["decode", "prefill"])
def test_without_a_gpu_the_reason_is_given(name):
    if torch.cuda.is_available():
        pytest.skip("a GPU is at hand")
    with pytest.raises(RuntimeError, match="GPU"):
        importlib.import_module(f"app.bench.{name}").measure(OPTIONS)


def test_a_step_reads_the_published_count_of_weights():
    """6,865,424,896 parameters of the 7B model in all, one embedding of 206,045,184 not read."""
    with torch.device("meta"):
        from app.model.config import XLSTMConfig
        from app.model.xlstm import XLSTM

        config = XLSTMConfig(vocab_size=50304, embedding_dim=4096, num_blocks=32, num_heads=8)
        model = XLSTM(config, dtype=torch.bfloat16)
    assert model.weight_count == 6_865_424_896
    norms = (2 * 4096 + 4096) * 32 + 4096
    gates = 16 * 4096 * 32
    biases = 16 * 32
    wide = 6_865_424_896 - 206_045_184 - norms - gates - biases
    assert fuse(model).bytes == 2 * wide + 4 * gates


def test_the_reference_holds_the_same_weights():
    small = {"device": "cpu", "embedding_dim": 32, "num_heads": 2, "vocab_size": 40, "ffn_dim": 48}
    for int8 in (False, True):
        model = random_model(int8=int8, blocks=1, **small)
        exact = reference(model)
        assert exact.dtype == torch.float32 and exact.backend.step_kernel == "native"
        theirs = exact.state_dict()
        for name, x in model.state_dict().items():
            assert torch.equal(x.to(theirs[name].dtype), theirs[name])

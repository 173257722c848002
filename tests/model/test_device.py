"""Device and dtype: what is asked for, or what is faster here."""

import pytest
import torch

from app.model import device
from app.model.errors import ModelError


@pytest.mark.parametrize(
    ("float32", "bfloat16", "want"),
    [(1.0, 0.3, torch.bfloat16), (1.0, 7.0, torch.float32), (1.0, 1.0, torch.float32)],
)
def test_the_faster_dtype_wins_on_a_cpu(monkeypatch, float32, bfloat16, want):
    seconds = {torch.float32: float32, torch.bfloat16: bfloat16}
    monkeypatch.setattr(device, "_seconds", seconds.get)
    device.fastest_dtype.cache_clear()
    threads = torch.get_num_threads()
    assert device.pick_dtype("cpu") == want and torch.get_num_threads() == threads
    device.fastest_dtype.cache_clear()


def test_names_are_taken_at_their_word():
    assert device.pick_dtype("cpu", "float32") == torch.float32
    assert device.pick_device("cpu") == torch.device("cpu")
    with pytest.raises(ModelError, match="dtype 'int4' is unknown; use auto, float32"):
        device.pick_dtype("cpu", "int4")
    with pytest.raises(ModelError, match="device 'tpu9' is unknown"):
        device.pick_device("tpu9")


@pytest.mark.parametrize(
    "name", ["mps", "meta", "xpu:1", "cpu:3", "cuda:99", "", "cpu:-1", "x" * 999]
)
def test_a_device_that_cannot_be_is_one_short_line(name):
    with pytest.raises(ModelError, match=r"^device '") as error:
        device.pick_device(name)
    assert len(str(error.value)) < 150 and "\n" not in str(error.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(ModelError, match="torch sees no GPU; use cpu"):
        device.pick_device("cuda")
    assert device.pick_device("auto").type == "cpu"

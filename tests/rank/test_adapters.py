"""Adapters: what is merged, what is stored, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from app.rank import adapters
from app.rank.minilm import WEIGHTS, minilm_folder
from app.rank.ranker import RANKER, Ranker

SHIPPED = Path(__file__).resolve().parents[2] / RANKER
QUERY = "encoder.layer.3.attention.self.query.weight"


@pytest.fixture(scope="module")
def base():
    return adapters.base_weights(minilm_folder() / WEIGHTS)


def test_merged_weights_are_the_base_and_the_scaled_product(base):
    stored = load_file(SHIPPED / adapters.FILE)
    merged = adapters.merged(base, adapters.load(SHIPPED))
    linear = [name for name in base if f"{name}.up" in stored]
    assert len(linear) == 36 and QUERY in linear
    for name in linear:
        up, down = stored[f"{name}.up"].astype(float), stored[f"{name}.down"].astype(float)
        scale = stored[f"{name}.up.scale"] * stored[f"{name}.down.scale"].T  # (1, r)
        wanted = base[name].numpy() + np.einsum("or,r,ri->oi", up, scale[0].astype(float), down)
        assert np.allclose(merged[name].numpy(), wanted, atol=1e-6)
    bias = "encoder.layer.0.output.dense.bias"
    wanted = base[bias].numpy() + stored[f"{bias}.delta"].astype(np.float32)
    assert np.allclose(merged[bias].numpy(), wanted, atol=1e-7)
    words = "embeddings.word_embeddings.weight"
    assert torch.equal(merged[words], base[words])
    assert (merged[QUERY] - base[QUERY]).norm() > 0.01 * base[QUERY].norm()


def test_what_is_saved_is_read_within_half_a_step_of_int8(base, tmp_path):
    made = adapters.fresh(base, 2, 8, seed=3)
    draw = torch.Generator().manual_seed(4)
    made[QUERY + ".up"] = torch.randn(384, 2, generator=draw)
    adapters.save(made, tmp_path)
    read = adapters.load(tmp_path)
    assert read.keys() == made.keys()
    for end, across in ((".up", 0), (".down", 1)):
        step = made[QUERY + end].abs().amax(across, keepdim=True) / 127
        assert ((read[QUERY + end] - made[QUERY + end]).abs() <= step / 2 + 1e-6).all()


def changed(tmp_path, change):
    stored = load_file(SHIPPED / adapters.FILE)
    change(stored)
    save_file(stored, tmp_path / adapters.FILE)
    return Ranker(tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda s: s.pop("head.none.out"), "'head.none.out' is missing"),
        (lambda s: s.update(lm_head=np.zeros(3, np.float32)), "'lm_head' is none of its parts"),
        (
            lambda s: s.update({"head.attention": np.zeros(7, np.float16)}),
            r"'head.attention' has the shape \(7,\), not \(384,\)",
        ),
        (
            lambda s: s.update({"head.attention": np.full(384, np.nan, np.float16)}),
            "'head.attention' is not finite",
        ),
    ],
)
def test_a_file_that_is_no_ranker_is_refused_by_name(tmp_path, change, told):
    with pytest.raises(ValueError, match=told):
        changed(tmp_path, change).warm_up()


def test_the_readers_weights_are_no_ranker(tmp_path):
    save_file({"backbone.embeddings.weight": np.zeros((4, 2), np.float32)}, tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / adapters.FILE)
    with pytest.raises(ValueError, match="is no ranker: "):
        Ranker(tmp_path).warm_up()


def test_a_file_of_another_kind_and_none_at_all(tmp_path):
    with pytest.raises(FileNotFoundError, match="adapters.safetensors is missing"):
        Ranker(tmp_path).warm_up()
    (tmp_path / adapters.FILE).write_bytes(b"PK\x03\x04 no weights")
    with pytest.raises(ValueError, match="is no safetensors file"):
        Ranker(tmp_path).warm_up()


def test_adapters_of_unknown_weights_are_not_merged(base):
    with pytest.raises(ValueError, match="no weight for the adapter 'layer.9.up'"):
        adapters.merged(base, {"layer.9.up": torch.zeros(1, 1)})

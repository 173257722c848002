"""States that are not the model's: of another architecture, damaged on disk, of changed weights."""

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tests.model.small import prompt, small

from app.model.errors import ModelError
from app.model.generate import decode_step, prefill
from app.model.state import ModelState
from app.model.state_file import fingerprint, load_state, save_state

OTHERS = {
    "blocks": {"num_blocks": 3},
    "fewer-blocks": {"num_blocks": 1},
    "heads": {"num_heads": 2},
    "qk": {"qk_dim_factor": 1.0},
    "v": {"v_dim_factor": 0.5},
    "window": {"conv1d_kernel_size": 4},
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("tokens", [1, 5])
def test_a_state_of_another_architecture_is_refused_both_ways(change, tokens):
    models = small(), small(**change)
    for a, b in (models, models[::-1]):
        _, state = prefill(a, [prompt(4)])
        with pytest.raises(ModelError, match=r"blocks was given to|shapes .* the model has"):
            prefill(b, [prompt(tokens)], state)


def test_a_state_of_another_window_or_of_mixed_rows_is_refused():
    model = small(conv1d_kernel_size=4)
    _, state = prefill(small(conv1d_kernel_size=3), [prompt(4)])
    with pytest.raises(ModelError, match=r"\(1, 2, 24\).*\(1, 3, 24\)"):
        prefill(model, [prompt(2)], state)
    _, state = prefill(model, [prompt(4)])
    with pytest.raises(ModelError, match="a state of 2 rows was given with 1 rows"):
        decode_step(model, torch.tensor([3]), state.expand(2))
    mixed = ModelState((state.blocks[0], state.expand(2).blocks[1]))
    with pytest.raises(ModelError, match="block 1 of the state"):
        decode_step(model, torch.tensor([3]), mixed)
    with pytest.raises(ModelError, match="0 blocks"):
        decode_step(model, torch.tensor([3]), ModelState(()))
    empty = ModelState(tuple(block._replace(memory=None) for block in state.blocks))
    with pytest.raises(ModelError, match="block 0 of the state"):
        decode_step(model, torch.tensor([3]), empty)


@pytest.fixture
def saved(tmp_path):
    model, file = small(torch.float32, conv1d_kernel_size=4), tmp_path / "s"
    save_state(file, model, *prefill(model, [prompt(5)]))
    return model, file


def test_no_changed_byte_of_a_state_file_is_accepted(saved):
    model, file = saved
    content = file.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    for at in [*range(0, header, 29), *range(header, len(content), 401), len(content) - 3]:
        damaged = bytearray(content)
        damaged[at] ^= 0x40
        file.write_bytes(damaged)
        with pytest.raises(ModelError, match=str(file)):
            load_state(file, model)
    for size in (0, 7, header, len(content) - 50):
        file.write_bytes(content[:size])
        with pytest.raises(ModelError, match=str(file)):
            load_state(file, model)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("1.m", None),
        ("logits", None),
        ("0.window", None),
        ("2.c", lambda t: torch.zeros(1)),
        ("1.c", lambda t: t[..., :3]),
        ("1.n", lambda t: t[..., :1]),
        ("1.m", lambda t: t[0]),
        ("1.c", lambda t: t.bfloat16()),
        ("1.c", lambda t: t.double()),
        ("1.c", lambda t: t * torch.nan),
        ("0.m", lambda t: t - torch.inf),
        ("logits", lambda t: t[:, :5]),
        ("logits", lambda t: t[0]),
        ("logits", lambda t: t[0, 0]),
        ("logits", lambda t: t.repeat(2, 1)),
    ],
)
def test_a_state_that_is_not_the_models_is_refused_even_with_its_own_hash(
    saved, monkeypatch, name, change
):
    model, file = saved
    with safe_open(file, "pt") as opened:
        meta = opened.metadata()
    tensors = load_file(file)
    old = tensors.pop(name, None)
    if change is not None:
        tensors[name] = change(old).contiguous()
    save_file(tensors, file, metadata=meta)
    with pytest.raises(ModelError, match=f"{file}: damaged"):
        load_state(file, model)
    monkeypatch.setattr("app.model.state_file._content", lambda _: meta["content"])
    with pytest.raises(ModelError, match=f"{file}: .*{name.replace('.', '[.]')}"):
        load_state(file, model)


@pytest.mark.parametrize("change", ["in place", "through data", "replaced"])
def test_weights_that_changed_have_another_fingerprint(saved, change):
    model, file = saved
    before, layer = fingerprint(model), model.blocks[0].ffn.up
    with torch.no_grad():
        if change == "in place":
            layer.weight.mul_(2)
        elif change == "through data":
            layer.weight.data.mul_(2)
        else:
            layer.weight = torch.nn.Parameter(layer.weight * 2)
    assert fingerprint(model) != before
    with pytest.raises(ModelError, match="other weights"):
        load_state(file, model)


def test_what_cannot_be_loaded_is_not_saved(saved, tmp_path):
    model, _ = saved
    logits, state = prefill(model, [prompt(5)])
    for bad in (logits[:, :5], logits * torch.nan, logits.repeat(2, 1)):
        with pytest.raises(ModelError, match="t: "):
            save_state(tmp_path / "t", model, bad, state)
    for path in (tmp_path / "no" / "t", tmp_path, tmp_path / ("t" * 300)):
        with pytest.raises(ModelError, match=f"{path}: cannot be written"):
            save_state(path, model, logits, state)
    assert [p.name for p in tmp_path.iterdir()] == ["s"]


def test_the_state_before_any_text_is_saved_as_well(saved, tmp_path):
    model, _ = saved
    save_state(tmp_path / "zero", model, torch.zeros(1, 61), model.zero_state())
    _, state = load_state(tmp_path / "zero", model)
    assert not any(t.any() for block in state.blocks for t in block.tensors().values())

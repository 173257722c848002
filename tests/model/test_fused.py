"""The fused forms on interpreted kernels equal the layers; what they cannot do is said."""

import pytest
import torch
from tests.model.small import prompt, small

from app.model.checkpoint import load_model
from app.model.cuda_graph import graphs_of
from app.model.decode_step import DecodeStep, PlainStep
from app.model.fused import fused_of, obstacle
from app.model.generate import decode_step, prefill
from app.model.save import save_model

if torch.cuda.is_available():
    pytest.skip("a GPU is at hand: test_graphs_gpu compiles what this file interprets", True)

SIZES = {"embedding_dim": 32, "num_heads": 2, "ffn_dim": 48, "num_blocks": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_model(small(torch.float32, scale=0.3, **SIZES), tmp_path_factory.mktemp("m") / "m")


def pair(folder, int8):
    """The same weights on native and on interpreted Triton kernels."""
    options = {"dtype": torch.float32, "int8": int8}
    fused = load_model(folder, kernels="triton", **options)
    fused.graphs = True
    return load_model(folder, **options), fused


@pytest.mark.parametrize("int8", [False, True], ids=["float32", "int8"])
def test_reading_and_steps_equal_the_layers(folder, int8):
    native, fused = pair(folder, int8)
    assert fused_of(native) is None and fused_of(fused) is not None
    rows = [prompt(6, 1), prompt(3, 2)]  # of unequal length: the second is padded
    logits, state = prefill(native, rows)
    got, carried = prefill(fused, rows)
    torch.testing.assert_close(got, logits, rtol=0, atol=5e-5)
    for batch in (1, 2):
        check_steps(native, fused, state.select(range(batch)), carried.select(range(batch)))


def check_steps(native, fused, state, carried):
    """Both greedy from their own states: the same tokens, logits and state."""
    step = DecodeStep(fused_of(fused), state.batch)
    step.load(carried)
    step.tokens.fill_(7)
    for _ in range(2):
        logits, state = decode_step(native, step.tokens.clone(), state)
        step.run()
        torch.testing.assert_close(step.logits, logits, rtol=0, atol=1e-4)
        assert step.tokens.tolist() == logits.argmax(1).tolist()
    for mine, other in zip(step.state().blocks, state.blocks):
        for got, want in zip(mine.memory, other.memory):
            torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


def test_weights_are_held_once(folder):
    _, model = pair(folder, False)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    fused = fused_of(model)
    layer = model.blocks[0].mlstm
    joined = fused.blocks[0].projections.matrix
    assert joined.untyped_storage().data_ptr() == layer.vo.weight.untyped_storage().data_ptr()
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert fused_of(model) is fused


def test_weights_that_move_are_joined_anew(folder):
    _, model = pair(folder, False)
    first = fused_of(model)
    model.to(torch.float64).to(torch.float32)
    assert fused_of(model) is not first and fused_of(model).fits(model)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_plain_step_serves_any_architecture(dtype):
    model = small(dtype, conv1d_kernel_size=4, use_bias=True)
    logits, state = prefill(model, [prompt(6)])
    step = PlainStep(model)
    step.load(state)
    step.tokens.copy_(logits.argmax(1))
    for _ in range(3):
        logits, state = decode_step(model, step.tokens.clone(), state)
        step.run()
        torch.testing.assert_close(step.logits, logits)
        assert step.tokens.tolist() == logits.argmax(1).tolist()
    got, want = step.state().blocks[1].tensors(), state.blocks[1].tensors()
    assert got.keys() == want.keys() == {"c", "n", "m", "window"}
    assert all(torch.equal(got[name], want[name]) for name in got)


@pytest.mark.parametrize(
    "changes, why",
    [
        ({"conv1d_kernel_size": 4}, "convolution"),
        ({"use_bias": True}, "biases"),
        ({"embedding_dim": 30, "num_heads": 3}, "do not divide by 4"),
    ],
)
def test_obstacles_are_named(changes, why):
    model = small(torch.float32, int8=True, **changes)
    model.kernels = "triton"
    assert why in obstacle(model)
    assert fused_of(model) is None


def test_weights_in_training_are_no_graphs_matter():
    model = small(torch.float32).requires_grad_(True)
    model.kernels = "triton"
    assert "trained" in obstacle(model)


def test_graphs_are_refused_where_they_cannot_be(folder):
    assert graphs_of(load_model(folder)) is None
    with pytest.raises(ValueError, match="device is cpu"):
        load_model(folder, graphs=True)

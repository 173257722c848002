"""Prompts in compiled code: what the layers compute where products take bfloat16."""

import pytest
import torch
from tests.model.small import prompt, small
from tests.model.test_cpu_step import SHAPES, TINY, exact, tensors_of

from app.cpu.library import library
from app.model import cpu_step
from app.model.checkpoint import load_model
from app.model.cpu_step import prompt_of
from app.model.errors import ModelError
from app.model.generate import decode_step, prefill
from app.model.save import save_model

# Sums in another order round some inputs of products to the other neighbour in bfloat16.
NEAR = 0.03
SHAPES = SHAPES | {
    "two panels": TINY | {"embedding_dim": 160, "ffn_dim": 200, "qk_dim_factor": 1.0},
    "one head": TINY | {"embedding_dim": 96, "num_heads": 1, "conv1d_kernel_size": 4},
    "deep": TINY | {"ffn_dim": 2500},  # columns beyond what a panel holds
}


@pytest.fixture(autouse=True)
def code():
    found = library()
    if found is None or not found.reads_prompts():
        pytest.skip("prompts are PyTorch's here: no C++ compiler, or a CPU that it is not for")


def half(dtype=torch.bfloat16, **changes):
    # Small enough that a rounding that falls to the other side does not grow from layer to layer.
    return small(dtype, scale=0.05 if changes.get("embedding_dim", 0) > 90 else 0.15, **changes)


def rounded(model):
    """The layers in float64, with the inputs of the wide products rounded to bfloat16."""
    twin = exact(model)
    for block in twin.blocks:
        layer = block.mlstm
        for wide in (layer.qk, layer.vo, layer.out, block.ffn.up, block.ffn.down):
            wide.register_forward_pre_hook(lambda _, given: (given[0].bfloat16().double(),))
    return twin


def read(model, tokens, state=None, **options):
    """The residual stream (S,E) of a prompt and the state after it."""
    seen = []
    _, state = prefill(model, [tokens], state, watch=seen.append, **options)
    return torch.cat(seen, dim=1)[0].double(), state


def assert_near(got, want):
    torch.testing.assert_close(got[0], want[0].double(), rtol=NEAR, atol=NEAR)
    for one, two in zip(tensors_of(got[1]), tensors_of(want[1])):
        assert one.shape == two.shape
        torch.testing.assert_close(one.double(), two.double(), rtol=NEAR, atol=NEAR)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("count", [1, 2, 5, 64, 150])
def test_prompts_equal_the_layers_with_rounded_inputs(name, count):
    model = half(**SHAPES[name])
    assert prompt_of(model) is not None
    assert_near(read(model, prompt(count)), read(rounded(model), prompt(count)))


@pytest.mark.parametrize("name", ["7b block", "convolution", "odd", "deep"])
@pytest.mark.parametrize("int8", [True, None], ids=["alone", "beside"])
def test_int8_weights_are_widened_exactly(tmp_path, name, int8):
    folder = save_model(half(torch.float32, **SHAPES[name]), tmp_path / "m", int8=True)
    model = load_model(folder, dtype=torch.bfloat16, int8=int8)
    assert model.int8 and prompt_of(model) is not None
    assert_near(read(model, prompt(70)), read(rounded(model), prompt(70)))


@pytest.mark.parametrize("name", ["7b block", "convolution"])
def test_a_prompt_goes_on_from_a_state_in_slices_of_any_length(name):
    model, tokens = half(**SHAPES[name]), prompt(150)
    whole = read(model, tokens)
    first, state = read(model, tokens[:61])
    kept = [t.clone() for t in tensors_of(state)]
    rest, after = read(model, tokens[61:], state, slice_tokens=2)
    assert all(torch.equal(a, b) for a, b in zip(kept, tensors_of(state)))
    assert_near((torch.cat([first, rest]), after), whole)


def test_gates_that_are_wide_open_or_shut_stay_finite():
    model = half(**TINY | {"gate_soft_cap": None})
    with torch.no_grad():
        for n, block in enumerate(model.blocks):
            i, f = block.mlstm.gates.bias.chunk(2)
            i.copy_(torch.tensor([300.0, -300.0]))
            f.copy_(torch.tensor([-500.0, 200.0]) * (-1) ** n)
    assert_near(read(model, prompt(140)), read(rounded(model), prompt(140)))


def test_any_number_of_threads_gives_the_same_bits():
    model, tokens = half(**SHAPES["two panels"]), prompt(300)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(read(model, tokens))
    finally:
        torch.set_num_threads(before)
    for x, state in found[1:]:
        assert torch.equal(x, found[0][0])
        assert all(map(torch.equal, tensors_of(state), tensors_of(found[0][1])))


def test_what_does_not_fit_is_refused():
    model, other = half(**TINY), half(**SHAPES["wide heads"])
    with pytest.raises(ModelError, match="shapes"):
        prefill(model, [[3, 4]], other.zero_state())
    with pytest.raises(ModelError, match="2 rows"):
        prefill(model, [[3, 4]], model.zero_state(2))
    with pytest.raises(ModelError, match="9999"):
        prefill(model, [[3, 9999]])


@pytest.mark.parametrize("name", ["7b block", "convolution"])
def test_rows_of_unequal_lengths_are_each_as_alone(name):
    model = half(**SHAPES[name])
    rows = [prompt(count, seed=count) for count in (70, 3, 131, 1, 64)]
    alone = [prefill(model, [row]) for row in rows]
    logits, state = prefill(model, rows)
    # in slices some rows have ended, and go on from there
    sliced, after = prefill(model, rows, slice_tokens=33)
    for n, (want, then) in enumerate(alone):
        torch.testing.assert_close(logits[n], want[0], rtol=1e-5, atol=1e-5)
        assert all(map(torch.equal, tensors_of(state.select([n])), tensors_of(then)))
        torch.testing.assert_close(sliced[n], want[0], rtol=NEAR, atol=NEAR)
        for one, two in zip(tensors_of(after.select([n])), tensors_of(then)):
            torch.testing.assert_close(one, two, rtol=NEAR, atol=NEAR)


def test_rows_go_on_from_states_of_their_own_or_from_one():
    model = half(**SHAPES["convolution"])
    _, state = prefill(model, [prompt(30), prompt(40, seed=5)])
    rows = torch.tensor([prompt(20), prompt(20, seed=2)])
    both, after = model.hidden(rows, state)
    shared, _ = model.hidden(rows, state.select([1]).expand(2))
    for n in (0, 1):
        one, then = model.hidden(rows[n : n + 1], state.select([n]))
        assert torch.equal(both[n], one[0])
        assert all(map(torch.equal, tensors_of(after.select([n])), tensors_of(then)))
        assert torch.equal(shared[n], model.hidden(rows[n : n + 1], state.select([1]))[0][0])
    assert torch.equal(model.hidden(rows, state, keep=False)[0], both)


def test_a_token_of_several_rows_goes_on_from_a_prompt():
    model = half(**SHAPES["convolution"])
    _, state = prefill(model, [prompt(30), prompt(40, seed=5)])
    got, after = decode_step(model, torch.tensor([3, 4]), state)
    assert after.batch == 2
    for n, token in enumerate((3, 4)):  # by the step, whose activations are float32
        want, _ = decode_step(model, torch.tensor([token]), state.select([n]))
        torch.testing.assert_close(got[n : n + 1], want, rtol=NEAR, atol=NEAR)
    with pytest.raises(ModelError, match="2 rows"):
        decode_step(model, torch.tensor([3]), after)


def test_what_it_is_not_for_is_read_by_pytorch(monkeypatch):
    assert prompt_of(small(torch.float32, **TINY)) is None
    assert prompt_of(small(torch.bfloat16, use_bias=True, **TINY)) is None
    model = half(**TINY)
    monkeypatch.setattr(cpu_step, "library", lambda: None)
    assert prompt_of(model) is None
    got, _ = model.hidden(torch.tensor([prompt(40)]))
    want, _ = rounded(model).hidden(torch.tensor([prompt(40)]))
    # q, k, v are rounded as well: no more than alike
    assert torch.cosine_similarity(got.double().flatten(), want.flatten(), dim=0) > 0.99


def test_a_model_that_is_trained_keeps_its_gradients():
    model = half(**TINY).requires_grad_(True)
    x, _ = model.hidden(torch.tensor([prompt(10)]))
    x.sum().backward()
    assert model.blocks[0].mlstm.qk.weight.grad.abs().max() > 0

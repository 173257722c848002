"""Captured graphs on a GPU: the same tokens and states as without them, whoever runs between."""

import pytest
import torch
from tests.model.small import prompt, small

from app.model.checkpoint import load_model
from app.model.cuda_graph import captured, graphs_of
from app.model.decode_step import DecodeStep
from app.model.fused import fused_of
from app.model.generate import decode_step, generate, prefill
from app.model.sample import Sampling
from app.model.save import save_model
from app.model.state_file import load_state, save_state

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU"),
]
CONVOLUTIONS = pytest.mark.parametrize("conv", [0, 4], ids=["7B-block", "conv4"])
INT8 = pytest.mark.parametrize("int8", [False, True], ids=["wide", "int8"])
HOT = Sampling(temperature=0.7, seed=3)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("m")
    sizes = {"scale": 0.15, "embedding_dim": 96, "num_heads": 3, "ffn_dim": 256}
    return {
        conv: save_model(small(torch.float32, conv1d_kernel_size=conv, **sizes), base / str(conv))
        for conv in (0, 4)
    }


def load(folder, graphs, dtype=torch.float32, **options):
    return load_model(folder, device="cuda", dtype=dtype, graphs=graphs, **options)


@INT8
@CONVOLUTIONS
def test_greedy_equals_the_run_without_graphs(folders, conv, int8):
    with_graphs, without = (load(folders[conv], on, int8=int8) for on in (True, False))
    assert graphs_of(with_graphs) is not None and graphs_of(without) is None
    for length in (1, 2, 70, 130):
        runs = [list(generate(m, prompt(length), max_tokens=30)) for m in (with_graphs, without)]
        assert runs[0] == runs[1]


@INT8
def test_bfloat16_steps_equal_float32_ones_of_the_same_weights(folders, int8):
    """A step keeps all but the weights in float32, so only their rounding may show: it does not."""
    low = load(folders[0], True, torch.bfloat16, int8=int8)
    exact = load(folders[0], False, int8=int8, kernels="native")
    exact.load_state_dict({name: x.float() if x.is_floating_point() else x
                           for name, x in low.state_dict().items()})  # fmt: skip
    step, state = DecodeStep(fused_of(low)), exact.zero_state()
    step.tokens.fill_(7)
    for _ in range(40):
        logits, state = decode_step(exact, step.tokens.clone(), state)
        step.run()
        assert (step.logits - logits).abs().max() < 1e-3
        assert step.tokens.tolist() == logits.argmax(1).tolist()


@INT8
@pytest.mark.parametrize("batch", [8, 32])
def test_steps_of_many_rows_equal_the_native_layers(folders, batch, int8):
    """In float32, in a graph: every row its own token, from the zero state on."""
    fused = load(folders[0], True, int8=int8)
    layers = load(folders[0], False, int8=int8, kernels="native")
    step = DecodeStep(fused_of(fused), batch)
    graph, _ = captured(step.run)
    state = layers.zero_state(batch)
    step.load(state)
    step.tokens.copy_(torch.arange(batch) + 1)
    for _ in range(10):
        logits, state = decode_step(layers, step.tokens.clone(), state)
        graph.replay()
        torch.testing.assert_close(step.logits, logits, rtol=0, atol=5e-4)
        assert step.tokens.tolist() == logits.argmax(1).tolist()


@CONVOLUTIONS
def test_runs_that_take_turns_do_not_mix(folders, conv):
    model, without = (load(folders[conv], on) for on in (None, False))
    alone = [list(generate(without, prompt(n), max_tokens=12)) for n in (5, 40)]
    one, two = (generate(model, prompt(n), max_tokens=12) for n in (5, 40))
    turns = [(next(one), next(two)) for _ in range(12)]
    assert [list(tokens) for tokens in zip(*turns)] == alone


@CONVOLUTIONS
def test_states_go_on_from_a_graph(folders, conv, tmp_path):
    model, without = (load(folders[conv], on) for on in (None, False))
    whole = list(generate(without, prompt(20), max_tokens=16))
    run = generate(model, prompt(20), max_tokens=9)
    assert list(run) == whole[:9]
    save_state(tmp_path / "s", model, *run.carry())
    again = generate(model, prompt(3), max_tokens=5)  # takes the buffers
    list(again)
    logits, state = load_state(tmp_path / "s", model)
    assert list(generate(model, [], state=state, logits=logits, max_tokens=7)) == whole[9:]
    logits, state = run.carry()
    assert list(generate(model, [], state=state, logits=logits, max_tokens=7)) == whole[9:]


def test_bans_and_processors_are_heard(folders):
    model, without = (load(folders[0], on) for on in (None, False))
    first = next(generate(model, prompt(9)))
    for options in (
        {"banned_ids": [first]},
        {"processors": [lambda logits, seen: -logits]},
        {"sampling": Sampling(repetition_penalty=1.5)},
    ):
        runs = [list(generate(m, prompt(9), max_tokens=12, **options)) for m in (model, without)]
        assert runs[0] == runs[1]


def test_a_seed_repeats_also_when_another_run_cuts_in(folders):
    model = load(folders[0], None)
    first = list(generate(model, prompt(9), max_tokens=20, sampling=HOT))
    again, other = (
        generate(model, prompt(9), max_tokens=20, sampling=Sampling(temperature=0.7, seed=s))
        for s in (3, 4)
    )
    turns = [(next(again), next(other)) for _ in range(20)]
    assert [list(tokens) for tokens in zip(*turns)][0] == first
    assert len({token for token, _ in turns}) > 1 and [t for _, t in turns] != first


@pytest.mark.parametrize("length", [2, 16, 17, 300, 512, 513])
def test_short_prompts_are_read_as_without_graphs(folders, length):
    model, without = (load(folders[0], on) for on in (True, False))
    start = prefill(without, [prompt(30, seed=2)])[1]
    for state in (None, start):
        got, want = (prefill(m, [prompt(length)], state) for m in (model, without))
        torch.testing.assert_close(got[0], want[0], rtol=0, atol=2e-4)
        for mine, other in zip(got[1].blocks, want[1].blocks):
            for a, b in zip(mine.memory, other.memory):
                torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


@INT8
@pytest.mark.parametrize("length", [2, 100, 700])
def test_fused_reading_equals_the_native_layers(folders, length, int8):
    """In float32: prompts of one slice in a graph and without one, and what follows them."""
    fused = load(folders[0], True, int8=int8)
    layers = load(folders[0], False, int8=int8, kernels="native")
    start = prefill(layers, [prompt(30, seed=2)])[1]
    for state in (None, start):
        got, want = (prefill(m, [prompt(length)], state) for m in (fused, layers))
        torch.testing.assert_close(got[0], want[0], rtol=0, atol=5e-4)
        for mine, other in zip(got[1].blocks, want[1].blocks):
            for a, b in zip(mine.memory, other.memory):
                assert (a - b).norm() < 2e-4 * b.norm()
    rows = [prompt(length), prompt(max(1, length - 7), seed=5)]
    got, want = (prefill(m, rows)[0] for m in (fused, layers))
    torch.testing.assert_close(got, want, rtol=0, atol=5e-4)


def test_a_moved_model_gets_new_graphs(folders):
    model = load(folders[0], None)
    want = list(generate(model, prompt(9), max_tokens=5))
    first = graphs_of(model)
    model.cpu()
    assert graphs_of(model) is None
    model.cuda()
    assert list(generate(model, prompt(9), max_tokens=5)) == want
    assert graphs_of(model) is not first

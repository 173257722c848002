"""Generation: what stops it, what it carries, and that batches and saved states change nothing."""

import pytest
import torch
from tests.model.small import prompt, small

from app.model.errors import ModelError
from app.model.generate import generate, generate_batch, prefill
from app.model.sample import Sampling
from app.model.score import score_continuations, score_endings
from app.model.state_file import fingerprint, load_state, save_state

HOT = Sampling(temperature=1.0, seed=5)
CONVOLUTIONS = pytest.mark.parametrize("conv", [0, 4], ids=["7B-block", "conv4"])


def full_recompute(model, ids, count):
    """Greedy continuation by reading everything again for every token."""
    ids = list(ids)
    for _ in range(count):
        ids.append(int(model(torch.tensor([ids]))[0][0, -1].argmax()))
    return ids[-count:]


@CONVOLUTIONS
def test_greedy_equals_a_full_recompute(conv):
    model = small(conv1d_kernel_size=conv)
    got = list(generate(model, prompt(67), max_tokens=12))
    assert got == full_recompute(model, prompt(67), 12)


def test_max_tokens_and_stop_ids():
    model = small()
    free = list(generate(model, prompt(9), max_tokens=20))
    assert len(free) == 20
    assert list(generate(model, prompt(9), max_tokens=0)) == []
    stop = free[6]
    run = generate(model, prompt(9), max_tokens=20, stop_ids=[stop])
    assert list(run) == free[: free.index(stop)] and run.finish == "stop"
    run = generate(model, prompt(9), max_tokens=3)
    assert list(run) == free[:3] == run.tokens and run.finish == "length"


def test_banned_ids_and_processors():
    model = small()
    first = list(generate(model, prompt(9), max_tokens=8))
    assert first[0] not in list(generate(model, prompt(9), max_tokens=8, banned_ids=[first[0]]))
    seen = []

    def only_seven(logits, tokens):
        seen.append(list(tokens))
        return torch.where(torch.arange(len(logits)) == 7, logits, -torch.inf)

    got = list(generate(model, prompt(9), max_tokens=3, processors=[only_seven]))
    assert got == [7, 7, 7] and seen == [[], [7], [7, 7]]


def test_a_seed_repeats_and_another_does_not():
    model = small()
    runs = [
        list(generate(model, prompt(9), sampling=Sampling(temperature=1.5, seed=s), max_tokens=30))
        for s in (1, 1, 2)
    ]
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize("sampling", [Sampling(), HOT], ids=["greedy", "hot"])
@CONVOLUTIONS
def test_a_batch_equals_the_single_runs(sampling, conv):
    model = small(conv1d_kernel_size=conv)
    rows = [prompt(n, n) for n in (1, 70, 5, 33, 64)]
    single = [
        list(generate(model, row, sampling=sampling, max_tokens=25, stop_ids=[4, 9, 20]))
        for row in rows
    ]
    assert len({len(line) for line in single}) > 1  # some rows end early
    options = {"sampling": sampling, "max_tokens": 25, "stop_ids": [4, 9, 20]}
    assert generate_batch(model, rows, **options) == single


def test_a_chat_goes_on_without_reading_its_history_again():
    model = small()
    run = generate(model, prompt(9), max_tokens=5)
    said = list(run)
    logits, state = run.carry()
    assert list(generate(model, [], state=state, logits=logits, max_tokens=4)) == full_recompute(
        model, prompt(9) + said, 4
    )
    more = list(generate(model, [8, 9], state=state, max_tokens=4))
    assert more == full_recompute(model, [*prompt(9), *said, 8, 9], 4)
    again = list(generate(model, [8, 9], state=state, max_tokens=4))  # forked: nothing was changed
    assert again == more


def test_an_empty_prompt_needs_something_to_go_on_from():
    with pytest.raises(ModelError, match="empty prompt"):
        generate(small(), [])


def test_an_interrupted_run_keeps_what_it_has():
    model = small()

    def interrupt(logits, tokens):
        if len(tokens) == 4:
            raise KeyboardInterrupt
        return logits

    run = generate(model, prompt(9), max_tokens=9, processors=[interrupt])
    with pytest.raises(KeyboardInterrupt):
        list(run)
    assert run.tokens == full_recompute(model, prompt(9), 4)
    assert torch.isfinite(run.carry()[0]).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@CONVOLUTIONS
def test_a_state_from_disk_is_bit_equal_to_an_uninterrupted_run(tmp_path, dtype, conv):
    model = small(dtype, conv1d_kernel_size=conv)
    logits, state = prefill(model, [prompt(70)])
    save_state(tmp_path / "prefix.state", model, logits, state)
    back_logits, back = load_state(tmp_path / "prefix.state", small(dtype, conv1d_kernel_size=conv))
    assert torch.equal(logits, back_logits)
    runs = []
    for l0, s0 in ((logits, state), (back_logits, back)):
        run = generate(model, [], state=s0, logits=l0, sampling=HOT, max_tokens=20)
        runs.append((list(run), *run.carry()))
    assert runs[0][0] == runs[1][0] and torch.equal(runs[0][1], runs[1][1])
    for a, b in zip(runs[0][2].blocks, runs[1][2].blocks):
        assert all(torch.equal(x, y) for x, y in zip(a.memory, b.memory))
    assert [p.name for p in tmp_path.iterdir()] == ["prefix.state"]


def test_a_state_of_other_weights_is_refused(tmp_path):
    model = small(torch.float32)
    file = tmp_path / "s"
    save_state(file, model, *prefill(model, [prompt(5)]))
    others = [small(torch.float32, seed=1), small(torch.bfloat16), small(torch.float32, eps=1e-5)]
    for other in others:
        assert fingerprint(other) != fingerprint(model)
        with pytest.raises(ModelError, match="other weights"):
            load_state(file, other)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ModelError, match="damaged"):
        load_state(file, model)
    with pytest.raises(ModelError, match="no such state file"):
        load_state(tmp_path / "absent", model)


@CONVOLUTIONS
def test_scores_equal_those_of_whole_texts(conv):
    model, before = small(conv1d_kernel_size=conv), prompt(70)
    rows = [prompt(n, n) for n in (1, 40, 2, 7, 8, 9, 66, 1, 30)]
    logits, state = prefill(model, [before])
    got = score_continuations(model, logits, state, rows)
    for row, sum_ in zip(rows, got):
        every = model(torch.tensor([before + row]))[0][0].log_softmax(-1)
        want = sum(float(every[69 + n, token]) for n, token in enumerate(row))
        assert sum_ == pytest.approx(want, abs=1e-9)
    assert score_continuations(model, logits, state, []) == []
    with pytest.raises(ModelError, match="prompt is empty"):
        score_continuations(model, logits, state, [[1], []])
    with pytest.raises(ModelError, match="from one state, not from 2"):
        score_continuations(model, logits, state.expand(2), [[1]])


@CONVOLUTIONS
def test_endings_are_scored_as_in_a_whole_forward_pass(conv):
    model = small(conv1d_kernel_size=conv)
    rows = [prompt(n, seed=n) for n in (70, 3, 2, 66, 9)]
    counts = [5, 2, 1, 65, 0]
    got = score_endings(model, rows, counts)
    for row, count, values in zip(rows, counts, got, strict=True):
        every = model(torch.tensor([row]))[0][0].log_softmax(-1)
        places = range(len(row) - count, len(row))
        wanted = [float(every[at - 1, row[at]]) for at in places]
        assert values == pytest.approx(wanted, abs=1e-9)
    assert score_endings(model, [], []) == []
    with pytest.raises(ModelError, match="3 of a row's 3 tokens"):
        score_endings(model, [[1, 2, 3]], [3])


def test_a_long_prompt_is_read_in_slices():
    model, seen = small(), []
    hidden = model.hidden
    model.hidden = lambda tokens, *rest: seen.append(tokens.shape[1]) or hidden(tokens, *rest)
    prefill(model, [prompt(100)], slice_tokens=30)
    assert seen == [30, 30, 30, 10]


def test_a_prompt_is_projected_at_its_last_token_alone():
    model, seen = small(), []
    project = model.project
    model.project = lambda x: seen.append(tuple(x.shape)) or project(x)
    prefill(model, [prompt(100), prompt(3)])
    list(generate(model, prompt(70), max_tokens=3))
    assert seen == [(2, 24), (1, 24), (1, 24), (1, 24)]


@pytest.mark.parametrize("sampling", [Sampling(), HOT], ids=["greedy", "hot"])
def test_bans_that_cannot_be_are_refused(sampling):
    model = small()
    for odd in ([-1], [61], [3, 2**40]):
        with pytest.raises(ModelError, match="token ids reach from"):
            generate(model, prompt(3), sampling=sampling, banned_ids=odd)
    with pytest.raises(ModelError, match="no token can be chosen"):
        next(generate(model, prompt(3), sampling=sampling, banned_ids=range(61)))
    most = [n for n in range(61) if n != 7]
    run = generate(model, prompt(3), sampling=sampling, banned_ids=most, max_tokens=3)
    assert list(run) == [7, 7, 7]


@pytest.mark.parametrize("ids", [[1.7, 2], [-1], [61], [2**70], ["ab"], "ab", [None], [[1], [2]]])
def test_ids_that_are_none_are_refused(ids):
    with pytest.raises(ModelError, match="token ids"):
        prefill(small(), [ids])


@pytest.mark.parametrize("slice_tokens", [0, -1])
def test_slices_hold_a_token_at_least(slice_tokens):
    with pytest.raises(ModelError, match=f"slice_tokens is {slice_tokens}; it must be at least 1"):
        prefill(small(), [prompt(3)], slice_tokens=slice_tokens)


def test_a_text_goes_on_from_one_row_of_its_own_model():
    model = small()
    logits, state = prefill(model, [prompt(3)])
    for l0, s0 in (
        (logits.repeat(2, 1), state),
        (logits[0], state),
        (logits[:, :5], state),
        (logits, state.expand(2)),
        (logits, small(num_blocks=3).zero_state()),
    ):
        with pytest.raises(ModelError, match="logits have shape|a state of"):
            generate(model, [], state=s0, logits=l0)

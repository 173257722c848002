"""Sampling against transformers' processors and against frequencies."""

import pytest
import torch

from app.model.errors import ModelError
from app.model.sample import Sampling, choose, shape_logits

DRAW = torch.Generator().manual_seed(4)
LOGITS = torch.randn(50, generator=DRAW) * 3


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0.7),
        Sampling(temperature=1.3, top_k=7),
        Sampling(temperature=1.0, top_p=0.6),
        Sampling(temperature=0.9, top_p=0.01),
        Sampling(temperature=0.8, top_k=20, top_p=0.9, repetition_penalty=1.4),
        Sampling(temperature=1.0, repetition_penalty=0.7),
    ],
    ids=repr,
)
def test_shaping_equals_transformers(sampling):
    process = pytest.importorskip("transformers.generation.logits_process")
    seen = [3, 3, 7, 11, 49]
    want = LOGITS.clone()[None]
    ids = torch.tensor([seen])
    want = process.RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty)(ids, want)
    want = process.TemperatureLogitsWarper(sampling.temperature)(ids, want)
    if sampling.top_k:
        want = process.TopKLogitsWarper(sampling.top_k)(ids, want)
    if sampling.top_p < 1:
        want = process.TopPLogitsWarper(sampling.top_p)(ids, want)
    got = shape_logits(LOGITS, seen, sampling)
    assert torch.equal(got.isneginf(), want[0].isneginf())
    torch.testing.assert_close(got, want[0] - want[0].max())  # ours are counted from the largest


def test_greedy_takes_the_likeliest_and_counts_the_penalty():
    logits = torch.tensor([1.0, 3.0, 2.9])
    assert choose(logits, [], Sampling(), None) == 1
    assert choose(logits, [1], Sampling(repetition_penalty=1.1), None) == 2
    assert torch.equal(logits, torch.tensor([1.0, 3.0, 2.9]))


def test_draws_follow_the_probabilities():
    logits, sampling = torch.tensor([0.0, 1.0, 2.0]), Sampling(temperature=2.0, seed=0)
    source = sampling.source(torch.device("cpu"))
    counts = torch.zeros(3)
    for _ in range(3000):
        counts[choose(logits, [], sampling, source)] += 1
    want = torch.tensor([0.18632, 0.30720, 0.50648])  # exp(0), exp(.5), exp(1) over their sum
    assert (counts / 3000 - want).abs().max() < 0.03  # three standard deviations


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": -0.1}, "temperature is -0.1; it must be 0 or more"),
        ({"top_k": -1}, "top_k"),
        ({"top_p": 0.0}, "top_p is 0.0; it must be above 0 and at most 1"),
        ({"top_p": 1.5}, "top_p"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": float("inf")}, "temperature is inf; it must be 0 or more, and finite"),
        ({"temperature": "1"}, "temperature"),
        ({"top_k": 2.5}, "top_k"),
        ({"top_p": None}, "top_p"),
        ({"repetition_penalty": 1e-45}, "repetition_penalty is 1e-45; it must be from 0.001"),
        ({"repetition_penalty": float("inf")}, "repetition_penalty"),
        ({"repetition_penalty": float("nan")}, "repetition_penalty"),
        ({"seed": 2**64}, "seed"),
        ({"seed": 1.5}, "seed"),
    ],
)
def test_values_out_of_range_are_named(values, message):
    with pytest.raises(ModelError, match=message):
        Sampling(**values)


@pytest.mark.parametrize("penalty", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("top", [{}, {"top_k": 5}, {"top_p": 1e-30}, {"top_p": 0.9}])
@pytest.mark.parametrize("temperature", [5e-324, 1e-40, 1e-38, 1e-3, 1.0, 1e38, 1e300])
def test_no_sampling_in_range_fails_or_picks_what_is_banned(temperature, top, penalty):
    sampling = Sampling(temperature=temperature, repetition_penalty=penalty, seed=2, **top)
    logits = LOGITS.index_fill(0, torch.arange(0, 50, 2), -torch.inf)
    source = sampling.source(torch.device("cpu"))
    picks = {choose(logits, [1, 3], sampling, source) for _ in range(20)}
    assert all(pick % 2 for pick in picks)
    if temperature <= 1e-38:
        greedy = Sampling(repetition_penalty=penalty)
        assert picks == {choose(logits, [1, 3], greedy, None)}


@pytest.mark.parametrize("temperature", [0.0, 1e-40, 1.0])
@pytest.mark.parametrize("logits", [[-torch.inf] * 4, [1.0, torch.nan, 0, 0], [torch.inf, 0, 0, 0]])
def test_logits_that_leave_no_token_are_refused(logits, temperature):
    sampling = Sampling(temperature=temperature, top_k=2, seed=0)
    source = sampling.source(torch.device("cpu"))
    with pytest.raises(ModelError, match="no token can be chosen"):
        choose(torch.tensor(logits), [], sampling, source)

"""Training the ranker: its loss by hand, what is measured, and the two commands."""

import math

import numpy as np
import pytest
import torch
from tests.train.toy import write_toy_data

from app.cli import main
from app.rank import adapters
from app.rank.ranker import Ranker
from app.train import ranker
from app.train.ranker_batch import Batch
from app.train.ranker_data import RankData


def test_the_loss_is_the_unlikeliness_of_all_that_is_right(monkeypatch):
    # sentences of two examples; "none" counts 0 in each
    logits = torch.tensor([[2.0, 1.0, -math.inf], [0.5, -1.0, 3.0]])
    monkeypatch.setattr(ranker, "logits_of", lambda *args: logits)
    right = np.array([[True, True, False], [False, False, False]])
    got = ranker.loss_of({}, Batch((), right, 0), "cpu").item()
    e = math.exp
    first = -math.log((e(2) + e(1)) / (1 + e(2) + e(1)))
    second = -math.log(1 / (1 + e(0.5) + e(-1) + e(3)))
    assert got == pytest.approx((first + second) / 2, abs=1e-6)


def test_the_rate_rises_and_falls_to_nothing():
    rates = [ranker.rate_at(p, 0.1) for p in (0.0, 0.05, 0.1, 0.55, 1.0)]
    assert rates == pytest.approx([0.0, 0.5, 1.0, 0.5, 0.0])
    assert ranker.rate_at(0.25, 0.0) == pytest.approx(1.0)


def test_how_long_must_be_said_once():
    with pytest.raises(ValueError, match="steps or seconds"):
        ranker.RankerConfig()
    with pytest.raises(ValueError, match="steps or seconds"):
        ranker.RankerConfig(steps=1, seconds=1.0)


def test_what_is_measured(monkeypatch):
    logits = torch.tensor([[3.0, 1.0], [1.0, 2.0], [-4.0, -5.0], [0.0, 2.5]])
    right = np.array([[True, False], [True, False], [False, False], [False, False]])
    batch = Batch((), right, 0)
    for name, value in (("held_batches", [batch]), ("placed", {})):
        monkeypatch.setattr(ranker, name, lambda *args, value=value: value)
    monkeypatch.setattr(ranker, "logits_of", lambda *args: logits)
    monkeypatch.setattr(ranker.low_rank, "merged", lambda *args: {})
    got = ranker.measured({}, {}, None)
    assert got["first"] == 0.5 and got["among three"] == 1.0
    # of the two with an answer, one has lower odds than the last without
    assert got["told"] == 0.75 and got["declined"] == 0.5
    assert (got["answerable"], got["unanswerable"]) == (2, 2)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_toy_data(tmp_path_factory.mktemp("data"), documents=8)


def test_from_question_sets_to_a_ranker_that_reads(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("app.train.ranker_examples.HELD_PAPERS", 3)
    sets = ["--questions", "squad", "--own", "paper_pairs", "--passes", "1"]
    prepared, out = tmp_path / "ranker.npz", tmp_path / "out"
    asked = ["train", "ranker-data", "--data", str(data), "--out", str(prepared), *sets]
    assert main(asked) == 0
    made = RankData.load(prepared)
    assert f"{len(made)} examples" in capsys.readouterr().out and 0 < made.held.sum() < len(made)
    run = ["--steps", "8", "--tokens", "800", "--rank", "2", "--rates", "0.01", "0.002", "0.01"]
    asked = ["train", "ranker", "--prepared", str(prepared), "--out", str(out), *run]
    assert main(asked) == 0
    assert "declined" in capsys.readouterr().out
    weights = adapters.load(out)
    ups = [tensor for name, tensor in weights.items() if name.endswith(adapters.UP)]
    assert len(ups) == 36 and all(up.shape[1] == 2 and up.abs().max() > 0 for up in ups)
    texts = ["The width of Lor is seven.", "Rain fell in May."]
    trained = Ranker(out, dtype="float32").scores("What is the width of Lor?", [texts])[0]
    assert len(trained) == 2 and trained[0] > trained[1]


def test_sources_that_never_ship_are_refused(data, tmp_path, capsys):
    asked = ["train", "ranker-data", "--data", str(data), "--out", str(tmp_path / "r.npz")]
    assert main([*asked, "--questions", "race", "--own", "paper_pairs"]) == 1
    assert "never enter weights that ship: race" in capsys.readouterr().err

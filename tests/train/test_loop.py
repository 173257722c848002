"""The loop: it learns, it goes on bit for bit after a stop, and it says how it does."""

import csv
import json
import math
import re

import pytest
import torch
from tests.train.toy import TINY, toy_maker

from app.model.checkpoint import load_model
from app.train.encode import Code
from app.train.feed import Feed
from app.train.held_out import by_code
from app.train.loop import train
from app.train.loss import PackedLoss
from app.train.optimizer import Optimizer
from app.train.phases import ANSWERING, Phase, mix
from app.train.progress import Point, clock, log_line
from app.train.run import fresh_model
from app.train.schedule import TrainConfig
from app.train.world import World

HERE = World(torch.device("cpu"))
PHASES = (Phase(1.0, mix(0.3, 0.3, 0.2, 0.2), ANSWERING),)
START = 1


@pytest.fixture(scope="module")
def maker(tmp_path_factory):
    return toy_maker(tmp_path_factory.mktemp("toy"), tokens=1025, documents=4)


def run(maker, folder, config, phases=PHASES, **options):
    """A run of a tiny model on the toy data; its weights and where it stood."""
    model = fresh_model(TINY, seed=config.seed)
    loss_of = PackedLoss(model, start_id=START)
    lines = []
    stood = train(
        model,
        loss_of,
        Feed(maker, phases),
        phases,
        config,
        folder,
        HERE,
        say=lines.append,
        **options,
    )
    return model, stood, lines


def settings(steps, **changes):
    given = {"rows": 2, "first_rows": 1, "micro": 2, "warm": 2, "log_every": 2, "save_every": 0}
    return TrainConfig(steps=steps, **{**given, **changes})


def test_the_loss_on_one_batch_falls(maker):
    model = fresh_model(TINY, seed=0)
    loss_of = PackedLoss(model, start_id=START)
    optimizer = Optimizer(model, muon_rate=0.02, adam_rate=0.01)
    ids, codes = Feed(maker, PHASES).batch(0, 0.0, 1)
    ids = torch.from_numpy(ids.astype("int64"))[:, :257]
    weights = torch.ones(ids.shape)
    losses = []
    for _ in range(50):
        model.zero_grad()
        loss = loss_of(ids, weights) / weights[:, 1:].sum()
        loss.backward()
        losses.append(loss.item())
        optimizer.step(1.0)
    assert losses[0] == pytest.approx(math.log(TINY.vocab_size), abs=0.3)  # it knows nothing yet
    assert losses[-1] < 1.0


def test_a_run_that_was_stopped_equals_one_that_was_not(maker, tmp_path):
    whole, stood, _ = run(maker, tmp_path / "whole", settings(6))
    with pytest.raises(KeyboardInterrupt):
        _stop_at(4, maker, tmp_path / "parts")
    assert [p.name for p in sorted((tmp_path / "parts").glob("step-*"))] == ["step-0000003"]
    parts, again, lines = run(maker, tmp_path / "parts", settings(6))
    assert lines[0].endswith("at step 3")
    for (name, a), b in zip(whole.named_parameters(), parts.parameters()):
        assert torch.equal(a, b), name
    assert (again.step, again.tokens, again.data) == (stood.step, stood.tokens, stood.data)
    assert [p.loss for p in again.points] == [p.loss for p in stood.points]


def _stop_at(step, maker, folder):
    """Stops in the middle of a run that saves every third step."""

    class Stopped(Feed):
        def batch(self, number, progress, rows):
            if number == step:
                raise KeyboardInterrupt
            return super().batch(number, progress, rows)

    model = fresh_model(TINY, seed=0)
    config = settings(6, save_every=3)
    train(
        model,
        PackedLoss(model, start_id=START),
        Stopped(maker, PHASES),
        PHASES,
        config,
        folder,
        HERE,
        say=lambda line: None,
    )


def test_micro_batches_change_nothing_but_rounding(maker, tmp_path):
    one, _, _ = run(maker, tmp_path / "one", settings(2, micro=3, rows=3, first_rows=3))
    many, _, _ = run(maker, tmp_path / "many", settings(2, micro=1, rows=3, first_rows=3))
    for a, b in zip(one.parameters(), many.parameters()):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=2e-4)


def test_what_a_run_leaves(maker, tmp_path):
    rows = {"text": maker.make(maker.jobs("text")[0])}
    config = settings(8, save_every=2, cool=0.5, measure_every=4)
    model, stood, lines = run(maker, tmp_path, config, held_out=rows)
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["before-cooling", "log.csv", "loss.png", "step-0000006", "step-0000008"]
    assert (tmp_path / "loss.png").read_bytes()[:4] == b"\x89PNG"
    table = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert [row["step"] for row in table] == ["2", "4", "6", "8"]
    saved = load_model(tmp_path / "step-0000008" / "model", dtype=torch.float32)
    for a, b in zip(model.parameters(), saved.parameters()):
        assert torch.equal(a, b)
    record = json.loads((tmp_path / "step-0000008" / "run.json").read_text())
    assert record["config"]["rows"] == 2 and record["step"] == stood.step == 8
    # 1 row before progress 0.45, 2 after it
    assert stood.tokens == (4 * 1 + 4 * 2) * 1024
    looks = [line for line in lines if line.startswith("held out at step")]
    assert len(looks) == 2 and re.search(r"text \d\.\d{4} nats \d+\.\d %", looks[0])
    other = fresh_model(TINY, seed=0)
    with pytest.raises(ValueError, match="do not divide among 3"):
        train(other, None, None, PHASES, config, tmp_path, World(torch.device("cpu"), 0, 3))
    two, config = World(torch.device("cpu"), 0, 2), settings(8, first_rows=2)
    with pytest.raises(ValueError, match="is of 1 processes, these are 2"):
        train(other, None, None, PHASES, config, tmp_path, two)


def test_the_log_line_is_fixed():
    before = Point(50, 1_000_000, 0.05, 4.0, 1.0, 100.0)
    now = Point(100, 3_000_000, 0.1, 3.21987, 0.75, 200.0)
    line = log_line(now, before, {"text": (60, 0), "made": (40, 2)}, 1)
    assert line == (
        "step    100 |  10.0 % | loss  3.2199 | rate 0.750 | 3.00 M tokens, 0.0200 M/s | "
        "left 0:30:00 | rows:pass text 60:0 made 40:2 | skipped 1"
    )
    assert [clock(s) for s in (0, 59.6, 3723, -5)] == ["0:00:00", "0:01:00", "1:02:03", "0:00:00"]


def test_a_gradient_that_is_not_finite_is_skipped(maker, tmp_path, monkeypatch):
    model = fresh_model(TINY, seed=0)
    before = [w.detach().clone() for w in model.parameters()]
    loss_of = PackedLoss(model, start_id=START)
    feed, config = Feed(maker, PHASES), settings(2)
    broken = lambda ids, weights, *_: loss_of(ids, weights) * float("nan")  # noqa: E731
    stood = train(model, broken, feed, PHASES, config, tmp_path, HERE, say=lambda line: None)
    assert stood.skipped == 2
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters()))


def test_held_out_figures_are_means_over_tokens(maker):
    model = fresh_model(TINY, seed=0)
    loss_of = PackedLoss(model, start_id=START)
    rows = maker.make(maker.jobs("own")[0])
    found = by_code(loss_of, rows, torch.device("cpu"))
    lost, right = loss_of.judge(torch.from_numpy(rows.ids.astype("int64")))
    answers = torch.from_numpy(rows.codes[:, 1:] == Code.ANSWER)
    nats, share, count = found[Code.ANSWER]
    assert count == answers.sum()
    assert nats == pytest.approx(lost[answers].mean().item(), rel=1e-5)
    assert share == pytest.approx(right[answers].float().mean().item(), abs=1e-6)
    assert sum(n for _, _, n in found.values()) == answers.numel()

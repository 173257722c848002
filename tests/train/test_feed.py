"""Rows of jobs, endless streams, mixing: the same for every number of workers and after a stop."""

from collections import Counter
from concurrent.futures import Future

import numpy as np
import pytest
from tests.train.toy import toy_maker

from app.train.encode import Code
from app.train.feed import Feed, RowStream
from app.train.pack import Rows
from app.train.phases import ANSWERING, PRETRAIN, Phase, loss_weights, mix, phase_at, row_counts
from app.train.rows import Job

ALL = (Phase(1.0, mix(0.3, 0.3, 0.2, 0.2), ANSWERING),)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("toy")
    toy_maker(path)
    return path


def numbered(rows=3):
    """Starts jobs whose rows say which job they are of, and remembers the order."""
    started = []

    def submit(job):
        started.append(job)
        ids = np.full((rows, 4), 100 * job.turn + 10 * job.part, np.uint16)
        ids += np.arange(rows, dtype=np.uint16)[:, None]
        done = Future()
        done.set_result(Rows(ids, np.zeros_like(ids, np.uint8), {}))
        return done

    return submit, started


JOBS = [Job("text", "a", part, 9) for part in range(9)]


def test_every_row_of_a_pass_comes_once_before_the_pass_after_the_next():
    submit, started = numbered()
    stream = RowStream(JOBS, submit, seed=1)
    first = [int(stream.take(1)[0][0, 0]) for _ in range(9 * 3)]
    assert max(Counter(first).values()) == 1
    assert [job.part for job in started[:9]] != list(range(9))
    assert sorted(job.part for job in started[:9]) == list(range(9))
    assert [job.turn for job in started] == sorted(job.turn for job in started)
    assert {job.part for job in started[9:18]} <= set(range(9)) and stream.turn >= 1


def test_processes_share_the_jobs():
    streams = [RowStream(JOBS, numbered()[0], seed=1, rank=rank, world=2) for rank in (0, 1)]
    alone = RowStream(JOBS, numbered()[0], seed=1)
    shared = [streams[n % 2].job(n // 2) for n in range(20)]
    assert shared == [alone.job(n) for n in range(20)]


def test_a_stream_goes_on_where_it_was():
    stream = RowStream(JOBS, numbered()[0], seed=1)
    for count in (0, 1, 5, 40):
        if count:
            stream.take(count)
        state = stream.state()
        again = RowStream(JOBS, numbered()[0], seed=1)
        again.restore(state)
        assert again.drawn == stream.drawn
        twin = RowStream(JOBS, numbered()[0], seed=1)
        twin.restore(state)
        assert (again.take(30)[0] == twin.take(30)[0]).all()
        assert (again.take(1)[0] == (stream.take(30), stream.take(1))[1][0]).all()


def test_rows_are_needed():
    with pytest.raises(ValueError, match="nothing to make rows from"):
        RowStream([], numbered()[0])
    with pytest.raises(ValueError, match="'text' makes no row"):
        RowStream(JOBS, numbered(rows=0)[0]).take(1)


def test_phases_follow_progress():
    assert [phase_at(PRETRAIN, p) for p in (0, 0.39, 0.4, 0.71, 0.72, 1.0)] == [
        PRETRAIN[0],
        PRETRAIN[0],
        PRETRAIN[1],
        PRETRAIN[1],
        PRETRAIN[2],
        PRETRAIN[2],
    ]
    with pytest.raises(ValueError, match="names shares of"):
        Phase(1.0, {"poems": 1.0}, ANSWERING)


def test_the_mix_is_met_over_many_batches():
    total = Counter()
    for step in range(400):
        counts = row_counts(ALL[0], 16, (0, 0, step))
        assert sum(counts.values()) == 16
        total.update(counts)
    shares = {kind: n / total.total() for kind, n in total.items()}
    assert shares == pytest.approx({"text": 0.3, "made": 0.3, "pairs": 0.2, "own": 0.2}, abs=0.02)
    assert row_counts(ALL[0], 16, (0, 0, 7)) == row_counts(ALL[0], 16, (0, 0, 7))


def test_weights_by_code():
    phase = Phase(1.0, mix(1, 0), {Code.TEXT: 0.5, Code.CHOICE: 3.0})
    codes = np.array([[Code.TEXT, Code.CHOICE, Code.GIVEN, Code.ANSWER]], np.uint8)
    assert loss_weights(phase, codes).tolist() == [[0.5, 3.0, 0.0, 0.0]]


def test_rows_of_each_kind(folder):
    maker, kinds = toy_maker(folder, tokens=1025), {}
    for kind in ("text", "made", "pairs", "own"):
        (job,) = maker.jobs(kind)
        rows = maker.make(job)
        assert rows.ids.shape == rows.codes.shape and rows.ids.shape[1] == 1025 and len(rows)
        assert (maker.make(job).ids == rows.ids).all()
        kinds[kind] = rows.kinds
        again = maker.make(Job(kind, job.source, 0, 1, turn=1))
        assert again.ids.shape != rows.ids.shape or (again.ids != rows.ids).any()
    assert kinds["text"] == {"documents": 12}
    assert {"keywords", "recurring span", "needle"} <= set(kinds["made"])
    assert "pair" in kinds["pairs"] and "pair, taken away" in kinds["own"]


def test_what_is_left_out_enters_no_row(folder):
    dropped = frozenset(f"books:{n}" for n in range(11))
    maker = toy_maker(folder, leave_out=dropped)
    assert maker.make(maker.jobs("text")[0]).kinds == {"documents": 1}


def test_batches_are_the_same_with_workers_and_after_a_stop(folder):
    maker = toy_maker(folder, tokens=1025)
    here, feeds = Feed(maker, ALL), [Feed(maker, ALL, workers=1), Feed(maker, ALL)]
    expected = [here.batch(step, 0.0, 6) for step in range(8)]
    try:
        for step in range(4):
            ids, codes = feeds[0].batch(step, 0.0, 6)
            assert (ids == expected[step][0]).all() and (codes == expected[step][1]).all()
        feeds[1].restore(feeds[0].state())
        for step in range(4, 8):
            ids, codes = feeds[1].batch(step, 0.0, 6)
            assert (ids == expected[step][0]).all() and (codes == expected[step][1]).all()
    finally:
        feeds[0].close()
    assert sum(drawn for drawn, _ in here.used().values()) == 48
    with pytest.raises(ValueError, match="other|not"):
        feeds[1].restore({"text": {}})


def test_another_seed_makes_other_examples(folder):
    first, second = toy_maker(folder, tokens=1025), toy_maker(folder, tokens=1025, seed=1)
    (job,) = first.jobs("made")
    assert not np.array_equal(first.make(job).ids, second.make(job).ids)

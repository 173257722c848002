"""The shipped ranker: which sentence answers, whatever else is read beside it."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from app.rank.ranker import Ranker
from app.rank.windows import SENTENCE_TOKENS, WINDOW_TOKENS, cut, padded

GATES = ("The forget gate of every block stays open.", "The width of the model is 768 in all.")
LAKES = ("A valley in the north has seven lakes.", "Each of the blocks has four heads.")
LONG = tuple(f"In study {n} the river rose by {n} metres within a week of rain." for n in range(90))
WIDE, SEVEN = "How wide is the model?", "How many lakes does the valley have?"


@pytest.fixture(scope="module")
def ranker():
    return Ranker(dtype="float32")


def fresh(ranker):
    ranker._known.clear()
    return ranker


def test_the_sentence_that_answers_is_first_and_what_answers_nothing_is_below_none(ranker):
    gates, lakes = ranker.scores(WIDE, [GATES, LAKES])
    assert gates[1] == max(gates + lakes) > 0 > max(lakes)
    gates, lakes = ranker.scores(SEVEN, [GATES, LAKES])
    assert lakes[0] == max(gates + lakes) > 0 > max(gates)


def test_a_score_depends_on_no_other_passage(ranker):
    together = fresh(ranker).scores(WIDE, [LONG[:7], GATES, LAKES, LONG[:40]])
    for number, passage in enumerate([LONG[:7], GATES, LAKES, LONG[:40]]):
        (alone,) = fresh(ranker).scores(WIDE, [passage])
        assert together[number] == pytest.approx(alone, abs=1e-4)
    turned = fresh(ranker).scores(WIDE, [LONG[:40], LAKES, GATES])
    assert turned[2] == pytest.approx(together[1], abs=1e-4)


def test_bfloat16_says_nearly_the_same(ranker):
    passages = [GATES, LAKES, LONG[:20]]
    exact, short = (r.scores(WIDE, passages) for r in (ranker, Ranker(dtype="bfloat16")))
    for one, two in zip(exact, short):
        assert one == pytest.approx(two, abs=0.3)


def test_no_sentence_of_a_long_passage_is_lost(ranker):
    passage = (*LONG, "word " * 500, *LONG[:3], "The dam broke on the ninth day.")
    (got,) = ranker.scores("When did the dam break?", [passage])
    assert len(got) == len(passage) and got.index(max(got)) == len(passage) - 1
    assert ranker.scores("When?", [(), GATES])[0] == []
    assert ranker.scores("When?", []) == []


def test_every_sentence_is_in_one_window_that_holds_it():
    lengths = [30, SENTENCE_TOKENS, 5, 200, 200, 1]
    windows = cut(64, lengths)
    assert [i for window in windows for i in window] == list(range(6))
    assert [list(w) for w in windows] == [[0], [1], [2, 3], [4, 5]]
    assert all(66 + sum(lengths[i] + 1 for i in w) <= WINDOW_TOKENS for w in windows)
    ids, owner = padded([([7], [[8] * 3, [9]]), ([7, 7], [[9]])])
    assert ids.tolist() == [[101, 7, 102, 8, 8, 8, 102, 9, 102], [101, 7, 7, 102, 9, 102, 0, 0, 0]]
    assert owner.tolist() == [[0, 0, 0, 1, 1, 1, 1, 2, 2], [0, 0, 0, 0, 1, 1, 0, 0, 0]]


def test_what_was_scored_is_remembered(ranker, monkeypatch):
    first = fresh(ranker).scores(WIDE, [GATES, LAKES])
    monkeypatch.setattr(ranker, "_of_windows", lambda windows: 1 / 0 if windows else [])
    assert ranker.scores(WIDE, [LAKES, GATES]) == first[::-1]
    with pytest.raises(ZeroDivisionError):
        ranker.scores(SEVEN, [GATES])


def test_threads_may_share_it(ranker):
    questions = [f"{WIDE} {n}" for n in range(12)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda q: fresh(ranker).scores(q, [GATES])[0], questions))
    for question, values in zip(questions, found):
        assert fresh(ranker).scores(question, [GATES])[0] == pytest.approx(values, abs=1e-4)


def test_what_no_encoding_holds_is_scored_all_the_same(ranker):
    assert len(ranker.scores("what \ud800 is \x00", [("a \udfff b", "")])[0]) == 2

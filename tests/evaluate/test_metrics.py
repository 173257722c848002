"""Each measure against a value computed by hand."""

import math

import pytest

from app.evaluate import metrics


def test_runs_ignore_marks_case_and_ligatures():
    assert metrics.runs("An e\ufb03cient, deep net-work") == {
        ("an", "efficient", "deep", "net"),
        ("efficient", "deep", "net", "work"),
    }
    assert metrics.runs("Two words") == {("two", "words")}


def test_evidence_is_covered_by_one_text_at_four_fifths():
    evidence = "a b c d e f g h"  # five runs
    assert metrics.covered(evidence, ["x", "b c d e f g h"])  # four of them
    assert not metrics.covered(evidence, ["a b c d e f", "e f g h"])  # three, and one
    assert not metrics.covered(evidence, [])


def test_a_share_of_the_evidence_is_counted_in_runs():
    assert metrics.share_covered("a b c d e f g h", "x b c d e f") == 0.4  # two of five runs
    assert metrics.share_covered("a b", "b a b") == 0.0  # "a b" is its only run, of two words


def test_ranks_count_distinct_things():
    assert metrics.rank_of("c", ["a", "a", "b", "a", "c"]) == 3
    assert metrics.rank_of("z", ["a"]) is None
    assert metrics.share_within([1, 3, None, 5], 3) == 0.5
    assert [metrics.reciprocal(rank) for rank in (1, 2, None, 4)] == [1, 0.5, 0, 0.25]


def test_ndcg():
    grades = {"a": 3, "b": 2}
    best = 3 + 2 / math.log2(3)
    assert metrics.ndcg(grades, ["a", "b", "c"]) == pytest.approx(1)
    assert metrics.ndcg(grades, ["c", "b", "a"]) == pytest.approx((2 / math.log2(3) + 1.5) / best)
    assert metrics.ndcg(grades, ["c", "b", "a"], k=2) == pytest.approx(2 / math.log2(3) / best)
    assert metrics.ndcg(grades, []) == 0 and metrics.ndcg({}, ["a"]) == 0


def test_auroc():
    assert metrics.auroc([0.9, 0.4], [0.5, 0.4]) == pytest.approx((1 + 1 + 0 + 0.5) / 4)


def test_the_interval_of_a_constant_is_a_point_and_of_a_coin_is_known():
    assert metrics.interval([0.3] * 10) == pytest.approx((0.3, 0.3))
    low, high = metrics.interval([0.0, 1.0] * 50)  # standard error 0.05
    assert low == pytest.approx(0.40, abs=0.02) and high == pytest.approx(0.60, abs=0.02)

"""Regressions where the slope of their loss, written out by hand, is zero."""

import math

import numpy as np
import pytest

from app.evaluate import fit


def test_logistic_regression_stands_where_its_slope_is_zero():
    values = np.array([[-1.0], [-1.0], [1.0], [1.0]])
    weight, constant = fit.logistic(values, np.array([0.0, 0, 1, 1]))
    # by symmetry no constant; 4 (1 - chance(weight)) = ridge * weight
    assert constant == pytest.approx(0, abs=1e-9)
    assert 4 * (1 - 1 / (1 + math.exp(-weight))) == pytest.approx(weight)


def test_a_choice_stands_where_its_slope_is_zero():
    # three times the row with 1 beside one with 0: 3 (1 - chance) = ridge * weight
    group = (np.array([[1.0], [0.0]]), np.array([True, False]))
    (weight,) = fit.choice([group] * 3, ridge=0.5)
    assert 3 * (1 - 1 / (1 + math.exp(-weight))) == pytest.approx(0.5 * weight)


def test_groups_that_part_without_a_mistake_have_weights_all_the_same():
    # ten times a row with 3 beside two with 0: 10 * 3 (1 - chance) = ridge * weight
    group = (np.array([[3.0], [0.0], [0.0]]), np.array([True, False, False]))
    (weight,) = fit.choice([group] * 10, ridge=1.0)
    odds = math.exp(3 * weight) / 2
    assert 30 * (1 - odds / (1 + odds)) == pytest.approx(weight, rel=1e-6) and weight > 1


def test_two_right_rows_count_together():
    # values 1, 1, 0; the first two are right: chance of them is 2e^w / (2e^w + 1)
    group = (np.array([[1.0], [1.0], [0.0]]), np.array([True, True, False]))
    (weight,) = fit.choice([group], ridge=0.5)
    odds = 2 * math.exp(weight)
    assert 1 - odds / (odds + 1) == pytest.approx(0.5 * weight)


def test_a_column_that_tells_nothing_has_no_weight():
    draw = np.random.default_rng(0)
    groups = []
    for _ in range(400):
        values = draw.normal(size=(5, 2))
        right = np.zeros(5, bool)
        right[np.argmax(values[:, 0])] = True
        groups.append((values, right))
    weights = fit.choice(groups)
    assert weights[0] > 2 and abs(weights[1]) < 0.3


def test_groups_without_a_right_row_are_refused():
    with pytest.raises(ValueError, match="right row"):
        fit.choice([])
    with pytest.raises(ValueError, match="right row"):
        fit.choice([(np.ones((2, 1)), np.zeros(2, bool))])


def test_chances_sum_to_one():
    assert fit.softmax(np.array([0.0, math.log(3)])) == pytest.approx([0.25, 0.75])
    assert fit.softmax(np.array([1e4, -1e4])) == pytest.approx([1.0, 0.0])

"""Measures of answers, each against a value computed by hand."""

import pytest

from app.evaluate import reading


def test_exact_match_is_blind_to_articles_and_marks():
    assert reading.exact_match("the Eiffel Tower.", ["Paris", "Eiffel tower"])
    assert not reading.exact_match("Eiffel", ["Eiffel tower"]) and not reading.exact_match("a", [])


def test_an_answer_is_held_by_whole_words():
    assert reading.holds_answer("It has twelve blocks.", ["Twelve blocks", "x"])
    assert not reading.holds_answer("It has 1200 blocks.", ["12"])
    assert not reading.holds_answer("anything", ["the"]) and not reading.holds_answer("x", [])


def test_an_answer_to_a_yes_or_no_question_may_say_more():
    assert reading.exact_match("No, it is not.", ["no"])
    assert not reading.exact_match("No man is.", ["Nobody"])
    assert not reading.exact_match("It is, yes", ["yes"])


def test_word_for_word_is_blind_to_the_width_of_blanks_alone():
    assert reading.word_for_word("twelve  blocks", ["x", "It has twelve\nblocks."])
    assert not reading.word_for_word("Twelve blocks", ["It has twelve blocks."])
    assert not reading.word_for_word("one two", ["one", "two"])
    assert not reading.word_for_word(" ", ["x"])


def test_citation_precision():
    assert reading.citation_precision([1, 2, 2], [2, 3]) == pytest.approx(2 / 3)
    assert reading.citation_precision([], [1]) is None

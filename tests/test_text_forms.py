"""What a notebook keeps beside the HTML is text that reads well, not the fields of a record."""

from IPython.lib.pretty import pretty

from app.answer.compare import Comparison
from app.answer.records import NOT_FOUND, Answer


def answer() -> Answer:
    return Answer("Why?", NOT_FOUND, "quote", "similarity", "reader", declined=True)


def test_an_answer_prints_as_its_text():
    assert pretty(answer()) == str(answer())
    assert NOT_FOUND in pretty(answer()) and "Answer(" not in pretty(answer())


def test_a_comparison_prints_as_its_text():
    both = Comparison("Why?", ("similarity", "compression"), (answer(), answer()))
    assert pretty(both) == str(both) and "Comparison(" not in pretty(both)

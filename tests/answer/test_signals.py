"""What a signal leaves out of a question, by hand."""

import pytest

from app.answer import signals


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        ("What are the gates? Answer in bullet points.", "What are the gates?"),
        ("What are the gates? please reply in one sentence", "What are the gates?"),
        ("List the points of the proof.", "List the points of the proof."),
        ("Which list is given? It has words.", "Which list is given? It has words."),
    ],
)
def test_the_form_that_is_asked_for_is_no_part_of_the_question(asked, left):
    assert signals.without_form(asked) == left

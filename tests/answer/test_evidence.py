"""Evidence: which sentences are candidates, and how two scores become one order."""

import pytest
from fakes import passage

from app.answer.evidence import candidates, ranked, standardised


def test_candidates_are_whole_sentences_of_what_the_reader_saw():
    one = passage(
        "Too short here.", "This one is long enough.", "w " * 91 + "end.", "2.3 A heading of words"
    )
    two = passage("A second passage may speak (too.)", "But this was not read.", rank=2)
    found = candidates([one, two], [(0, 1, 2, 3), (0,)])
    assert [(c.source, c.index) for c in found] == [(1, 1), (2, 0)]


def test_a_long_line_without_a_mark_at_its_end_may_be_a_sentence():
    cut = passage("A sentence that runs over the end of", "A short line without end")
    assert [c.index for c in candidates([cut], [(0, 1)])] == [0]


def test_the_labels_of_a_figure_are_no_candidates():
    labels = "Memory Cells 🠆 Constant Error Carousel 🠆 Sigmoid Gating 🠆 Recurrent Training"
    found = candidates([passage(labels, "The gate is wide open.")], [(0, 1)])
    assert [c.index for c in found] == [1]


def test_a_sentence_that_stands_twice_is_one_candidate():
    one, two = passage("The gate is wide open."), passage("The gate is wide  open!", rank=2)
    assert [(c.source, c.index) for c in candidates([one, two], [(0,), (0,)])] == [(1, 0)]


def test_short_sentences_are_candidates_where_there_are_no_others():
    assert len(candidates([passage("Yes.", "No.")], [(0, 1)])) == 2


def test_passages_that_were_not_read_give_no_candidates():
    assert candidates([passage("This one is long enough.")], []) == []


def test_standardised_by_hand():
    # mean 4, variance ((-2)^2 + 0 + 2^2) / 3 = 8/3
    assert standardised([2, 4, 6]) == pytest.approx([-(1.5**0.5), 0, 1.5**0.5])


def test_values_that_do_not_differ_count_nothing():
    assert standardised([3.0, 3.0]) == [0.0, 0.0]
    assert standardised([]) == []


def test_signals_count_by_their_weights():
    found = candidates([passage("The first of them.", "The second of them.")], [(0, 1)])
    # standardised: +1 and -1, -1 and +1
    signals = {"likelihood": [-1.0, -2.0], "similarity": [0.1, 0.9]}
    equal = ranked(found, signals, {"likelihood": 1.0, "similarity": 1.0})
    assert [e.score for e in equal] == [0, 0]
    assert equal[0].sentence.text == "The first of them."
    reader = ranked(found, signals, {"likelihood": 2.0, "similarity": 1.0})
    assert [e.score for e in reader] == pytest.approx([1, -1])
    assert reader[0].sentence.text == "The first of them."
    meaning = ranked(found, signals, {"likelihood": 1.0, "similarity": 2.0})
    assert meaning[0].sentence.text == "The second of them."
    assert meaning[0].signals == {"likelihood": -2.0, "similarity": 0.9}
    # one that has no weight is kept and counts nothing
    alone = ranked(found, signals, {"similarity": 0.5})
    assert [e.score for e in alone] == pytest.approx([0.5, -0.5])
    assert alone[0].signals["likelihood"] == -2.0

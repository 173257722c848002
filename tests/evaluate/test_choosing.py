"""The order of sentences against one that is seen: a reader and cosines that disagree."""

from dataclasses import replace

import pytest
from tests.answer.fakes import BOTH, FakeReader, FakeRetriever, passage

from app.answer.calibration import Rule
from app.evaluate import choosing
from app.evaluate.questions import Question

GATES = "The forget gate of every block stays open at the start."
WIDTH = "The width of the model is 768 in all of its blocks."
LAKES = "A valley in the north of the land has seven deep lakes."
QUESTION = Question("1", "a.pdf", "How wide?", WIDTH, 1)


class Stub:
    """A library with one retriever; remembers what it was asked for."""

    def __init__(self, *sentences, cosines):
        self.found = FakeRetriever([passage(*sentences)], cosines)

    def retriever(self, name, **settings):
        self.settings = settings
        return self.found


def test_right_sentences_hold_the_evidence_or_are_held_by_it():
    assert choosing.is_right(f"As said, {WIDTH}", WIDTH)
    assert choosing.is_right("The width of the model is 768", WIDTH)
    assert not choosing.is_right(LAKES, WIDTH) and not choosing.is_right("The width", WIDTH)


def test_ranks_by_hand():
    library = Stub(GATES, WIDTH, LAKES, cosines={GATES: 0.9, WIDTH: 0.6, LAKES: 0.3})
    reader = FakeReader(
        {GATES: -2.0, WIDTH: -1.0, LAKES: -3.0},
        relevant={WIDTH: 1.0},
        odds={LAKES: 2.0, WIDTH: 1.0},
    )
    (row,) = choosing.evaluate(library, [QUESTION], reader, "similarity")
    # as answered: GATES and WIDTH have standardised sums 0 + 1.22 and 1.22 + 0: the first there;
    # LAKES has the highest odds; only WIDTH is relevant; no sentence has the stem of "wide"
    wanted = {"as answered": 2, "similarity": 2, "words": 2, "rank": 2, "relevance": 1}
    assert row.ranks == wanted and row.retrieved
    assert row.first == GATES and not row.declined and row.answerable
    assert library.settings == {"k": 3, "papers": ("a.pdf",)}


def test_a_question_is_declined_by_the_rule_where_there_is_one():
    library = Stub(GATES, WIDTH, cosines={GATES: 0.9, WIDTH: 0.6})
    for declines, constant, wanted in (
        (False, 0.0, False),
        (True, 0.0, False),
        (False, -2.0, True),
    ):
        rule = Rule({"similarity": 1.0}, constant, threshold=0.0)
        reader = FakeReader(declines=declines, calibration=replace(BOTH, rule=rule))
        (row,) = choosing.evaluate(library, [QUESTION], reader, "similarity")
        assert row.declined is wanted
    (row,) = choosing.evaluate(library, [QUESTION], FakeReader(declines=True), "similarity")
    assert row.declined


def test_the_summary_counts_only_what_could_be_chosen():
    def row(ranks, answerable=True, declined=False):
        names = ("as answered", "similarity", "words", "rank", "relevance")
        return choosing.Row("1", "a", answerable, dict(zip(names, ranks)), declined, "", "")

    none = (None,) * 5
    rows = [row((1, 2, 1, 1, 1)), row((2, 1, 3, 2, 1)), row(none, declined=True)]
    rows.append(row(none, answerable=False, declined=True))
    by = {record["order"]: record for record in choosing.summary(rows)}
    assert [by["as answered"][f"right@{k}"] for k in (1, 2, 3)] == [0.5, 1.0, 1.0]
    assert [by["words"][f"right@{k}"] for k in (1, 2, 3)] == [0.5, 0.5, 1.0]
    assert by["similarity"]["over similarity"] == (0.0, 0.0) and by["relevance"]["n"] == 2
    shares = choosing.declined(rows)
    assert shares == pytest.approx({"answerable": 1 / 3, "unanswerable": 1.0, "retrieved": 2 / 3})
    table = choosing.table(list(by.values()))
    assert "| as answered | 2 | 50.0 (0.0 to 100.0) | 100.0 | 100.0 |" in table
    assert choosing.summary(rows[2:]) == []

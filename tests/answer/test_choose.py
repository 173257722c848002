"""Signals of sentences and questions by hand, and the order that their weights give."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from fakes import FakeReader, FakeRetriever, passage

from app.answer import signals
from app.answer.calibration import Calibration
from app.answer.choose import ordered, shortlisted
from app.answer.evidence import candidates

GATES = "The forget gate of every block stays open."
WIDTH = "The width of the model is 768 in all."
LAKES = "A valley in the north has seven lakes."
HEADS = "Each of the blocks has four heads."
PASSAGES = [passage(GATES, WIDTH), passage(LAKES, HEADS, rank=2)]
COSINES = {GATES: 0.9, WIDTH: 0.6, LAKES: 0.2, HEADS: 0.4}
QUESTION = "Which heads has a block of the model?"


def asked(reader, cosines=COSINES):
    retriever = FakeRetriever(PASSAGES, cosines)
    near = [retriever.sentence_scores(QUESTION, each) for each in PASSAGES]
    prompt = reader.prompt(QUESTION, PASSAGES)
    found = candidates(PASSAGES, prompt.sentences)
    return QUESTION, found, near, reader, reader.read(prompt)


def test_signals_of_sentences_by_hand():
    reader = FakeReader(
        {WIDTH: -1.0}, odds={HEADS: 1.5, WIDTH: -2.5}, relevant={HEADS: 2.0, GATES: 0.5}
    )
    got = signals.of_sentences(signals.OF_SENTENCE, *asked(reader))
    assert got["similarity"] == [0.9, 0.6, 0.2, 0.4]
    odds, near = [-4.0, -2.5, -4.0, 1.5], np.array([0.9, 0.6, 0.2, 0.4])
    shares = np.exp([0.0, *odds]) / np.exp([0.0, *odds]).sum()
    rest = np.exp(1.8 * (near - near.mean()) / near.std())
    wanted = np.log(shares[1:] + shares[0] * rest / rest.sum())
    assert got["rank"] == pytest.approx(wanted.tolist())
    assert got["relevance"] == [0.5, -3.0, -3.0, 2.0]
    assert got["likelihood"] == [-3.0, -1.0, -3.0, -3.0]
    # content words of the question: head (in one of the four), block (in two), model
    rare = {1: math.log(1 + 3.5 / 1.5), 2: math.log(1 + 2.5 / 2.5)}
    total = rare[1] + rare[2] + rare[1]
    wanted = [rare[2] / total, rare[1] / total, 0.0, (rare[1] + rare[2]) / total]
    assert got["words"] == pytest.approx(wanted)


def test_what_is_not_asked_for_costs_nothing():
    reader = FakeReader()
    assert set(signals.of_sentences(["similarity"], *asked(reader))) == {"similarity"}
    assert reader.scored == [] and reader.ranked == []


def test_the_rank_of_a_candidate_is_that_of_its_place_in_its_passage():
    # the first passage gives no candidate: its one sentence is a heading
    passages = [passage("1 Introduction"), passage(LAKES, HEADS, kept=(1,)), passage(WIDTH)]
    reader = FakeReader(odds={HEADS: 1.5, WIDTH: -2.5})
    found = candidates(passages, [[0], [0], [0]])
    assert [(c.source, c.index) for c in found] == [(2, 0), (3, 0)]
    cosines = [[0.5], [0.5], [0.5]]
    got = signals.of_sentences(["rank"], QUESTION, found, cosines, reader, None)["rank"]
    first, second, none = math.exp(1.5), math.exp(-2.5), 1.0
    total = first + second + none
    wanted = [math.log((each + none / 2) / total) for each in (first, second)]
    assert got == pytest.approx(wanted)
    form = f"{QUESTION} Answer in bullet points."
    signals.of_sentences(["rank"], form, found, cosines, reader, None)
    assert reader.ranked == [(QUESTION, 2)] * 2


def test_signals_of_a_question_by_hand():
    reader = FakeReader(
        relevant={HEADS: 2.0, GATES: 0.5}, refuses=math.log(0.2), odds={HEADS: 1.5, WIDTH: -2.5}
    )
    question, _, near, _, reading = asked(reader)
    got = signals.of_question(signals.OF_QUESTION, question, PASSAGES, near, reader, reading)
    assert got["similarity"] == 0.9 and got["words"] == 1.0
    assert got["rank"] == pytest.approx(math.log(math.exp(1.5) + math.exp(-2.5) + 2 * math.exp(-4)))
    assert got["refusal"] == pytest.approx(math.log(0.8 / 0.2))
    odds = math.exp(2) + math.exp(0.5) + 2 * math.exp(-3)
    assert got["relevance"] == pytest.approx(math.log(odds))
    assert signals.rare_words("Which of the?", [GATES]) == [0.0]
    assert signals.rare_words(QUESTION, []) == []


def test_what_nothing_answers_is_left_to_the_cosines():
    sure = signals.shared_out([-2.0, 5.0, -2.0], [0.0, 0.0, 9.0])
    assert sure.index(max(sure)) == 1
    unsure = signals.shared_out([-9.0, -8.0, -9.0], [0.0, 0.0, 2.0])
    assert unsure.index(max(unsure)) == 2
    for row in (sure, unsure):
        assert sum(map(math.exp, row)) == pytest.approx(1.0)


def test_log_odds_have_an_end():
    assert signals.log_odds_against(0.0) == -30 and signals.log_odds_against(-1e4) == 30
    assert signals.log_odds_against(math.log(0.5)) == pytest.approx(0.0)
    assert signals.log_sum_exp([]) == -30
    assert signals.log_sum_exp([1000.0, 1000.0]) == pytest.approx(1000 + math.log(2))


def test_the_order_is_by_the_calibrations_weights():
    reader = FakeReader(relevant={HEADS: 2.0, GATES: 0.5})
    by = {"similarity": 1.0, "relevance": 3.0}
    order = ordered(Calibration(by), *asked(reader))
    assert [e.sentence.text for e in order[:2]] == [HEADS, GATES] and len(order) == 4
    assert order[0].signals == {"similarity": 0.4, "relevance": 2.0} and order[0].source == 2
    assert reader.scored == []


def test_costly_signals_are_found_for_the_shortlist_only():
    reader = FakeReader({WIDTH: -0.1, LAKES: 0.0})
    order = ordered(Calibration({"similarity": 1.0, "likelihood": 5.0}, 2), *asked(reader))
    # the two nearest; LAKES, likelier than both, is not among them
    assert reader.scored == [[GATES, WIDTH]]
    assert [e.sentence.text for e in order] == [WIDTH, GATES]
    # standardised over the two: cosine -1 and +1, likelihood +1 and -1
    assert [e.score for e in order] == pytest.approx([4.0, -4.0])


def test_a_shortlist_keeps_the_order_of_the_text():
    known = {"words": [0.1, 0.9, 0.5, 0.7]}
    assert shortlisted(known, {"words": 1.0}, 2) == [1, 3]
    assert shortlisted(known, {"words": -1.0}, 3) == [0, 2, 3]
    assert shortlisted(known, {"words": 1.0}, 9) == [0, 1, 2, 3]


def test_one_sentence_needs_no_signal_that_differs():
    alone = [passage(GATES)]
    reader = FakeReader()
    prompt = reader.prompt(QUESTION, alone)
    found = candidates(alone, prompt.sentences)
    reading = reader.read(prompt)
    order = ordered(
        Calibration({"words": 1.0, "likelihood": 1.0}), QUESTION, found, [[0.3]], reader, reading
    )
    assert [e.score for e in order] == [0.0]
    assert SimpleNamespace(**order[0].signals).likelihood == -3.0

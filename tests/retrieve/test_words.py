"""Terms of texts and BM25 scores, computed by hand."""

import math

import numpy as np
import pytest

from app.retrieve.words import WordIndex, terms


@pytest.mark.parametrize(
    "text, expected",
    [
        ("The gates of the memories", ["gate", "memori"]),
        ("pre-training", ["pre", "train", "pretrain"]),
        ("Pretraining, pre training", ["pretrain", "pre", "train"]),
        ("state\u2010of\u2010the\u2010art", ["state", "art", "stateoftheart"]),
        ("a \ufb01ne 1.3B and 16,384 at 95%", ["fine", "1.3", "b", "16,384", "95"]),
        ("xLSTM[7:1]", ["xlstm", "7", "1"]),
        ("... \x00 of the", []),
    ],
)
def test_terms(text, expected):
    assert terms([text]) == [expected]


def test_scores_by_hand():
    index = WordIndex(["Gate, gates, memory", "cat"])
    # n = 2 texts, 1 of them with the word: idf = ln(1 + 1.5 / 1.5); 3 words where 2 are the mean
    expected = math.log(2) * 2 / (2 + 1.5 * (0.25 + 0.75 * 3 / 2))
    assert np.allclose(index.scores("the gate"), [expected, 0], atol=1e-6)
    assert np.allclose(index.scores("gating"), [expected, 0], atol=1e-6)  # the same stem
    assert index.scores("the dog").tolist() == [0, 0]
    assert index.scores("").tolist() == [0, 0]


def test_texts_without_words_are_found_by_none():
    assert WordIndex(["...", "!"]).scores("gates").tolist() == [0, 0]


def test_cover_weighs_rare_words_more():
    index = WordIndex(["gates open", "gates close", "gates"])
    common, rare = math.log(1 + 0.5 / 3.5), math.log(1 + 2.5 / 1.5)  # in three and in one of three
    got = index.cover("Which gates close?", ["the gates", "it closes", "a gate closing", "rain"])
    total = common + rare
    assert np.allclose(got, [common / total, rare / total, 1, 0])
    assert index.cover("the of", ["gates"]).tolist() == [0]
    assert index.cover("zebra gates", ["zebra"])[0] > 0.9  # in no text: the rarest

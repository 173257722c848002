"""Support by matching: words, numbers, negation, places; the expected values are judged by hand."""

import time

import pytest
from fakes import passage

from app.answer import support

TEXT = "We use 1,500 GPUs for 2.50 days. The mLSTM does not mix memory. It has a matrix memory."
SENTENCES = [(0, 32), (33, 63), (64, 87)]


def test_the_sentences_of_the_example_are_cut_right():
    assert [TEXT[a:b] for a, b in SENTENCES] == [
        "We use 1,500 GPUs for 2.50 days.",
        "The mLSTM does not mix memory.",
        "It has a matrix memory.",
    ]


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("The cats are running", ["cat", "runn"]),
        ("1,500 and 1500 and 1500.0", ["1500", "1500", "1500"]),
        ("2.50 is 2.5", ["2.5", "2.5"]),
        ("three gates", ["3", "gat"]),
        ("3 gate", ["3", "gat"]),
        ("x = 1,5", ["1,5"]),
        ("ﬁnding normalizations", ["find", "normaliz"]),
        ("of the and", []),
        ("", []),
    ],
)
def test_words_are_compared_in_one_form(text, keys):
    assert [word.key for word in support.words(text)] == keys


@pytest.mark.parametrize(
    ("sentence", "supported"),
    [
        ("They use 1500 GPUs for 2.5 days", True),
        ("They use 1600 GPUs for 2.5 days", False),
        ("The mLSTM does not mix memory", True),
        ("The mLSTM mixes memory", False),
        ("The mLSTM has a matrix memory", True),
        ("The mLSTM has no matrix memory", False),
        ("No, the mLSTM does not mix memory", True),
        ("Transformers need attention over the whole context", False),
    ],
)
def test_support_needs_words_numbers_and_the_same_sign(sentence, supported):
    assert support.best_match(sentence, TEXT, SENTENCES).supports is supported


def test_the_marked_words_are_those_that_match():
    best = support.best_match("We use 1500 GPUs", TEXT, SENTENCES)
    assert [TEXT[a:b] for a, b in best.spans] == ["use 1,500 GPUs"]


def test_two_neighbouring_sentences_count_together():
    best = support.best_match("mLSTM: not mixing memory, but a matrix memory", TEXT, SENTENCES)
    assert best.supports and best.coverage == 1
    assert best.spans[0][0] < 63 < best.spans[-1][1]


def test_a_sentence_of_function_words_is_supported_by_nothing():
    assert not support.best_match("It is what it is.", TEXT, SENTENCES).supports


def test_a_passage_without_sentences_gives_no_match():
    assert support.best_match("anything", "", []) is None


@pytest.mark.parametrize(
    ("left", "right", "length"),
    [("abcd", "xbcy", 2), ("abc", "abc", 3), ("abc", "xyz", 0), ("", "abc", 0), ("aab", "ab", 2)],
)
def test_the_longest_common_run(left, right, length):
    assert support.longest_run(list(left), list(right)) == length


@pytest.mark.parametrize(
    ("sentence", "marked"),
    [
        ("It has 1.3B parameters", ["1.3B"]),
        ("It has 1500 parameters", []),
        ("Unlike GPT-4 it is small", ["GPT-4"]),
        ("Everything is small", []),
        ("It beats Mamba and the mLSTM", ["Mamba"]),
        ("BERT is small", ["BERT"]),
        ("It is small. Everything fits.", []),
        ("seven gates", ["seven"]),
    ],
)
def test_numbers_and_names_that_stand_nowhere_are_marked(sentence, marked):
    found = support.unknown_terms(sentence, [TEXT])
    assert [sentence[a:b] for a, b in found] == marked


def test_offsets_point_at_the_sentences_of_the_text_that_is_shown():
    whole = passage("One is here.", "Two is here.", "Three.", "One is here.")
    kept = passage("One is here.", "Two is here.", "Three.", "One is here.", kept=(0, 2, 3))
    for shown in (whole, kept):
        cut = [shown.text[a:b] for a, b in support.offsets(shown)]
        assert cut == [s.text for s in shown.sentences]
    assert support.offsets(kept)[2][0] == kept.text.rindex("One is here.")


def test_the_page_is_that_of_the_sentence_that_matches():
    first = passage("One.", "Two.", page=4)
    assert support.page_of(first, [(6, 8)]) == 4
    assert support.page_of(first, []) == 4


@pytest.mark.parametrize(
    ("written", "passage"),
    [
        (
            "no additional inference latency",
            "It introduces no additional inference latency, by design.",
        ),
        ("never converges", "Without it training never converges; with it, it does not diverge."),
        ("The cell is not updated.", "In this step the cell is not updated."),
    ],
)
def test_what_stands_word_for_word_is_supported_whatever_it_denies(written, passage):
    assert support.match(written, passage).supports


def test_words_of_another_order_with_a_denial_are_not():
    assert not support.match("it adds latency", "It adds no latency.").supports


@pytest.mark.parametrize(
    "unit", ["x1", "5 ", "no not ", "αx ", "The gate of cell 12 is not a cell. ", "1.", "[1] "]
)
def test_long_texts_cost_no_more_than_their_length(unit):
    def seconds(text: str) -> float:
        started = time.perf_counter()
        support.words.cache_clear()
        support.match(text, text)
        support.unknown_terms(text, ["nothing of it"])
        return time.perf_counter() - started

    text = unit * (80_000 // len(unit))
    pairs = ((seconds(text), seconds(text[:20_000])) for _ in range(3))
    assert any(whole < 0.2 or whole < 10 * part for whole, part in pairs)


def test_very_long_runs_are_counted_up_to_a_limit():
    assert support.longest_run(["a"] * 500, ["a"] * 400) == support.LONGEST_RUN

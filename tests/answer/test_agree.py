"""Words and passages in common, by hand."""

import pytest

from app.answer import agree


@pytest.mark.parametrize(
    ("answer", "gold", "f1"),
    [
        ("The matrix memory", "a matrix memory", 1.0),
        ("matrix memory", "matrix", 2 / 3),
        ("one one two", "one two two", 4 / 6),
        ("nothing here", "matrix", 0.0),
        ("", "", 1.0),
        ("ﬁne", "fine", 1.0),
    ],
)
def test_token_f1(answer, gold, f1):
    assert agree.token_f1(answer, [gold]) == pytest.approx(f1)


def test_normalisation():
    assert agree.normalised("The  U.S. (an) Army's") == "us armys"


def test_token_f1_is_that_of_the_nearest_gold():
    # said: width is 768; gold: 768 units -> 1 shared of 3 and 2
    assert agree.token_f1("The width is 768", ["twelve", "768 units"]) == pytest.approx(2 / 5)
    assert agree.token_f1("b b c", ["b b b"]) == pytest.approx(2 * 2 / 6)
    assert agree.token_f1("", [""]) == 1.0 and agree.token_f1("x", []) == 0.0
    assert agree.token_f1("", ["x"]) == 0.0


def test_content_words_of_one_text_in_another():
    assert agree.share_of_words("the gated memories of 7 heads", "memory has seven gates") == 0.75
    assert agree.share_of_words("of the", "anything") == 0.0


def test_what_is_common():
    assert agree.common({"a", "b"}, {"b", "c"}) == (1, 3)

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
        ("", "", 0.0),
        ("ﬁne", "fine", 1.0),
    ],
)
def test_token_f1(answer, gold, f1):
    assert agree.token_f1(answer, gold) == pytest.approx(f1)


def test_content_words_of_one_text_in_another():
    assert agree.share_of_words("the gated memories of 7 heads", "memory has seven gates") == 0.75
    assert agree.share_of_words("of the", "anything") == 0.0


def test_what_is_common():
    assert agree.common({"a", "b"}, {"b", "c"}) == (1, 3)

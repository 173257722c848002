"""Plain text and Markdown: inert, cut at the right places, with the right widths."""

import pytest

from app.show import text


def test_control_and_direction_characters_become_blanks_of_the_same_length():
    hostile = "a\x00b\x1b[31mc\x07\u202ed\u2028e\x85f"
    shown = text.plain(hostile)
    assert shown == "a b [31mc  d e f"
    assert len(shown) == len(hostile)


def test_letters_of_any_script_stay():
    same = "naïve Ω 漢字 – “quoted” ½ 𝛼 é"
    assert text.plain(same) == same


@pytest.mark.parametrize(
    ("spans", "joined"),
    [
        ([], []),
        ([(5, 9), (0, 3)], [(0, 3), (5, 9)]),
        ([(0, 5), (3, 8)], [(0, 8)]),
        ([(0, 5), (5, 8)], [(0, 8)]),
        ([(0, 20), (3, 4)], [(0, 10)]),
        ([(-4, 2), (4, 4), (7, 6), (12, 15)], [(0, 2)]),
    ],
)
def test_spans_are_ordered_joined_and_cut_to_the_text(spans, joined):
    assert text.merged(spans, 10) == joined


def test_pieces_put_together_are_the_text():
    words = "one two three four"
    cut = text.pieces(words, [(4, 7), (14, 18)])
    assert cut == [("one ", False), ("two", True), (" three ", False), ("four", True)]
    assert "".join(piece for piece, _ in cut) == words


def test_an_excerpt_begins_at_the_first_span_and_ends_at_a_blank():
    words = "alpha beta gamma delta epsilon zeta eta theta iota kappa"
    start, end = text.excerpt(words, [(11, 16)], width=12)
    assert words[start:end] == "gamma delta epsilon"
    assert words[end] == " "


def test_a_short_text_is_its_own_excerpt():
    assert text.excerpt("short", [], width=100) == (0, 5)


def test_an_excerpt_of_a_text_without_blanks_ends_with_it():
    assert text.excerpt("x" * 500, [], width=100) == (0, 500)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("a|b", "a&#124;b"),
        ("`x`", "&#96;x&#96;"),
        ("*b* _i_", r"\*b\* \_i\_"),
        ("[t](u)", r"\[t\](u)"),
        ("<b>&", "&lt;b&gt;&amp;"),
        ("$x$", "<span>$</span>x<span>$</span>"),
        ("a\nb", "a b"),
        ("# head", r"\# head"),
        ("1. item", r"1\. item"),
        ("- item", r"\- item"),
        ("~~gone~~", r"\~\~gone\~\~"),
        ("]]>", r"\]\]&gt;"),
    ],
)
def test_markdown_shows_the_characters_themselves(raw, shown):
    assert text.markdown(raw) == shown


def test_marked_markdown_keeps_blanks_outside_the_stars():
    assert text.markdown_marked("see the big cat now", [(7, 16)]) == "see the **big cat** now"


def test_a_table_has_one_line_per_row():
    assert text.markdown_table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0, "0 ms"), (0.0432, "43 ms"), (0.1, "0.1 s"), (12.34, "12.3 s")]
)
def test_seconds(value, shown):
    assert text.seconds(value) == shown


def test_bars_are_proportional_and_never_vanish():
    assert text.bar(5, 10, 20) == "█" * 10
    assert text.bar(0.001, 10, 20) == "█"
    assert text.bar(0, 10) == text.bar(3, 0) == ""


@pytest.mark.parametrize(
    ("args", "shown"),
    [
        ((12, 12, "12"), "p. 12"),
        ((12, 12, ""), "p. 12"),
        ((12, 13, "4181"), "pp. 12-13 (printed 4181)"),
        ((3, 3, "iii"), "p. 3 (printed iii)"),
    ],
)
def test_places_show_the_printed_number_only_where_it_differs(args, shown):
    assert text.pages(*args) == shown


def test_counts_agree_with_their_noun():
    assert text.count(1, "passage") == "1 passage"
    assert text.count(1200, "passage") == "1,200 passages"

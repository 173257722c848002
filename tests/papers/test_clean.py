"""What PDFs do to characters and lines, one fault a test; expected texts written by hand."""

from collections import Counter

import pytest

from app.papers.clean import (
    FontFaults,
    Line,
    compose_accents,
    drop_page_furniture,
    find_font_faults,
    join_lines,
    mend_characters,
    vocabulary,
)


def lines(*texts: str, size: float = 10, x: float = 72, top: float = 700) -> list[Line]:
    return [Line(text, x, top - 12 * i, size) for i, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("raw", "mended"),
    [
        ("e\ufb03cient \ufb01ne-tuning o\ufb00 \ufb02ow", "efficient fine-tuning off flow"),
        ("word\tword\u00a0word\u2009word", "word word word word"),
        ("zero\u200bwidth \ue000private", "zerowidth private"),
        ("self\u2010attention", "self-attention"),
        ("x\u00b2", "x2"),
    ],
)
def test_letters_become_plain(raw, mended):
    assert mend_characters(raw) == mended


def test_a_lost_sign_is_said_to_be_unreadable():
    assert mend_characters("answers \x13 and \x17") == "answers \ufffd and \ufffd"


@pytest.mark.parametrize(
    ("raw", "mended"),
    [
        ("detecci´on de im´agenes", "detección de imágenes"),
        ("los Objetivos Espec´ıficos", "los Objetivos Específicos"),
        ("J ¨urgen und M ¨unchen", "Jürgen und München"),
        ("EVALUACI ´ON", "EVALUACIÓN"),
        ("Tama˜no", "Tamaño"),
        ("Herv´e J´egou", "Hervé Jégou"),
    ],
)
def test_accents_join_their_letter(raw, mended):
    assert mend_characters(raw) == mended


def test_the_tilde_of_a_formula_stays_apart():
    assert mend_characters("˜O(1/n) and ˜ht") == "~O(1/n) and ~ht"


def test_slashes_of_glyph_names_and_control_ligatures_go():
    faults = FontFaults(slashes=True, ligatures=True)
    raw = 'insu/\x0ecient/, arti/\x0ccial /\row in /1/9/9/7/: /\\back/" /(f /\x7fur/)'
    mended = mend_characters(raw, faults)
    assert mended == "insufficient, artificial flow in 1997: “back” (für)"


def test_font_faults_are_found_only_where_they_are():
    odd = "in /1/9/9/7/, arti/\x0ccial insu/\x0ecient di/\x0berent/." * 50
    assert find_font_faults(odd) == (True, True)
    sound = "about 1/2 and/or 3 of (4), see https://x.org/a/1. ht = \x10 ct \x11 \x0c" * 50
    assert find_font_faults(sound) == (False, False)


def join(before: str, after: str, *elsewhere: str) -> str:
    return join_lines(before, after, vocabulary(lines(*elsewhere)))


@pytest.mark.parametrize(
    ("before", "after", "elsewhere", "joined"),
    [
        ("the per-", "plexity of", ["low perplexity here"], "the perplexity of"),
        ("revise storage deci-", "sions. We", ["nothing here"], "revise storage decisions. We"),
        ("uses self-", "attention in", ["the self-attention layer"], "uses self-attention in"),
        ("state-of-the-", "art results", ["art of the state"], "state-of-the-art results"),
        ("into pre-", "LayerNorm blocks", [], "into pre-LayerNorm blocks"),
        ("on Wikitext-", "103 (Merity", [], "on Wikitext-103 (Merity"),
        ("rainfall-", "runoff models", ["the rainfall and the runoff"], "rainfall-runoff models"),
        ("good. More-", "over, it", ["more and over"], "good. Moreover, it"),
        ("one –", "two", [], "one – two"),
        ("plain", "text", [], "plain text"),
    ],
)
def test_line_end_hyphens(before, after, elsewhere, joined):
    assert join(before, after, *elsewhere) == joined


def test_halves_of_words_are_no_vocabulary():
    counts = vocabulary(lines("we use the per-", "plexity of the model"))
    assert counts["per"] == counts["plexity"] == 0
    assert counts["model"] == 1


def test_page_numbers_go_only_when_they_count_pages():
    pages = [lines("text of page " + "abcdef"[n], str(n + 4)) for n in range(1, 6)]
    pages[2][-1] = Line("77", 72, 60, 10)  # the last cell of a table
    kept, furniture = drop_page_furniture(pages)
    assert [len(page) for page in kept] == [1, 1, 2, 1, 1]
    assert furniture.printed == {1: 5, 2: 6, 4: 8, 5: 9}


def test_page_and_volume_number_run_together_go():
    pages = [lines("text of page " + "abcdef"[n], f"{n}{769 + n}") for n in range(1, 5)]
    kept, furniture = drop_page_furniture(pages)
    assert all(len(page) == 1 for page in kept)
    assert furniture.printed == {1: 770, 2: 771, 3: 772, 4: 773}


def test_a_journal_number_that_begins_like_the_page_is_no_doubled_one():
    pages = [lines("text of page " + "abcdefghijklmn"[n], f"{1233 + n}") for n in range(1, 14)]
    kept, furniture = drop_page_furniture(pages)
    assert all(len(page) == 1 for page in kept)
    assert furniture.printed == {n: 1233 + n for n in range(1, 14)}


def test_the_page_number_in_a_running_head_is_read():
    heads = [f"{n + 434} | NATURE | VOL 521 | 28 MAY 2015" for n in range(1, 7)]
    pages = [lines(head, "text " + "abcdefg"[n]) for n, head in enumerate(heads)]
    kept, furniture = drop_page_furniture(pages)
    assert all(len(page) == 1 for page in kept)
    assert furniture.printed == {n: n + 434 for n in range(1, 7)}


def test_running_heads_go_and_headings_stay():
    pages = [
        lines(f"Learners of Tasks, page {n}", "3 Results", f"body {'x' * n}") for n in range(6)
    ]
    pages = [[*page[:1], *page[2:]] if n else page for n, page in enumerate(pages)]
    kept, _ = drop_page_furniture(pages)
    assert [line.text for line in kept[0]] == ["3 Results", "body "]
    assert all(len(page) == 1 for page in kept[1:])


@pytest.mark.parametrize("place", [0, -1])
def test_arxiv_stamp_is_taken_and_removed(place):
    stamp = Line("arXiv:2405.04517v1  [cs.LG]  7 May 2024", 20, 300, 20, turned=True)
    page = lines("A Title", "some text")
    page.insert(0 if place == 0 else 2, stamp)
    kept, found = drop_page_furniture([page])
    assert found.arxiv_id == "2405.04517v1"
    assert [line.text for line in kept[0]] == ["A Title", "some text"]


def test_join_needs_no_vocabulary():
    assert join_lines("inter-", "national", Counter()) == "international"


@pytest.mark.parametrize("text", ["`code` and", "` a", "the `a` and `e` cells"])
def test_a_backtick_is_a_mark_and_no_accent(text):
    assert compose_accents(text) == text

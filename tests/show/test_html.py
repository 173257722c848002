"""HTML: escaped, balanced, self-contained."""

import re

import pytest
from html_reading import read

from app.show import html

HOSTILE = (
    '<script>alert(1)</script> & "quotes" \' $x$ \\(y\\) \\[z\\] | `code` ]]> <!-- </style> '
    "\x00\x1b\u202e"
)


def test_hostile_text_is_shown_as_text():
    page = read(html.container(html.tag("p", html.escape(HOSTILE)), label=HOSTILE))
    assert set(page.names) == {"section", "style", "p", "span"}
    assert "".join(page.text).rstrip() == HOSTILE[:-3].rstrip()


def test_no_text_node_holds_a_formula():
    page = read(html.escape("costs $5 and $6, \\(x\\)"))
    assert not any("$" in part and part != "$" for part in page.text)
    assert not any("\\" in part and part != "\\" for part in page.text)


def test_attributes_cannot_be_left():
    page = read(html.tag("a", "x", href='"><script>', title="a'b", hidden=True, lang=None))
    assert page.names == ["a"]
    assert dict(page.attributes) == {"href": '"><script>', "title": "a'b", "hidden": None}


def test_marks_stand_around_the_spans():
    assert html.marked("a <b> c", [(2, 5)]) == "a <mark>&lt;b&gt;</mark> c"


def test_every_container_has_its_own_id():
    ids = [re.search(r'id="([^"]+)"', html.container("same", label="x"))[1] for _ in range(3)]
    assert len(set(ids)) == 3


@pytest.mark.parametrize(
    ("path", "base", "address"),
    [
        ("data/papers/X.pdf", ".", "data/papers/X.pdf#page=3"),
        ("data/papers/a b#c.pdf", ".", "data/papers/a%20b%23c.pdf#page=3"),
        ("javascript:alert(1).pdf", ".", "javascript%3Aalert%281%29.pdf#page=3"),
        ("data/bad\udcff é.pdf", ".", "data/bad%FF%20%C3%A9.pdf#page=3"),
        ("data/papers/X.pdf", "data", "papers/X.pdf#page=3"),
        ("data/papers/X.pdf", "docs/notes", "../../data/papers/X.pdf#page=3"),
    ],
)
def test_page_links_are_relative_and_quoted(path, base, address):
    assert html.page_href(path, 3, base=base) == address


def test_a_paper_elsewhere_gets_a_relative_path(tmp_path, monkeypatch):
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert html.page_href(tmp_path / "far" / "Y.pdf", 1) == "../far/Y.pdf#page=1"


def test_a_table_names_its_rows_and_columns():
    page = read(html.table("what it is", ["", "one", "two"], [("row", ["1", "2"])]))
    assert page.names.count("th") == 4
    assert ("scope", "col") in page.attributes and ("scope", "row") in page.attributes
    assert "caption" in page.names


def test_bars_stay_within_their_box():
    assert "width:100.0%" in html.bar(7, 3)
    assert "width:0.0%" in html.bar(1, 0)
    assert "width:50.0%" in html.bar(1, 2)


def test_the_style_is_short_and_asks_for_nothing_from_outside():
    style = html.style()
    assert len(style.splitlines()) < 60
    assert not re.search(r"@import|url\(|https?:|<", style)
    for theme in ("light-dark(", "color-scheme: light dark", 'data-jp-theme-light="false"'):
        assert theme in style


def test_every_rule_of_the_style_is_kept_to_the_container():
    style = re.sub(r"/\*.*?\*/|@(?:supports|media)[^{]*\{", "", html.style(), flags=re.S)
    for selectors in re.findall(r"([^{}]+)\{", style):
        for selector in selectors.split(","):
            assert ".xqa" in selector, selector


def test_a_page_for_a_file_says_its_encoding_and_title():
    whole = html.document("a <b> $x$", html.tag("p", "é"))
    page = read(whole)
    assert whole.startswith("<!DOCTYPE html>") and ("charset", "utf-8") in page.attributes
    assert page.names == ["html", "head", "meta", "title", "meta", "body", "p"]
    assert "".join(page.text).strip() == "a <b> $x$é"

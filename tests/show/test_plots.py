"""Drawings: nothing global, both themes, figures in words, text that is not typeset."""

import sys

import pytest
from html_reading import read

from app.show import plots
from app.show.plots import Curve, Growth, Panel

TWO = Panel("Seconds", ["one", "two"], {"first": [1.0, 2.0], "then": [0.5, 1234.0]})


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb as WCAG 2 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_and_bars_stand_out_from_the_page(theme):
    ink, soft, page, fills = plots._COLOURS[theme]
    assert min(contrast(ink, page), contrast(soft, page)) >= 4.5
    assert min(contrast(fill, page) for fill in fills) >= 3


def test_bars_have_their_lengths_and_ends():
    drawn = plots.figure([TWO])
    bars = list(drawn.axes[0].patches)
    assert [bar.get_width() for bar in bars] == [1.0, 2.0, 0.5, 1234.0]
    assert [bar.get_x() for bar in bars] == [0.0, 0.0, 1.0, 2.0]
    assert bars[2].get_hatch() != bars[0].get_hatch()
    assert [each.get_text() for each in drawn.axes[0].texts] == ["1.5", "1,236"]


def test_the_figures_are_said_in_words():
    told = plots.in_words(TWO)
    assert told == "Seconds: one 1.5 (first 1, then 0.5), two 1,236 (first 2, then 1,234)"
    assert plots.in_words(Panel("%", ["a"], {"": [50]})) == "%: a 50"


def test_a_plot_has_a_picture_for_each_theme_and_the_dark_one_is_hidden():
    made = plots.plot("Title", [TWO, Panel("%", ["a"], {"": [0.0]}, most=100.0)])
    page = read(made._repr_html_())
    assert page.names.count("img") == 2
    assert [v for n, v in page.attributes if n == "alt"] == [made.words] * 2
    assert [n for n, _ in page.attributes].count("hidden") == 1
    sources = [v for n, v in page.attributes if n == "src"]
    assert all(s.startswith("data:image/png;base64,") for s in sources) and len(set(sources)) == 2
    assert made._repr_png_().startswith(b"\x89PNG")


def test_hostile_names_are_drawn_as_text():
    made = plots.plot("<b>$x$", [Panel("$\\frac", ["$\\alpha <i>"], {"": [1.0]})])
    page = read(made._repr_html_())
    assert not {"b", "i"} & set(page.names)
    assert made.light.axes[0].get_yticklabels()[0].get_text() == r"\$\alpha <i>"
    assert made._repr_png_()


def test_curves_go_by_powers_of_ten_and_end_in_figures():
    curves = [Curve("$a$", [10, 1000], [0.5, 50]), Curve("b", [10, 1000], [1, 1234])]
    drawn = plots.growth([Growth("Seconds", "chunks", curves), Growth("GB", "chunks", curves[:1])])
    first, second = drawn.axes
    assert [list(line.get_xydata().flat) for line in first.lines] == [
        [10, 0.5, 1000, 50],
        [10, 1, 1000, 1234],
    ]
    assert first.get_xscale() == first.get_yscale() == "log"
    assert [each.get_text() for each in first.texts] == ["50", "1,234"]
    assert [each.get_text() for each in first.get_legend().texts] == [r"\$a\$", "b"]
    assert (
        second.get_legend() is None and first.lines[0].get_marker() != first.lines[1].get_marker()
    )
    assert plots.png(drawn).startswith(b"\x89PNG")


def test_pyplot_is_not_imported():
    before = "matplotlib.pyplot" in sys.modules
    plots.plot("Title", [TWO])
    assert ("matplotlib.pyplot" in sys.modules) == before

"""Bars and curves drawn with matplotlib, for a light and a dark page, with their figures in words.

It sees names and numbers only, and changes no setting of matplotlib: pyplot is never imported.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from app.show import html, text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Theme = Literal["light", "dark"]
# ink, soft ink, page, fills of the parts of a bar; each fill stands out from its page by 3 to 1
_COLOURS = {
    "light": ("#1c2128", "#59636e", "#ffffff", ("#2f6db3", "#c05f00", "#0b7a57")),
    "dark": ("#e3e7ec", "#9aa5b1", "#15191e", ("#6fa8e8", "#f0a868", "#5cc79f")),
}
_HATCHES = ("", "//", "..")  # the parts also differ without colour
_MARKS = "osD"  # so do curves
_DOTS_PER_INCH = 130


@dataclass(frozen=True, slots=True)
class Panel:
    """Bars under one title: a name each, and for each part its values (a lone part has no name).

    The parts of a bar stand end to end; `most` is where the axis ends, None for the longest bar.
    """

    title: str
    names: Sequence[str]
    parts: Mapping[str, Sequence[float]]
    most: float | None = None

    def totals(self) -> list[float]:
        """The length of each bar."""
        return [sum(values) for values in zip(*self.parts.values())]


@dataclass(frozen=True, slots=True)
class Curve:
    """Values by size, all above 0; a lone curve of a drawing has no name."""

    name: str
    sizes: Sequence[float]
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Growth:
    """Curves under one title, both axes by powers of ten; `along` says what the sizes count."""

    title: str
    along: str
    curves: Sequence[Curve]


@dataclass(frozen=True, slots=True)
class Plot:
    """One drawing for light and for dark pages, with its figures in words for who cannot see it."""

    title: str
    words: str
    light: "Figure"
    dark: "Figure"

    def _repr_html_(self) -> str:
        # where styles are stripped the dark one stays hidden
        images = (
            html.tag(
                "img", src=data_address(figure), alt=self.words, class_=name, hidden=name == "dark"
            )
            for name, figure in (("light", self.light), ("dark", self.dark))
        )
        return html.container(*images, label=self.title)

    def _repr_png_(self) -> bytes:
        return png(self.light)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

    def __str__(self) -> str:
        return text.plain(f"{self.title}: {self.words}")


def plot(title: str, panels: Sequence[Panel]) -> Plot:
    """Panels side by side, drawn for both themes."""
    told = "; ".join(in_words(panel) for panel in panels)
    return Plot(title, told, figure(panels, "light"), figure(panels, "dark"))


def in_words(panel: Panel) -> str:
    """The figures of a panel: `Seconds: bm25 1.2 (retrieve 0.2, answer 1)`."""
    told = []
    for column, (name, total) in enumerate(zip(panel.names, panel.totals())):
        parts = ", ".join(f"{part} {number(row[column])}" for part, row in panel.parts.items())
        told.append(f"{name} {number(total)}" + (f" ({parts})" if len(panel.parts) > 1 else ""))
    return f"{panel.title}: {', '.join(told)}"


def number(value: float) -> str:
    """Three figures at most where it is small, thousands separated where it is large."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def figure(panels: Sequence[Panel], theme: Theme = "light") -> "Figure":
    """Panels side by side as a matplotlib figure; nothing global is touched."""
    from matplotlib.figure import Figure  # heavy, and only plots need it

    ink, _, page, _ = _COLOURS[theme]
    most = max(len(panel.names) for panel in panels)
    size = (4.2 * len(panels), 1.15 + 0.42 * most)
    drawn = Figure(figsize=size, facecolor=page, layout="constrained")
    for axes, panel in zip(drawn.subplots(1, len(panels), squeeze=False)[0], panels):
        draw(axes, panel, theme)
        axes.set_title(literal(panel.title), color=ink, fontsize=11, loc="left")
    return drawn


def draw(axes: "Axes", panel: Panel, theme: Theme) -> None:
    """The bars of a panel, the first name on top, with their lengths in figures."""
    ink, soft, page, fills = _COLOURS[theme]
    totals = panel.totals()
    most = panel.most or max(totals, default=0.0) or 1.0
    ends = [0.0] * len(panel.names)
    rows = range(len(panel.names))
    for place, (part, values) in enumerate(panel.parts.items()):
        axes.barh(
            rows,
            values,
            left=ends,
            height=0.62,
            color=fills[place % len(fills)],
            edgecolor=page,
            linewidth=0.6,
            hatch=_HATCHES[place % len(_HATCHES)],
            label=literal(part) or None,
        )
        ends = [end + value for end, value in zip(ends, values)]
    for row, total in zip(rows, totals):
        axes.text(total + 0.02 * most, row, number(total), va="center", color=ink, fontsize=10)
    axes.set_yticks(rows, [literal(name) for name in panel.names], color=ink, fontsize=10)
    axes.set_xlim(0, 1.18 * most)
    axes.invert_yaxis()
    axes.set_facecolor(page)
    axes.tick_params(axis="x", colors=soft, labelsize=9)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(soft)
    if len(panel.parts) > 1:
        axes.figure.legend(
            loc="outside lower right", ncols=3, frameon=False, labelcolor=ink, fontsize=9
        )


def growth(panels: Sequence[Growth], theme: Theme = "light") -> "Figure":
    """Curves side by side as a matplotlib figure; each end bears its value in figures."""
    from matplotlib.figure import Figure

    ink, soft, page, fills = _COLOURS[theme]
    drawn = Figure(figsize=(4.2 * len(panels), 3.4), facecolor=page, layout="constrained")
    for axes, panel in zip(drawn.subplots(1, len(panels), squeeze=False)[0], panels):
        for place, curve in enumerate(panel.curves):
            look = {"color": fills[place % len(fills)], "marker": _MARKS[place % len(_MARKS)]}
            axes.loglog(curve.sizes, curve.values, label=literal(curve.name) or None, **look)
            last = (curve.sizes[-1], curve.values[-1])
            at = {"xytext": (4, 4), "textcoords": "offset points"}
            axes.annotate(number(last[1]), last, color=ink, fontsize=9, **at)
        axes.set_title(literal(panel.title), color=ink, fontsize=11, loc="left")
        axes.set_xlabel(literal(panel.along), color=soft, fontsize=9)
        axes.margins(x=0.14, y=0.12)
        axes.set_facecolor(page)
        axes.tick_params(colors=soft, labelsize=9)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["bottom", "left"]].set_color(soft)
        if len(panel.curves) > 1:
            axes.legend(frameon=False, labelcolor=ink, fontsize=9)
    return drawn


def literal(words: str) -> str:
    """Text that matplotlib shows as it is: `$` would begin a formula."""
    return text.plain(words).replace("$", r"\$")


def png(drawn: "Figure") -> bytes:
    """The figure as a PNG."""
    out = io.BytesIO()
    drawn.savefig(out, format="png", dpi=_DOTS_PER_INCH, facecolor=drawn.get_facecolor())
    return out.getvalue()


def data_address(drawn: "Figure") -> str:
    """The figure as an address that holds all of it."""
    return "data:image/png;base64," + base64.b64encode(png(drawn)).decode("ascii")

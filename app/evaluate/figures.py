"""Figures of an evaluation of retrieval, drawn with matplotlib into PNG files.

They hold no figure that the table or its rows do not hold.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app.evaluate.questions import Question
from app.evaluate.retrieval import BUDGETS
from app.retrieve.library import Library

COLOURS = ("#0b5fa5", "#b4530a", "#2d7d46", "#8b3a8f", "#6b6b6b", "#a61b29", "#007c89")
MARKS = "osD^vPX"  # no retriever is told by its colour alone
DOTS_PER_INCH = 150


def draw_budgets(records: Sequence[dict[str, Any]], path: Path) -> None:
    """Share of questions whose evidence stands in the first so many characters, by retriever."""
    from matplotlib.figure import Figure  # no pyplot: no window, no state

    figure = Figure(figsize=(9, 4), layout="constrained")
    scopes = list(dict.fromkeys(record["scope"] for record in records))
    titles = {"all": "all papers in one index", "paper": "the right paper only"}
    panels = figure.subplots(1, len(scopes), sharey=True, squeeze=False)[0]
    for axes, scope in zip(panels, scopes):
        own = [record for record in records if record["scope"] == scope]
        for i, record in enumerate(own):
            shares = [100 * record[f"evidence in {budget}"] for budget in BUDGETS]
            look = {"color": COLOURS[i % len(COLOURS)], "marker": MARKS[i % len(MARKS)]}
            axes.plot(BUDGETS, shares, label=record["retriever"], **look)
        axes.set_title(f"{titles[scope]}, {own[0]['n']} questions", fontsize=10)
        axes.set_xlabel("characters given to the reader")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("evidence among them, %")
    panels[-1].legend(frameon=False, fontsize=9)
    _save(figure, path)


def draw_scores(library: Library, questions: Sequence[Question], path: Path) -> None:
    """Cosines of the chunks on the right page, against those of the ten best on other pages."""
    from matplotlib.figure import Figure

    right, wrong = scores(library, questions)
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    bins = np.linspace(0, 1, 41)
    for values, label, colour, hatch in (
        (wrong, "ten best on other pages", COLOURS[4], "//"),
        (right, "best on the right page", COLOURS[0], ""),
    ):
        look = {"color": colour, "alpha": 0.55, "hatch": hatch, "edgecolor": "white"}
        axes.hist(values, bins=bins, density=True, label=f"{label} ({len(values)})", **look)
    axes.set_xlabel("cosine of question and chunk")
    axes.set_ylabel("density")
    axes.set_title(f"{len(questions)} questions, all papers in one index", fontsize=10)
    axes.legend(frameon=False, fontsize=9)
    _save(figure, path)


def scores(library: Library, questions: Sequence[Question]) -> tuple[list[float], list[float]]:
    """Best cosine on each question's right page, and those of the ten best chunks elsewhere."""
    right, wrong = [], []
    for question in questions:
        own, others = [], []
        for passage in library.retriever("similarity", k=100).search(question.question):
            chunk = passage.chunk
            there = chunk.paper == question.paper
            there = there and chunk.page <= question.page <= chunk.last_page
            (own if there else others).append(passage.score)
        right += own[:1]
        wrong += others[:10]
    return right, wrong


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DOTS_PER_INCH)

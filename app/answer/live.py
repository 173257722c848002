"""A comparison shown while it is made: passages first, then the answers as they are written.

In a notebook one output is replaced until it is the finished comparison; elsewhere it is text.
"""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from app.answer.answer import Searcher
from app.answer.compare import WAITING, Comparison, compare
from app.answer.records import Answer
from app.answer.report import Report
from app.show import text

SECONDS_BETWEEN = 0.2  # a page is drawn at most so often


def watch(
    question: str | Sequence[str],
    retrievers: Sequence[Searcher],
    *,
    stream: TextIO | None = None,
    **settings: Any,
) -> Comparison | Report:
    """The same as `compare`, shown while it is made.

    Args:
        question: One, or a list of them.
        retrievers: As in `compare`, as are the errors.
        stream: Where text goes outside of a notebook; None for the standard output.
        settings: `reader`, `mode`, `k` and `gold`, as `compare` takes them.

    Returns:
        What `compare` returns. In a notebook the output holds it already, so keep it in a variable.
    """
    screen = notebook_screen() or TextScreen(stream or sys.stdout)
    return compare(question, retrievers, show=screen.show, **settings)


class TextScreen:
    """Writes what is new: the passages when they are there, each answer as it grows."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._before: Comparison | None = None

    def show(self, what: Comparison | Report, final: bool) -> None:
        """Write what was not there the last time; at the end, the whole."""
        before = self._before
        if isinstance(what, Report):
            new = f"\n\n{what}\n"
        elif before is None or before.question != what.question:
            new = found_text(what)
        else:
            new = "".join(map(added, what.columns, before.answers, what.answers))
            new += f"\n\n{what}\n" if final else ""
        if isinstance(what, Comparison):
            self._before = None if what.complete else what
        self._stream.write(new)
        self._stream.flush()


def found_text(comparison: Comparison) -> str:
    """The question and the places that each found, for a terminal, before there are answers."""
    lines = [text.wrapped(comparison.question)]
    for name, answer in zip(comparison.columns, comparison.answers):
        places = [text.pages(s.page, s.last_page, s.label) for s in answer.sources]
        told = ", ".join(places) if places else "nothing"
        lines.append(text.wrapped(f"{name} found {told}", indent="    ", first="  "))
    return "\n".join(lines) + "\n"


def added(name: str, before: Answer, now: Answer) -> str:
    """What an answer has gained in words since it was shown; first of all its column's name."""
    if now.text == before.text:
        return ""
    if before.text == WAITING:
        return f"\n{text.plain(name)}: {inert(now.text)}"
    if now.text.startswith(before.text):
        return inert(now.text[len(before.text) :])
    return ""  # it was written already, and is now cut into sentences


def inert(words: str) -> str:
    """Lines that a terminal shows and does not obey."""
    return "\n".join(map(text.plain, words.split("\n")))


class NotebookScreen:
    """One output of a cell, replaced until it is final."""

    def __init__(self, display: Callable[..., Any]) -> None:
        self._display, self._handle, self._since = display, None, 0.0

    def show(self, what: Comparison | Report, final: bool) -> None:
        """Show it in place of what was there; what comes too soon is left out."""
        now = time.monotonic()
        if self._handle is None:
            self._handle = self._display(what, display_id=True)
        elif final or now - self._since >= SECONDS_BETWEEN:
            self._handle.update(what)
        else:
            return
        self._since = now


def notebook_screen() -> NotebookScreen | None:
    """A screen where this runs in a notebook's kernel; there IPython is loaded already."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if getattr(shell, "kernel", None) is None:
        return None
    return NotebookScreen(ipython.display.display)

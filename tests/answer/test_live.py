"""Shown while it is made: passages before answers, one output, the same result as without."""

import io
import sys
from types import SimpleNamespace

import pytest
from fakes import FakeReader, FakeRetriever, passage

from app.answer import live
from app.answer.compare import WAITING, Comparison, compare, compare_steps
from app.answer.report import Report

A = "The first passage speaks of gates."
B = "The second passage speaks of memory."


def retrievers():
    one = FakeRetriever([passage(A, page=3)], name="one")
    return [one, FakeRetriever([passage(B, page=8, number=1)], name="two")]


def same(one: Comparison, other: Comparison) -> bool:
    return [a.text for a in one.answers] == [a.text for a in other.answers]


def test_all_passages_are_there_before_the_first_answer():
    first, *_, last = compare_steps("Which?", retrievers(), FakeReader())
    assert [len(a.sources) for a in first.answers] == [1, 1]
    assert [a.text for a in first.answers] == [WAITING, WAITING]
    assert not first.complete and last.complete
    assert "found nothing" not in str(first) and "Evidence" not in first.differences


def test_answers_grow_one_after_the_other():
    reader = FakeReader(writes=["The first ", "passage"], held=["second passage"])
    texts = [
        tuple(a.text for a in c.answers)
        for c in compare_steps("Which?", retrievers(), reader, mode="short")
    ]
    assert ("The first passage", WAITING) in texts
    assert texts[-1] == ("The first passage", "second passage")


def test_time_that_a_watcher_takes_is_not_counted(monkeypatch):
    seconds = iter(range(10_000))
    monkeypatch.setattr("app.answer.answer.time.perf_counter", lambda: float(next(seconds)))
    reader = FakeReader(writes=["a", "b", "c"])
    plain = compare("Which?", retrievers(), reader=reader, mode="short")
    watched = []
    for comparison in compare_steps("Which?", retrievers(), reader, mode="short"):
        watched.append(comparison)
        [next(seconds) for _ in range(50)]
    assert [a.timings for a in watched[-1].answers] == [a.timings for a in plain.answers]


def test_outside_a_notebook_it_is_text_passages_first():
    out, reader = io.StringIO(), FakeReader(held=["It is ", "\x1b[31m gates."])
    made = live.watch("Which?", retrievers(), reader=reader, mode="short", stream=out)
    shown = out.getvalue()
    assert shown.index("one found p. 3") < shown.index("two found p. 8") < shown.index("one: It is")
    assert shown.count("one: It is") == 1 and shown.rstrip().endswith(str(made).rstrip())
    assert "\x1b" not in shown
    assert same(made, compare("Which?", retrievers(), reader=reader, mode="short"))


def test_several_questions_end_in_a_report():
    out = io.StringIO()
    made = live.watch(["Which?", "Why?"], retrievers(), reader=FakeReader(), stream=out)
    assert isinstance(made, Report) and out.getvalue().rstrip().endswith(str(made).rstrip())
    assert out.getvalue().count("one found p. 3") == 2


class Handle:
    def __init__(self, shown):
        self.shown = shown

    def update(self, what):
        self.shown.append(what)


def in_a_notebook(monkeypatch) -> list:
    shown = []

    def display(what, display_id):
        assert display_id is True
        shown.append(what)
        return Handle(shown)

    stand_in = SimpleNamespace(
        get_ipython=lambda: SimpleNamespace(kernel=object()),
        display=SimpleNamespace(display=display),
    )
    monkeypatch.setitem(sys.modules, "IPython", stand_in)
    return shown


@pytest.mark.parametrize("between", [0.0, 1e9])
def test_in_a_notebook_one_output_is_replaced_and_ends_with_the_result(monkeypatch, between):
    shown = in_a_notebook(monkeypatch)
    monkeypatch.setattr(live, "SECONDS_BETWEEN", between)
    made = live.watch("Which?", retrievers(), reader=FakeReader())
    assert shown[-1] is made and not shown[0].complete
    assert (len(shown) == 2) == (between > 0)


def test_in_a_notebook_a_report_takes_the_place_of_its_parts(monkeypatch):
    shown = in_a_notebook(monkeypatch)
    made = live.watch(["Which?", "Why?"], retrievers(), reader=FakeReader())
    assert shown[-1] is made and isinstance(shown[0], Comparison)


def test_gold_needs_a_list():
    with pytest.raises(ValueError, match="list of questions"):
        live.watch("Which?", retrievers(), reader=FakeReader(), gold=[None])

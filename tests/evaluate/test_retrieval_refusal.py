"""Cases of unanswerable questions, and rules tried on other papers, by hand."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from tests.answer.fakes import FakeReader, FakeRetriever, passage

from app.answer.calibration import Rule
from app.evaluate import refusal
from app.evaluate.questions import Question
from app.evaluate.refusal import ANSWERABLE, REMOVED, UNANSWERABLE, Case


def case(kind, value, paper="a.pdf"):
    return Case("1", paper, kind, {"similarity": value})


def test_each_half_of_the_papers_is_judged_by_the_other():
    made = []
    for paper in ("a.pdf", "b.pdf"):
        made += [case(ANSWERABLE, 0.6 + i / 100, paper) for i in range(10)]
        made += [case(REMOVED, 0.1 + i / 100, paper) for i in range(10)]
        made += [case(UNANSWERABLE, 0.3, paper)]
    own = Rule({"similarity": 1.0}, constant=0.0, threshold=0.145)
    lines = refusal.table(made, [("similarity",)], own).split("\n")
    # the threshold lies between 0.60 and 0.61: one of ten in each half
    expected = "| similarity | 2 of 20 | 1.00 | 2 of 2 | 0.67 | 1.00 | 20 of 20 | 0.95 |"
    assert lines[-2] == expected
    # below 0.145: 0.10 to 0.14 of each paper
    expected = "| the reader's own rule | 0 of 20 | 1.00 | 0 of 2 | 0.00 | 1.00 | 10 of 20 | 0.67 |"
    assert lines[-1] == expected


def test_cases_of_retrieved_passages():
    texts = ["the right one of all", "another with words of it", "a third one"]
    found = [passage(text, page=4 + n, rank=n + 1, number=n) for n, text in enumerate(texts)]
    retriever = FakeRetriever(found, {texts[0]: 0.8, texts[1]: 0.6, texts[2]: 0.1})
    library = SimpleNamespace(retriever=lambda name, k, papers: retriever)
    question = Question("q", "a.pdf", "Which words?", texts[0], 4)
    first, second = refusal.cases(library, [question], FakeReader(), k=1)
    assert (first.kind, second.kind) == (ANSWERABLE, REMOVED)
    assert (first.question["similarity"], second.question["similarity"]) == (0.8, 0.6)
    assert (first.question["words"], second.question["words"]) == pytest.approx((0.0, 1.0))
    (alone,) = refusal.cases(library, [replace(question, evidence="", page=0)], FakeReader(), k=1)
    assert alone.kind == UNANSWERABLE

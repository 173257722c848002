"""The score that tells answerable questions from others, against values computed by hand."""

import math

import numpy as np
import pytest

from app.evaluate import refusal
from app.evaluate.refusal import ANSWERABLE, REMOVED, UNANSWERABLE, Case


def case(kind, value, paper="a.pdf", noise=0.0):
    return Case("1", paper, kind, {"sentence cosine": value, "noise": noise})


def test_logistic_regression_stands_where_its_slope_is_zero():
    values = np.array([[-1.0], [-1.0], [1.0], [1.0]])
    weight, constant = refusal.logistic(values, np.array([0.0, 0, 1, 1]))
    # by symmetry no constant; 4 (1 - chance(weight)) = ridge * weight
    assert constant == pytest.approx(0, abs=1e-9)
    assert 4 * (1 - 1 / (1 + math.exp(-weight))) == pytest.approx(weight)


def test_a_threshold_refuses_a_twentieth_of_the_answerable():
    answerable = [case(ANSWERABLE, i / 100, noise=i % 7) for i in range(41, 81)]
    others = [case(REMOVED, i / 100, noise=i % 5) for i in range(1, 41)]
    score = refusal.calibrate(answerable, others, ["sentence cosine", "noise"])
    refused = [c for c in answerable if score.of(c.signals) < score.threshold]
    assert len(refused) == 2
    assert all(score.of(c.signals) < score.threshold for c in others)


def test_each_half_of_the_papers_is_judged_by_the_other():
    made = []
    for paper in ("a.pdf", "b.pdf"):
        made += [case(ANSWERABLE, 0.6 + i / 100, paper) for i in range(10)]
        made += [case(REMOVED, 0.1 + i / 100, paper) for i in range(10)]
        made += [case(UNANSWERABLE, 0.3, paper)]
    lines = refusal.table(made, [("sentence cosine",)]).split("\n")
    # the threshold lies between 0.60 and 0.61: one of ten in each half
    expected = "| sentence cosine | 2 of 20 | 1.00 | 2 of 2 | 0.67 | 1.00 | 20 of 20 | 0.95 |"
    assert lines[-1] == expected


def test_signals_and_cases_of_real_retrieval():
    from types import SimpleNamespace

    from app.papers.records import Chunk, Passage, Sentence, Span

    def passage(number, page, text):
        sentences = (Sentence(text, 0, len(text), (Span(page, 0, len(text)),)),)
        spans = (Span(page, 0, len(text)),)
        chunk = Chunk(str(number), "a.pdf", "T", "S", "main", str(page), text, spans, sentences)
        return Passage(chunk, 1 / number, number, "x")

    found = [passage(1, 4, "the right one"), passage(2, 5, "another"), passage(3, 6, "a third")]
    vectors = {"1": [0.8, 0.6], "2": [0.6, 0.8], "3": [0.0, 1.0]}
    retriever = SimpleNamespace(
        search=lambda question, k: found,
        sentence_scores=lambda question, passage: [0.1 * passage.rank],
        library=SimpleNamespace(
            embedder=SimpleNamespace(encode_question=lambda question: np.array([1.0, 0.0])),
            vector=lambda id: np.array(vectors[id]),
            words=SimpleNamespace(cover=lambda question, texts: [len(texts[0]) / 100]),
        ),
    )
    library = SimpleNamespace(retriever=lambda name, k, papers: retriever)
    record = {"id": "q", "paper": "a.pdf", "question": "Which?", "answerable": True}
    record |= {"page": 4, "evidence": "the right one"}
    first, second = refusal.cases(library, [record], None, k=1)
    assert (first.kind, second.kind) == (ANSWERABLE, REMOVED)
    assert first.signals == pytest.approx(
        {"chunk cosine": 0.8, "sentence cosine": 0.1, "word cover": 0.13}
    )
    assert second.signals["chunk cosine"] == 0.6 and second.signals["word cover"] == 0.07
    (alone,) = refusal.cases(library, [{**record, "answerable": False}], None, k=1)
    assert alone.kind == UNANSWERABLE

"""On the real papers: places are right, the known pages are found, compression keeps evidence."""

import re
import unicodedata

import pytest

from app.evaluate import retrieval
from app.evaluate.questions import read_questions
from app.retrieve.library import Library

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def real(shared, tmp_path_factory):
    paths = sorted((shared / "papers").glob("*.pdf"))
    return Library.open(paths, index=tmp_path_factory.mktemp("index"), progress=False)


@pytest.fixture(scope="module")
def questions(shared, real):
    papers = [paper.file for paper in real.papers]
    return read_questions(shared / "eval" / "pdf_questions.jsonl", papers)


def letters(text):
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text)).lower()


def test_unreadable_papers_are_named_and_the_others_load(real):
    assert {failure.file for failure in real.failures} == {
        "bengio-1994-scanned.pdf",
        "therac-garbled-fonts.pdf",
    }
    assert len(real.papers) == 17


@pytest.mark.parametrize("name", ["similarity", "compression"])
def test_every_page_shown_is_the_page_of_the_words(real, questions, name):
    shown = 0
    papers = {paper.file: paper for paper in real.papers}
    for question in questions:
        for document in real.retriever(name, k=5).invoke(question.question):
            pages = papers[document.metadata["paper"]].pages
            pieces = [pages[page - 1].text[a:b] for page, a, b in document.metadata["spans"]]
            assert letters("".join(pieces)) == letters(document.page_content)
            if letters(question.evidence) in letters(document.page_content):
                about = document.metadata
                assert about["page"] <= question.page <= about["last_page"], question.id
                shown += 1
    assert shown > len(questions) / 3


def test_known_pages_are_found(real, questions):
    names = ["hybrid", "similarity", "bm25", "compression"]
    rows = retrieval.evaluate(real, questions, names, ["main"])
    # settings were tried on the other half; seen here: 90.9 and 98.2 %; MRR .771 against .706 and
    # .755; evidence in 1,000 characters 63.6 and 69.1 % against 61.8 and 67.3 % in the 2,000 of
    # similarity
    for half in ("reporting", None):
        own = retrieval.of_half(rows, half)
        found = {(r["retriever"], r["scope"]): r for r in retrieval.summary(own)}
        assert found["hybrid", "all"]["page@5"] >= 0.85
        assert found["hybrid", "paper"]["page@5"] >= 0.92
        assert found["hybrid", "all"]["mrr"] > found["similarity", "all"]["mrr"]
        assert found["hybrid", "all"]["mrr"] > found["bm25", "all"]["mrr"]
        for scope in ("all", "paper"):
            kept = found["compression", scope]["evidence in 1000"]
            assert kept >= found["similarity", scope]["evidence in 2000"]


@pytest.mark.parametrize("name, seen", [("hybrid", 0.855), ("compression", 0.911)])
def test_questions_across_papers_find_the_right_one(real, questions, name, seen):
    retriever = real.retriever(name, k=1)
    first = [retriever.search(question.question)[0].chunk.paper for question in questions]
    right = sum(paper == question.paper for paper, question in zip(first, questions))
    assert right / len(questions) >= seen - 0.03  # four questions of 124

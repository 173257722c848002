"""The evaluation against a library whose retrievers say what the test wants."""

import json

import pytest

from app.evaluate import retrieval
from app.papers.records import Chunk, Passage, Sentence, Span


def passage(text, paper, page, last_page=None, rank=1):
    spans = (Span(page, 0, len(text)), *([Span(last_page, 0, 1)] if last_page else []))
    sentences = (Sentence(text, 0, len(text), spans),)
    chunk = Chunk(f"{paper}:{rank}", paper, "T", "S", "main", str(page), text, spans, sentences)
    return Passage(chunk, 1 / rank, rank, "stub")


class Stub:
    """A library with one retriever, which finds the wrong paper first where all are searched."""

    model_fields = {"k": None}

    def __init__(self):
        self.asked = []

    def retriever(self, name, **settings):
        self.asked.append((name, settings))
        self.papers = settings["papers"]
        return self

    def search(self, question):
        wrong = passage("one two three four " * 300, "b.pdf", 3)
        right = passage("the gates are open at night, five six", "a.pdf", 6, 7, rank=2)
        return [right] if self.papers else [wrong, right]


QUESTION = retrieval.Question("1", "a.pdf", "Are they?", "The gates are open at night", 7)


def test_rows_and_summary_by_hand():
    library = Stub()
    everywhere, inside = retrieval.evaluate(library, [QUESTION], ["stub"], ["main"])
    assert (everywhere.page_rank, inside.page_rank) == (3, 2)  # pages b3, a6, a7; a6, a7
    assert everywhere.evidence == (False, True, True, True)
    assert everywhere.within == (False,) * 5  # 5,700 characters of b.pdf come before
    assert inside.within == (True,) * 5
    assert library.asked[0] == ("stub", {"k": 10, "parts": ("main",), "papers": ()})
    first, second = retrieval.summary([everywhere, inside])
    assert (first["page@1"], first["page@3"], first["mrr"]) == (0, 1, pytest.approx(1 / 3))
    assert (second["scope"], second["evidence@1"], second["n"]) == ("paper", 1, 1)
    assert "| stub | paper |" in retrieval.table([first, second])


def test_a_budget_is_given_to_those_that_take_one():
    class Budgeted(Stub):
        model_fields = {"budget_chars": None}

    library = Budgeted()
    retrieval.evaluate(library, [QUESTION], ["stub"], ["main"])
    assert [s["budget_chars"] for _, s in library.asked if "budget_chars" in s] == [
        *retrieval.BUDGETS,
        *retrieval.BUDGETS,
    ]


def test_questions_and_results_as_files(tmp_path):
    line = {**retrieval.asdict(QUESTION), "answerable": True, "kind": "what"}
    lines = [line, {**line, "answerable": False}, {**line, "paper": "c.pdf"}]
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    assert retrieval.read_questions(path, ["a.pdf", "b.pdf"]) == [QUESTION]
    rows = retrieval.evaluate(Stub(), [QUESTION], ["stub"], ["main"])
    retrieval.write(tmp_path / "new" / "run.json", rows, {"k": 10})
    record = json.loads((tmp_path / "new" / "run.json").read_text())
    assert [row["page_rank"] for row in record["rows"]] == [3, 2]
    assert record["settings"] == {"k": 10} and record["machine"]["cpu"]

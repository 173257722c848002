"""The evaluation against a library whose retrievers say what the test wants."""

import json
from dataclasses import replace

import pytest

from app.evaluate import budget, retrieval
from app.evaluate.questions import Question, of_half, read_questions
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


QUESTION = Question("1", "a.pdf", "Are they?", "The gates are open at night", 7, "choosing")


def test_rows_and_summary_by_hand():
    library = Stub()
    everywhere, inside = retrieval.evaluate(library, [QUESTION], ["stub"], ["main"])
    assert (everywhere.page_rank, inside.page_rank) == (3, 2)  # pages b3, a6, a7; a6, a7
    assert everywhere.evidence == (False, True, True, True)
    assert everywhere.within == (False,) * 5  # 5,700 characters of b.pdf come before
    assert inside.within == (True,) * 5
    wanted = {"k": 10, "parts": ("main",), "papers": (), "reader": None}
    assert library.asked[0] == ("stub", wanted)
    first, second = retrieval.summary([everywhere, inside])
    assert (first["page@1"], first["page@3"], first["mrr"]) == (0, 1, pytest.approx(1 / 3))
    assert (second["scope"], second["evidence@1"], second["n"]) == ("paper", 1, 1)
    assert "| stub | paper |" in retrieval.table([first, second])


def test_a_budget_is_given_to_those_that_take_one():
    given = []

    class Budgeted(Stub):
        model_fields = {"budget_chars": None}

        def model_copy(self, update):
            given.append(update["budget_chars"])
            return self

    retrieval.evaluate(Budgeted(), [QUESTION], ["stub"], ["main"])
    assert given == [*retrieval.BUDGETS, *retrieval.BUDGETS]


def test_a_reader_is_asked_once_for_each_text():
    asked = []

    class Reader:
        def question_given(self, question, texts):
            asked.append([*texts])
            return [[float(len(text))] for text in texts]

    once = budget.Remembering(Reader())
    assert once.question_given("?", ["a", "bb", "a"]) == [[1.0], [2.0], [1.0]]
    assert once.question_given("?", ["ccc", "bb"]) == [[3.0], [2.0]]
    assert asked == [["a", "bb"], ["ccc"]]


def test_questions_and_results_as_files(tmp_path):
    record = {"id": "1", "paper": "a.pdf", "question": "Are they?", "kind": "what", "page": 7}
    line = {**record, "evidence": "The gates are open at night", "answerable": True}
    none = {**line, "id": "2", "evidence": None, "page": None, "answerable": False}
    others = [{**line, "paper": "c.pdf"}, {**line, "id": "3", "paper": "b.pdf"}]
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(map(json.dumps, [line, none, *others])) + "\n")
    first, second = read_questions(path, ["a.pdf", "b.pdf"])
    assert first == QUESTION and (second.id, second.half) == ("3", "reporting")
    assert of_half([first, second], "reporting") == [second]
    with_none = read_questions(path, ["a.pdf"], unanswerable=True)
    assert [(q.id, q.answerable, q.page) for q in with_none] == [("1", True, 7), ("2", False, 0)]
    rows = retrieval.evaluate(Stub(), [QUESTION], ["stub"], ["main"])
    place = tmp_path / "new" / "run.json"
    retrieval.write(place, rows, {"k": 10})
    stored = json.loads(place.read_text())["papers, choosing half"]
    assert [row["page_rank"] for row in stored["rows"]] == [3, 2]
    assert stored["settings"] == {"k": 10} and stored["machine"]["cpu"]
    retrieval.write(place, [replace(row, half="reporting") for row in rows], {"k": 9})
    both = json.loads(place.read_text())
    assert both["papers, choosing half"] == stored
    assert both["papers, reporting half"]["settings"] == {"k": 9}

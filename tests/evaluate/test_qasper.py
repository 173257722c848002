"""Questions on papers in paragraphs: files by hand, and shares of what a known order finds."""

import json

import pytest

from app.evaluate import qasper
from app.papers.records import Chunk, Passage
from app.retrieve.texts import Text

PAPER = {
    "paper_id": "p",
    "paragraphs": [
        {"section": "1", "text": "The gates are open at night."},
        {"section": "1", "text": " "},
        {"section": "2", "text": "The width of each block is 768."},
    ],
}
ASKED = {"id": "q", "paper_id": "p", "question": "How wide?", "answerable": True}


def test_papers_and_questions_of_files(tmp_path):
    (tmp_path / "p.jsonl").write_text(json.dumps(PAPER) + "\n")
    lines = [{**ASKED, "evidence_paragraphs": [0, 2]}, {**ASKED, "evidence_paragraphs": []}]
    lines.append({**ASKED, "answerable": False, "evidence_paragraphs": [0]})
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert qasper.read_papers(tmp_path / "p.jsonl") == {
        "p": [
            Text("p:0", "", "The gates are open at night."),
            Text("p:2", "", "The width of each block is 768."),
        ]
    }
    (question,) = qasper.read_questions(tmp_path / "q.jsonl")
    assert question == qasper.Question("q", "p", "How wide?", ("p:0", "p:2"))


class Finder:
    """A library whose retriever finds p:1, then p:2; it takes no budget."""

    model_fields = {}
    texts = {"p:0": "x", "p:1": "one two three four", "p:2": "a b c d e " * 99}

    def retriever(self, name, k, papers):
        self.asked = papers
        return self

    def chunk(self, id):
        return Chunk(id, "p", "p", "", "main", "1", self.texts[id], (), ())

    def search(self, question):
        return [Passage(self.chunk(id), 1.0, n, "f") for n, id in enumerate(("p:1", "p:2"), 1)]


def test_shares_by_hand():
    question = qasper.Question("q", "p", "Which?", ("p:1", "p:0", "p:2"))
    everywhere, inside = qasper.evaluate(Finder(), [question], ["f"])
    assert everywhere.recall == pytest.approx((1 / 3, 2 / 3, 2 / 3, 2 / 3))
    # p:1 whole, p:0 not at all, all five runs of p:2 in the first 500 characters
    assert everywhere.within == pytest.approx((2 / 3,) * 3) and inside.scope == "paper"
    record, _ = qasper.summary([everywhere, inside])
    assert (record["n"], record["evidence@1"]) == (1, pytest.approx(1 / 3))
    assert "| f | all | 1 | 33.3 | 66.7 | 66.7 (66.7-66.7) |" in qasper.table([record])

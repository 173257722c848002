"""Answers on one paper: a verdict belongs to the words it was given to."""

import json

import pytest
from tests.answer.fakes import FakeReader, FakeRetriever, passage

from app.evaluate import paper
from app.evaluate.paper import Question, Verdict

WIDTH = "The width of the model is 768 in all of its blocks."
LAKES = "A valley in the north of the land has seven deep lakes."
OWN = "The width of the model is 768 in all blocks."
QUESTIONS = [
    Question("1", "How wide is the *model*?", "768", (4,)),
    Question("2", "How many lakes?", "seven", (9,)),
]


@pytest.fixture
def answers():
    retriever = FakeRetriever([passage(WIDTH, LAKES, page=4)], {WIDTH: 0.9})
    reader = FakeReader({WIDTH: -0.1}, writes=[OWN], prefers={OWN: -0.1})
    return paper.answered(QUESTIONS, retriever, reader, "sentence")


def test_only_what_nobody_has_read_gets_a_blank(answers, tmp_path):
    read = [Verdict("1", "fake", "sentence", OWN, "right", "it is")]
    read.append(Verdict("2", "fake", "sentence", "Other words.", "wrong"))
    all_of_them = paper.with_blanks(read, QUESTIONS, answers)
    assert all_of_them[:2] == read
    assert all_of_them[2:] == [Verdict("2", "fake", "sentence", OWN)]
    paper.write_verdicts(tmp_path / "v.jsonl", all_of_them)
    assert paper.read_verdicts(tmp_path / "v.jsonl") == all_of_them
    assert paper.with_blanks(all_of_them, QUESTIONS, answers) == all_of_them
    assert paper.read_verdicts(tmp_path / "none.jsonl") == []
    paper.write_verdicts(tmp_path / "v.jsonl", [Verdict("1", "m", "short", "a", "good")])
    with pytest.raises(ValueError, match="'good' of 1 is none of"):
        paper.read_verdicts(tmp_path / "v.jsonl")


def test_the_report_shows_answer_source_gold_and_verdict(answers):
    read = [Verdict("1", "fake", "sentence", OWN, "right", "it is")]
    text = paper.report("On a paper", QUESTIONS, answers, read)
    assert "2 answers by `fake` in mode `sentence`, passages by `similarity`" in text
    assert "right 1, not read 1. First evidence on a page that answers: 1." in text
    assert "## 1. How wide is the \\*model\\*?\n\n> The width of the model is 768" in text
    assert f"Evidence, p. 4: “{WIDTH[:30]}" in text and "Expected (p. 9): seven" in text
    assert "Supported by: [1] p. 4" in text
    assert "in the paper's words" not in text
    assert "**right**: it is" in text and text.rstrip().endswith("**not read**")


def test_the_report_says_which_answers_are_in_the_papers_words():
    retriever = FakeRetriever([passage(WIDTH, page=4)], {WIDTH: 0.9})
    reader = FakeReader(writes=["The blocks are 768 wide in the width."])
    text = paper.report(
        "On", QUESTIONS[:1], paper.answered(QUESTIONS[:1], retriever, reader, "sentence"), []
    )
    assert f"> {WIDTH}" in text and "Supported by: [1] p. 4; in the paper's words." in text


def test_the_twenty_questions_are_whole():
    from pathlib import Path

    folder = Path(__file__).resolve().parents[2] / "data" / "evaluation"
    questions = paper.read_questions(folder / "xlstm-questions.jsonl")
    assert len({q.id for q in questions}) == len({q.question for q in questions}) == 20
    assert all(q.gold and q.pages and set(q.pages) <= set(range(1, 15)) for q in questions)
    known = {q.id for q in questions}
    assert all(v.id in known for v in paper.read_verdicts(folder / "xlstm-verdicts.jsonl"))
    lines = (folder / "xlstm-verdicts.jsonl").read_text(encoding="utf-8").strip().split("\n")
    assert all(set(json.loads(line)) == set(Verdict.__dataclass_fields__) for line in lines)

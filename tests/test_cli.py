"""The command line on our own note: what it prints, what it warns of, how it ends."""

import json
from pathlib import Path

import pytest

from app.cli import main

ROOT = Path(__file__).resolve().parent.parent
NOTE = ROOT / "data/papers/mlstm-formulations.pdf"
READER = ROOT / "data/models/reader"
QUESTION = "Why does the mLSTM need a stabiliser?"


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """Options of a run on the note with an index of its own."""
    index = tmp_path_factory.mktemp("index")
    return ["--papers", str(NOTE), "--index", str(index)]


def test_ask_prints_one_json_object_a_question(options, tmp_path, capsys):
    asked = tmp_path / "questions.txt"
    asked.write_text(f"{QUESTION}\n\n  How large is the state of a 7B model?\n")
    code = main(["ask", "--questions", str(asked), "--json", "--model", str(READER), *options])
    lines = capsys.readouterr().out.splitlines()
    assert code == 0 and len(lines) == 2
    for line in lines:
        answer = json.loads(line)
        assert {
            "question",
            "retriever",
            "mode",
            "answer",
            "declined",
            "sentences",
            "sources",
            "timings",
        } <= set(answer)
        assert answer["retriever"] == "similarity" and answer["mode"] == "sentence"
        assert set(answer["timings"]) == {"retrieve", "evidence", "answer"}
        assert len(answer["sources"]) == 3
        for source in answer["sources"]:
            assert source["paper"] == NOTE.name and 1 <= source["page"] <= 7
            assert {"label", "section", "start", "end", "score", "text"} <= set(source)
        for sentence in answer["sentences"]:
            assert sentence["supported"] == bool(sentence["citations"])
        for item in answer["evidence"]:
            assert item["text"] in answer["sources"][item["source"] - 1]["text"]


def test_a_question_that_cannot_be_asked_does_not_stop_the_others(options, tmp_path, capsys):
    asked = tmp_path / "questions.txt"
    endless = f"{QUESTION} " * 400  # more than the reader's context
    asked.write_text(f"{endless}\n{QUESTION}\n")
    code = main(["ask", "--questions", str(asked), "--json", "--model", str(READER), *options])
    shown = capsys.readouterr()
    bad, good = (json.loads(line) for line in shown.out.splitlines())
    assert code == 1 and "error" in bad and bad["question"] == endless.strip()
    assert good["question"] == QUESTION and good["sentences"]
    assert any(line.startswith("warning: 'Why does") for line in shown.err.splitlines())


def test_ask_streams_text_with_page_and_score(options, capsys):
    assert main(["ask", QUESTION, "--k", "2", "--model", str(READER), *options]) == 0
    shown = capsys.readouterr().out
    assert QUESTION in shown and "[1]" in shown and "p. " in shown


def test_a_refusal_is_an_answer(options, capsys):
    asked = "qwertz uiopü asdfgh jklöä yxcvbnm"
    assert main(["ask", asked, "--json", "--model", str(READER), *options]) == 0
    answer = json.loads(capsys.readouterr().out)
    if answer["declined"]:
        assert answer["answer"] == "Not found in the retrieved passages."
    else:
        assert max(source["score"] for source in answer["sources"]) >= 0.25


def test_an_unreadable_paper_is_one_warning_beside_a_good_one(options, tmp_path, capsys):
    bad = tmp_path / "bad.pdf"
    bad.write_text("no PDF at all")
    index = options[options.index("--index") + 1]
    assert main(["index", "--papers", str(NOTE), str(bad), "--index", index]) == 0
    shown = capsys.readouterr()
    warnings = [line for line in shown.err.splitlines() if line.startswith("warning:")]
    assert len(warnings) == 1 and "bad.pdf" in warnings[0] and NOTE.name in shown.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "COMMAND"),
        (["sing"], "sing"),
        (["ask"], "question"),
        (["ask", "Why?", "--k", "0"], "--k"),
        (["ask", "Why?", "--mode", "rhyme"], "rhyme"),
        (["ask", "Why?", "--papers", "nowhere.pdf"], "nowhere.pdf"),
        (["ask", "Why?", "--papers", str(NOTE), "--retriever", "magic"], "similarity"),
        (["ask", "Why?", "--papers", str(NOTE), "--model", "nowhere"], "nowhere"),
        (["ask", "--questions", "nowhere.txt"], "nowhere.txt"),
    ],
)
def test_an_error_is_one_line_and_status_1(arguments, says, options, capsys):
    if "--papers" in arguments:
        arguments = [*arguments, *options[2:]]
    try:
        code = main(arguments)
    except SystemExit as stop:  # argparse's own
        code = stop.code
    shown = capsys.readouterr()
    lines = [line for line in shown.err.splitlines() if "it/s" not in line and "tok" not in line]
    assert code == 1 and len(lines) == 1 and says in lines[0] and not shown.out


def test_compare_writes_html_with_links_relative_to_the_file(options, tmp_path, capsys):
    out = tmp_path / "report.html"
    code = main(
        [
            "compare",
            QUESTION,
            "--format",
            "html",
            "--output",
            str(out),
            "--model",
            str(READER),
            *options,
        ]
    )
    page = out.read_text()
    assert code == 0 and "<table" in page and "#page=" in page and "<script" not in page
    assert str(ROOT) not in page.replace("../", "")

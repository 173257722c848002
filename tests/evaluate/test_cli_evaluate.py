"""`python -m app evaluate reader` with the reader that the project ships."""

import json
from pathlib import Path

import pytest

from app.cli import main

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "data" / "models" / "reader"


def test_a_set_that_is_not_there_is_named(tmp_path, capsys):
    asked = ["evaluate", "reader", "--questions", str(tmp_path), "--output", str(tmp_path / "o")]
    assert main([*asked, "--sets", "poems"]) == 1
    assert "has no poems.jsonl" in capsys.readouterr().err


def test_the_parser_knows_every_mode():
    from app.cli.evaluate_reader import MODES
    from app.evaluate import reader

    assert MODES == reader.MODES


@pytest.mark.slow
@pytest.mark.skipif(not (MODEL / "prompt.json").is_file(), reason="no reader in data/models")
def test_figures_of_a_set(shared, tmp_path, capsys):
    pytest.importorskip("zstandard")
    asked = ["evaluate", "reader", "--questions", str(shared / "eval"), "--sets", "paper_pairs"]
    assert main([*asked, "--limit", "4", "--prepare", str(tmp_path)]) == 0
    output = tmp_path / "rows.jsonl"
    asked = ["evaluate", "reader", "--prepared", str(tmp_path), "--modes", "quote", "written"]
    assert main([*asked, "--model", str(MODEL), "--output", str(output), "--together", "2"]) == 0
    shown = capsys.readouterr().out
    assert "| paper_pairs | best sentence |" in shown and "| paper_pairs | written |" in shown
    rows = [json.loads(line) for line in output.read_text().split("\n")[1:] if line]
    assert len(rows) == 4 * 4 and all(row["verbatim"] for row in rows if row["mode"] == "quote")
    assert main(["evaluate", "reader", "--from", str(output)]) == 0
    assert "| paper_pairs | quote |" in capsys.readouterr().out
    assert main(["evaluate", "reader", "--compare", str(output), str(output)]) == 0
    assert "+0.0 (+0.0 to +0.0)" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.skipif(not (MODEL / "prompt.json").is_file(), reason="no reader in data/models")
def test_the_order_of_sentences_on_a_paper(shared, tmp_path, capsys):
    questions = tmp_path / "q.jsonl"
    lines = (shared / "eval" / "pdf_questions.jsonl").read_text(encoding="utf-8").split("\n")
    kept = [line for line in lines if '"paper": "batchnorm' in line][:4]
    questions.write_text("\n".join(kept))
    paper = shared / "papers" / "batchnorm-1502.03167v2.pdf"
    output = tmp_path / "run.json"
    asked = ["evaluate", "choosing", "--questions", str(questions), "--papers", str(paper)]
    asked += ["--index", str(tmp_path / "index"), "--model", str(MODEL), "--output", str(output)]
    assert main(asked) == 0
    record = json.loads(output.read_text())
    assert len(record["rows"]) == len(kept) == 4
    assert "with evidence retrieved" in capsys.readouterr().out

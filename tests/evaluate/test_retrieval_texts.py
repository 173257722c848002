"""Collections of texts: reading BEIR files, rows by hand, and the command over all of it."""

import json

import pytest

from app.evaluate import beir, figures, metrics, retrieval
from app.papers.records import Chunk, Passage
from app.retrieve.texts import Text


def compressed(path, records):
    zstandard = pytest.importorskip("zstandard")
    lines = "\n".join(map(json.dumps, records)) + "\n"
    path.write_bytes(zstandard.ZstdCompressor().compress(lines.encode()))


@pytest.fixture
def folder(tmp_path):
    """Three texts, one of them blank, and two questions, one of them never judged."""
    texts = [
        {"_id": "d1", "title": "Gates", "text": "Gates decide what is kept."},
        {"_id": "d2", "title": "", "text": "Rain fell."},
        {"_id": "d3", "text": " "},
    ]
    compressed(tmp_path / "tiny-corpus.jsonl.zst", texts)
    questions = [{"_id": "q1", "text": "What do gates decide?"}, {"_id": "q2", "text": "Why?"}]
    compressed(tmp_path / "tiny-queries.jsonl.zst", questions)
    lines = ["query-id\tcorpus-id\tscore", "q1\td1\t2", "q1\td9\t1", "q2\td2\t0"]
    (tmp_path / "tiny-qrels.tsv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_files_in_beir_form(folder):
    got = beir.read_collection(folder, "tiny")
    assert got.texts == (
        Text("d1", "Gates", "Gates decide what is kept."),
        Text("d2", "", "Rain fell."),
    )
    assert got.queries == {"q1": "What do gates decide?"}
    assert got.grades == {"q1": {"d1": 2, "d9": 1}}


class Finder:
    """A library whose only retriever finds d2, then d1."""

    def retriever(self, name, k):
        return self

    def search(self, question):
        chunks = [Chunk(id, "t", "t", "", "main", id, "x", (), ()) for id in ("d2", "d1")]
        return [Passage(chunk, 1 / rank, rank, "f") for rank, chunk in enumerate(chunks, 1)]


def test_rows_of_texts_by_hand():
    collection = beir.Collection("tiny", (), {"q1": "What?"}, {"q1": {"d1": 2, "d9": 1}})
    (row,) = beir.evaluate(Finder(), collection, ["f"])
    assert (row.rank, row.recall) == (2, 0.5)
    assert row.ndcg == pytest.approx(2 / 1.5849625 / (2 + 1 / 1.5849625))  # log2(3)
    (record,) = beir.summary([row])
    assert (record["n"], record["mrr@10"], record["mrr@10_interval"]) == (1, 0.5, (0.5, 0.5))
    assert "0.500 (0.500-0.500)" in beir.table([record])


def rows_of(retriever, ranks):
    return [
        retrieval.Row(
            str(i), "reporting", retriever, "all", rank, (True,) * 4, (True,) * 5, 100, 0.01
        )
        for i, rank in enumerate(ranks)
    ]


def test_pooled_difference_by_hand():
    rows = rows_of("hybrid", [1, 2]) + rows_of("bm25", [2, None])
    texts = [beir.Row("0", "tiny", name, rank, 0, 0) for name, rank in [("hybrid", 4), ("bm25", 1)]]
    found = retrieval.pooled(rows, texts)
    assert found["hybrid"] == {("papers", "0"): 1, ("papers", "1"): 0.5, ("tiny", "0"): 0.25}
    mean, low, high = metrics.difference(found["hybrid"], found["bm25"])
    assert mean == pytest.approx((0.5 + 0.5 - 0.75) / 3) and low <= mean <= high
    assert "| hybrid less bm25 | +0.083 (-0.750 to +0.500) | 3 |" in retrieval.differences(
        rows, texts
    )
    rows += rows_of("asker", [1, None])  # it was not asked on the texts: two questions are shared
    assert "| hybrid less asker | +0.250 (+0.000 to +0.500) | 2 |" in retrieval.differences(
        rows, texts
    )
    with pytest.raises(ValueError, match="same questions"):
        metrics.difference({"a": 1}, {"b": 1})


def test_figures_are_drawn(tmp_path):
    rows = rows_of("hybrid", [1, 2]) + rows_of("bm25", [2, None])
    path = tmp_path / "new" / "budgets.png"
    figures.draw_budgets(retrieval.summary(rows), path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_f1_by_hand():
    assert metrics.f1(2, 1, 3) == pytest.approx(4 / 6)  # precision 2/3, recall 2/3
    assert metrics.f1(0, 0, 0) == 0


def test_the_command_says_what_it_needs(capsys):
    from app.cli import main

    assert main(["evaluate", "retrieval"]) == 1
    assert "--questions" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_over_papers_and_texts(folder, capsys):
    from app.cli import main

    output = folder / "out.json"
    arguments = ["--questions", "tests/data/note_questions.jsonl"]
    arguments += ["--papers", "data/papers/mlstm-formulations.pdf", "--index", str(folder / "i")]
    arguments += [
        "--retrievers",
        "hybrid",
        "bm25",
        "--on-texts",
        "hybrid",
        "bm25",
        "--collections",
        str(folder / "tiny"),
    ]
    arguments += ["--output", str(output), "--pictures", str(folder / "pictures")]
    assert main(["evaluate", "retrieval", *arguments]) == 0
    shown = capsys.readouterr().out
    assert "| hybrid | all |" in shown and "| tiny | bm25 | 1 |" in shown
    assert "hybrid less bm25" in shown
    record = json.loads(output.read_text())
    rows = record["papers, choosing half"]["rows"]
    assert len(rows) == 4 * len({row["id"] for row in rows})
    assert record["collections"]["rows"][0]["rank"] == 1
    assert {path.name for path in (folder / "pictures").iterdir()} == {
        "evidence-by-budget.png",
        "scores.png",
    }

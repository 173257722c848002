"""What may enter the weights, and what the data step drops."""

import json

import pytest

from app.papers.read import read_paper
from app.train import sources
from app.train.overlap import Overlap, evaluation_overlap, evaluation_texts, runs, to_leave_out
from app.train.read import documents, pairs
from app.train.sources import DataConfig, find_file, left_out

TWENTY = [f"word{n}" for n in range(40)]


def write(path, records):
    path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    return path


def test_three_sets_never_enter_weights_that_ship():
    assert set(sources.NEVER_SHIPPED) == {"race", "mctest", "sciqag"}
    assert not set(sources.NEVER_SHIPPED) & set(DataConfig().names)
    for name in sources.NEVER_SHIPPED:
        with pytest.raises(ValueError, match=name):
            DataConfig(questions={name: 1.0})
        assert name in DataConfig(questions={name: 1.0}, ships=False).names


def test_held_out_text_is_never_trained_on():
    with pytest.raises(ValueError, match="measuring"):
        DataConfig(text=("heldout",), ships=False)
    with pytest.raises(ValueError, match="nothing to train on"):
        DataConfig(text=(), questions={}, own=())
    with pytest.raises(ValueError, match="more than 0"):
        DataConfig(questions={"squad": 0})


def test_the_named_sources_are_those_at_hand(shared):
    for name in sources.TEXT:
        assert find_file(shared / "corpus", name).is_file()
    at_hand = {path.name.split(".")[0] for path in (shared / "qa").glob("*.jsonl.zst")}
    named = {*sources.QUESTIONS, *sources.OWN_PAIRS}
    assert named == at_hand - set(sources.NEVER_SHIPPED)
    with pytest.raises(ValueError, match=r"no nosuch.jsonl.zst; it has .*abstracts"):
        find_file(shared / "corpus", "nosuch")


def test_ids_to_leave_out_are_left_out(tmp_path):
    listed = tmp_path / "leave_out.txt"
    listed.write_text("b\n\n t:1 \n")
    drop = left_out([listed])
    assert drop == {"b", "t:1"}
    asked = [{"id": i, "question": "q", "passages": [{"text": "x"}]} for i in "abc"]
    path = write(tmp_path / "q.jsonl", asked)
    assert [p.id for p in pairs(path, drop)] == ["a", "c"]
    path = write(tmp_path / "t.jsonl", [{"text": str(n)} for n in range(5)])
    assert [d.text for d in documents(path, drop)] == ["0", "2", "3", "4"]
    assert [d.text for d in documents(path, drop, part=1, parts=2)] == ["3"]


def test_the_shared_list_is_honoured(shared):
    pytest.importorskip("zstandard")
    drop = left_out([shared / "qa" / "leave_out.txt"])
    assert len(drop) == 236
    path = find_file(shared / "qa", "paper_pairs")
    every, kept = sum(1 for _ in pairs(path)), [p.id for p in pairs(path, drop)]
    assert len(kept) == every - 236 and not drop & set(kept)


def test_runs_are_counted_in_words():
    assert list(runs("An e\ufb03cient, Net-work!", 3)) == ["an efficient net", "efficient net work"]
    assert list(runs("two words", 3)) == []


@pytest.mark.parametrize("length, kind", [(13, "evidence"), (20, "passages")])
def test_a_run_of_so_many_words_is_an_overlap_and_one_fewer_is_none(length, kind):
    other = "passages" if kind == "evidence" else "evidence"
    overlap = Overlap(**{kind: [" ".join(TWENTY)], other: []})
    for before in range(12):  # wherever it stands
        start = "before " * before
        inside = start + ", ".join(TWENTY[3 : 3 + length]).upper() + " after it"
        assert overlap.shared(inside) == " ".join(TWENTY[3 : 3 + length])
        assert overlap.shared(start + " ".join(TWENTY[3 : 2 + length]) + " after it") is None


def test_documents_and_pairs_with_an_overlap_are_named(tmp_path):
    evidence, passages = evaluation_texts(
        [
            {"evidence": " ".join(TWENTY[:13]), "passages": [{"text": "p " * 25}]},
            {"evidence": "annotated", "paragraphs": [{"text": "q " * 25}], "text": "r " * 25},
        ]
    )
    assert evidence == [" ".join(TWENTY[:13]), "annotated"]
    assert passages == ["p " * 25, "q " * 25, "r " * 25]
    overlap = Overlap(evidence, passages)
    text = write(tmp_path / "t.jsonl", [{"text": "clean"}, {"text": "so: " + "r " * 20}])
    assert [id for id, _ in to_leave_out(text, overlap)] == ["t:1"]
    clean, dirty = {"text": "clean"}, {"text": " ".join(TWENTY[:13])}
    asked = [
        {"id": "a", "question": "x", "passages": [clean, dirty]},
        {"id": "b", "question": "x", "passages": [clean]},
        {"id": "c", "question": " ".join(TWENTY[:13]), "passages": [clean]},
    ]
    path = write(tmp_path / "q.jsonl", asked)
    assert [id for id, _ in to_leave_out(path, overlap)] == ["a", "c"]


def test_the_evaluation_folder_is_what_is_kept_out(tmp_path):
    with pytest.raises(ValueError, match="nothing|no \\*.jsonl"):
        evaluation_overlap(tmp_path)
    write(tmp_path / "e.jsonl", [{"id": 1, "passages": [{"text": " ".join(TWENTY[:20])}]}])
    assert evaluation_overlap(tmp_path).shared("so " + " ".join(TWENTY[:20]))


def test_a_test_paper_is_kept_out(shared):
    pytest.importorskip("zstandard")
    paper = shared / "papers" / "word2vec-phrases-2013.pdf"
    overlap = evaluation_overlap(shared / "eval", [paper])
    text = " ".join(read_paper(paper).pages[2].text.split()[40:70])
    assert overlap.shared(f"As they write, {text}") and not overlap.shared(text[:40])
    # Done once for what lies there: nothing of the first documents shares a run.
    first = find_file(shared / "corpus", "books")
    clean = [d for d, _ in zip(documents(first), range(30))]
    assert not any(overlap.shared(d.text[:20_000]) for d in clean)

"""Questions as they are asked: sampled, embedded with vectors made by hand, kept as lines."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from tests.answer.fakes import FakeRetriever, passage

from app.evaluate import reader_questions as questions

WIDTH = "The width of the model is 768."
BLOCKS = "It has twelve blocks of one kind."
LAKES = "A valley in the north has seven lakes."
SWIM = "Nobody ever swims there in cold May."
RECORDS = [
    {
        "id": "1",
        "question": "How wide is it?",
        "passages": [{"title": "M", "text": f"{BLOCKS} {WIDTH}"}, {"text": f"{LAKES} {SWIM}"}],
        "answers": ["768"],
        "gold": 0,
    },
    {
        "id": "2",
        "question": "Who swims?",
        "passages": [{"text": f"{LAKES} {SWIM}"}],
        "answers": [],
        "answerable": False,
    },
]


class ByWord:
    """An embedder whose vectors say whether a text holds each of a few words."""

    words = ("width", "wide", "lakes", "swims", "blocks")

    def encode(self, texts):
        rows = np.array([[float(w in t.lower()) for w in self.words] for t in texts]) + 1e-3
        rows[:, 0] = np.maximum(rows[:, 0], rows[:, 1])  # wide is width
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def encode_question(self, question):
        return self.encode([question])[0]


def written(folder, records=RECORDS, name="set"):
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    return path


def test_a_question_keeps_the_place_of_its_right_passage(tmp_path):
    path = written(tmp_path)
    first, second = sorted(questions.sample("set", path), key=lambda q: q.id)
    assert first.passages[first.right[0] - 1].text.endswith(WIDTH)
    assert [s.text for s in first.passages[first.right[0] - 1].sentences] == [BLOCKS, WIDTH]
    assert first.spans == first.golds == ("768",) and first.answerable
    assert (second.answerable, second.golds, second.right) == (False, (), ())
    assert {questions.sample("set", path, seed=seed)[0].id for seed in range(9)} == {"1", "2"}
    assert len(questions.sample("set", path, limit=1)) == 1


def test_where_evidence_is_a_guess_the_question_is_left_out(tmp_path):
    guessed = {**RECORDS[0], "id": "3", "gold": None}
    path = written(tmp_path, [*RECORDS, guessed])
    assert {q.id for q in questions.sample("set", path)} == {"1", "2", "3"}
    assert {q.id for q in questions.sample("qasper", path)} == {"1", "2"}


def test_of_many_passages_the_nearest_are_kept_in_their_order(tmp_path):
    texts = [f"{BLOCKS} Number {n} stands here." for n in range(9)]
    texts[4] = f"{WIDTH} Nothing more is said."
    record = {**RECORDS[0], "passages": [{"text": t} for t in texts], "gold": 4}
    (question,) = questions.sample("set", written(tmp_path, [record]))
    kept = questions.embedded(question, ByWord())
    assert len(kept.passages) == 8 and [p.rank for p in kept.passages] == list(range(1, 9))
    assert kept.passages[kept.right[0] - 1].text == texts[4]
    order = [p.text for p in question.passages]
    assert [p.text for p in kept.passages] == [t for t in order if t != order[8]]
    # wide against width: both vectors hold both words' places up to 0.001
    assert kept.passages[kept.right[0] - 1].score == pytest.approx(2**-0.5, abs=0.01)
    assert [len(row) for row in kept.cosines] == [2] * 8


def test_prepared_questions_come_back_as_they_were(tmp_path):
    made = [questions.embedded(q, ByWord()) for q in questions.sample("set", written(tmp_path))]
    questions.write_questions(tmp_path / "new" / "set.jsonl", made)
    assert questions.load_questions(tmp_path / "new" / "set.jsonl") == made


def test_questions_on_papers_know_which_passage_holds_their_evidence():
    class Stub:
        papers = [SimpleNamespace(file="a.pdf")]

        def retriever(self, name, **settings):
            assert (name, settings) == ("similarity", {"k": 3, "papers": ("a.pdf",)})
            return Cosines([passage(LAKES, SWIM, rank=1), passage(BLOCKS, WIDTH, rank=2)])

    class Cosines(FakeRetriever):
        def sentence_scores(self, question, given):
            return np.array([0.25] * len(given.sentences))

    known = {"id": "1", "paper": "a.pdf", "question": "q", "answerable": True}
    records = [{**known, "answer": "It is 768.", "evidence": WIDTH}]
    records.append({**records[0], "id": "2", "answerable": False, "evidence": None})
    records.append({**records[0], "id": "3", "paper": "b.pdf"})
    first, second = questions.on_papers(records, Stub())
    assert (first.right, first.golds, first.proof) == ((2,), ("It is 768.",), WIDTH)
    assert [s.text for s in first.passages[1].sentences] == [BLOCKS, WIDTH]
    assert first.cosines == ((0.25, 0.25), (0.25, 0.25)) and first.passages[0].score == 0.6
    assert (second.right, second.golds, second.proof, second.answerable) == ((), (), "", False)

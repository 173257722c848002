"""The reader's evaluation: a reader that reads one sentence, vectors made by hand."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from tests.answer.fakes import FakeReader, spec

from app.evaluate import reader as evaluation
from app.evaluate.reader import BEST_SENTENCE, FIRST_SENTENCE, Row
from app.evaluate.reader_table import paired, summary, table

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
    {"id": "3", "question": "Many?", "passages": [{"text": "x"}] * 9, "answers": ["x"]},
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


class OneReader(FakeReader):
    """Likes one sentence, writes one answer, and can be copied with another prompt form."""

    def prompt(self, question, passages):
        self.asked = [p.text for p in passages]
        return super().prompt(question, passages)


def make_reader(**options):
    reader = OneReader(**options)
    fields = {"name": "one", "spec": reader.spec, "prompt": reader.prompt, "read": reader.read}
    more = {"likelihoods": reader.likelihoods, "phrase": reader.phrase}
    return reader, SimpleNamespace(**fields, **more)


@pytest.fixture
def questions(tmp_path):
    path = tmp_path / "set.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in RECORDS))
    return sorted(evaluation.read_questions(path), key=lambda q: q.id)


@pytest.fixture(autouse=True)
def plain_replace(monkeypatch):
    """A stand-in for a reader is no dataclass: its copy with another form is itself."""
    real = evaluation.replace

    def replace(thing, **changes):
        return thing if isinstance(thing, SimpleNamespace) else real(thing, **changes)

    monkeypatch.setattr(evaluation, "replace", replace)


def test_questions_keep_the_place_of_the_right_passage(questions, tmp_path):
    first, second = questions  # the third has nine passages
    assert first.passages[first.right[0] - 1].text.endswith(WIDTH)
    assert [s.text for s in first.passages[first.right[0] - 1].sentences] == [BLOCKS, WIDTH]
    assert first.spans == first.golds == ("768",) and first.answerable
    assert (second.answerable, second.golds, second.right) == (False, (), ())
    seen = {evaluation.read_questions(tmp_path / "set.jsonl", seed=s)[0].id for s in range(9)}
    assert seen == {"1", "2"}
    assert len(evaluation.read_questions(tmp_path / "set.jsonl", limit=1)) == 1


def test_rows_by_hand(questions):
    fake, reader = make_reader(likelihoods={WIDTH: -0.1, SWIM: -0.1}, writes=["768", " units"])
    rows = list(evaluation.evaluate("set", questions, reader, ByWord(), ("quote", "short")))
    by = {(row.id, row.mode): row for row in rows}
    assert len(rows) == 2 * 4
    short = by["1", "short"]
    assert (short.answer, short.evidence, short.exact) == ("768 units", WIDTH, False)
    assert short.f1 == pytest.approx(2 / 3) and short.hit is True and not short.verbatim
    quote = by["1", "quote"]
    # width of model is 768: five words after normalisation, one shared
    assert quote.answer == WIDTH and quote.f1 == pytest.approx(2 / 6) and quote.verbatim
    assert quote.cited == 1.0
    nearest = by["1", BEST_SENTENCE]
    assert (nearest.answer, nearest.hit, nearest.cited) == (WIDTH, True, 1.0)
    first = by["1", FIRST_SENTENCE]
    assert (first.answer, first.hit, first.f1) == (BLOCKS, False, 0.0)
    unanswerable = by["2", "short"]
    assert (unanswerable.exact, unanswerable.f1, unanswerable.hit) == (None, None, None)
    assert fake.calls == 2  # each prompt is read once for all modes


def test_what_the_reader_declines_is_counted(questions):
    _, reader = make_reader(declines=True, writes=["x"])
    rows = list(evaluation.evaluate("set", questions, reader, ByWord(), ["short"]))
    assert [row.declined for row in rows if row.mode == "short"] == [True, True]
    assert not any(row.declined for row in rows if row.mode != "short")


def test_more_passages_are_read_than_by_default():
    _, reader = make_reader()
    assert spec().most_passages == 3
    assert evaluation.Remembering(reader).spec.most_passages == 8


def row(id, mode, f1, declined=False, hit=None, answerable=True):
    f1 = f1 if answerable else None
    exact = None if f1 is None else f1 == 1.0
    return Row("s", id, mode, answerable, exact, f1, hit, None, declined, True, "q", "a", "e", 0.5)


def test_the_summary_and_its_paired_differences():
    rows = [
        row("1", "short", 1.0, hit=True),
        row("2", "short", 0.5, hit=False, declined=True),
        row("3", "short", None, declined=True, answerable=False),
        row("1", BEST_SENTENCE, 0.25),
        row("2", BEST_SENTENCE, 0.25),
        row("3", BEST_SENTENCE, None, answerable=False),
    ]
    short, nearest = summary(rows)
    assert (short["n"], short["n unanswerable"], short["exact"]) == (2, 1, 0.5)
    assert (short["f1"], short["evidence hit"], short["cited right"]) == (0.75, 0.5, None)
    assert (short["declined answerable"], short["declined unanswerable"]) == (0.5, 1.0)
    assert short["over best sentence"] == 0.5  # 0.75 and 0.25
    low, high = short["over best sentence interval"]
    assert (low, high) == (0.25, 0.75)
    assert "over best sentence" not in nearest and nearest["mode"] == BEST_SENTENCE
    assert paired(rows[:2], rows[4:5], lambda r: r.f1) == [0.25]
    line = table([short, nearest]).split("\n")[2]
    assert "| 2 + 1 | 50.0 | 75.0 (50.0 to 100.0) | +50.0 (+25.0 to +75.0) | 50.0 |" in line


def test_one_file_a_run(tmp_path):
    rows = [row("1", "short", 1.0)]
    evaluation.write(tmp_path / "new" / "run.json", rows, summary(rows), {"limit": 1})
    record = json.loads((tmp_path / "new" / "run.json").read_text())
    assert record["rows"][0]["f1"] == 1.0 and record["settings"] == {"limit": 1}
    assert record["summary"][0]["mode"] == "short" and record["machine"]["cpu"]

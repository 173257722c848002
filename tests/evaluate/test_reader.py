"""The reader's evaluation: a reader that likes one sentence, vectors made by hand."""

import gzip
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from tests.answer.fakes import BOTH, CharTokenizer, FakeReader, spec
from tests.evaluate.test_reader_questions import BLOCKS, LAKES, SWIM, WIDTH, ByWord, written

from app.answer.calibration import Rule
from app.evaluate import reader as evaluation
from app.evaluate.reader import BEST_SENTENCE, FIRST_SENTENCE, LIKELIEST, RELEVANT
from app.evaluate.reader_questions import Question, embedded, given_passage, sample


class OneReader(FakeReader):
    """Its first word after the prompt is the refusal token with probability 1/4."""

    tokenizer = CharTokenizer()

    def read(self, prompt, state=None):
        relevance = super().read(prompt, state).relevance
        logits = torch.full((1, 12), -torch.inf)
        logits[0, self.tokenizer.id_of("<|none|>")] = 0.0
        logits[0, 11] = torch.tensor(3.0).log()
        return SimpleNamespace(declines=self.declines, logits=logits, relevance=relevance)


def make_reader(**options):
    reader = OneReader(**options)
    names = ("name", "spec", "prompt", "read", "likelihoods", "phrase", "tokenizer")
    names += ("calibration", "log_refusal")
    return reader, SimpleNamespace(**{name: getattr(reader, name) for name in names})


@pytest.fixture
def questions(tmp_path):
    return sorted(
        (embedded(q, ByWord()) for q in sample("set", written(tmp_path))), key=lambda q: q.id
    )


@pytest.fixture(autouse=True)
def plain_replace(monkeypatch):
    """A stand-in for a reader is no dataclass: its copy with another form is itself."""
    real = evaluation.replace

    def replace(thing, **changes):
        return thing if isinstance(thing, SimpleNamespace) else real(thing, **changes)

    monkeypatch.setattr(evaluation, "replace", replace)


def test_rows_by_hand(questions):
    fake, reader = make_reader(likelihoods={WIDTH: -0.1, SWIM: -0.2}, writes=["model is", " 768"])
    rows = list(evaluation.evaluate(questions, reader, ("quote", "short", LIKELIEST)))
    by = {(row.id, row.mode): row for row in rows}
    assert len(rows) == 2 * 5 and {row.set for row in rows} == {"set"}
    short = by["1", "short"]
    assert (short.answer, short.evidence, short.exact) == ("model is 768", WIDTH, False)
    assert short.f1 == pytest.approx(2 / 4) and short.hit is True and short.verbatim
    assert short.there is True and short.refusal == pytest.approx(1 / 4)
    quote = by["1", "quote"]
    # width of model is 768: five words after normalisation, one shared
    assert quote.answer == WIDTH and quote.f1 == pytest.approx(2 / 6) and quote.verbatim
    assert quote.cited == by["1", LIKELIEST].cited == 1.0
    assert by["2", LIKELIEST].answer == SWIM
    nearest = by["1", BEST_SENTENCE]
    assert (nearest.answer, nearest.hit, nearest.cited) == (WIDTH, True, 1.0)
    first = by["1", FIRST_SENTENCE]
    assert (first.answer, first.hit, first.f1, first.refusal) == (BLOCKS, False, 0.0, None)
    unanswerable = by["2", "short"]
    assert (unanswerable.exact, unanswerable.f1, unanswerable.hit) == (None, None, None)
    assert unanswerable.there is None
    assert fake.calls == 2  # each prompt is read once for all modes


def test_what_the_rule_declines_is_counted_and_answered_all_the_same(questions):
    # log-odds against a refusal of probability 1/e are 0.54: above the one threshold only
    for threshold, wanted in ((0.5, False), (0.6, True)):
        rule = Rule({"refusal": 1.0}, constant=0.0, threshold=threshold)
        _, reader = make_reader(calibration=replace(BOTH, rule=rule), writes=["no"], declines=True)
        rows = list(evaluation.evaluate(questions, reader, ["short"]))
        said = [(row.declined, row.answer) for row in rows if row.mode == "short"]
        assert said == [(wanted, "no")] * 2


def test_each_signal_puts_its_own_sentence_first(questions):
    likelihoods, relevant = {WIDTH: -0.1, LAKES: -0.1}, {BLOCKS: 2.0, SWIM: 2.0}
    _, reader = make_reader(likelihoods=likelihoods, relevant=relevant)
    rows = list(evaluation.evaluate(questions[:1], reader, (LIKELIEST, RELEVANT)))
    found = [row.evidence for row in rows[:2]]
    assert found[0] in (WIDTH, LAKES) and found[1] in (BLOCKS, SWIM)
    assert len({"W" if text in (WIDTH, BLOCKS) else "L" for text in found}) == 1  # the first of two


def test_what_the_reader_declines_is_counted(questions):
    _, reader = make_reader(declines=True, writes=["x"])
    rows = list(evaluation.evaluate(questions, reader, ["short"]))
    assert [row.declined for row in rows if row.mode == "short"] == [True, True]
    assert not any(row.declined for row in rows if row.mode != "short")


def test_more_passages_are_read_than_by_default():
    _, reader = make_reader()
    assert spec().most_passages == 3
    assert evaluation.Remembering(reader).spec.most_passages == 8


def question_with(proof, text):
    given = (given_passage("", text, rank=1),)
    cosines = ((0.5,) * len(given[0].sentences),)
    return Question("pdf", "1", "How wide?", given, (1,), (), ("768",), True, proof, cosines)


def test_where_the_evidence_is_known_it_must_be_that_sentence():
    question = question_with(WIDTH, f"{BLOCKS} {WIDTH}")
    judge = evaluation.Judge(question)
    right, wrong = (judge.row("quote", text, text, [1]) for text in (WIDTH, BLOCKS))
    assert (right.hit, wrong.hit, right.there) == (True, False, True)
    lost = evaluation.Judge(question_with(WIDTH, f"{BLOCKS} {LAKES}"))
    assert lost.row("quote", BLOCKS, BLOCKS, [1]).there is False


def test_what_is_too_far_for_an_answer_is_answered_and_counts_as_declined(questions):
    _, reader = make_reader(likelihoods={WIDTH: -0.1}, writes=["768"])
    far = [replace(p, score=0.1 + p.rank / 100) for p in questions[0].passages]
    rows = list(evaluation.evaluate([replace(questions[0], passages=far)], reader, ["short"]))
    assert (rows[0].answer, rows[0].evidence, rows[0].declined) == ("768", WIDTH, True)
    assert rows[2].mode == FIRST_SENTENCE and rows[2].answer == far[1].sentences[0].text


def test_a_file_of_rows(tmp_path, questions):
    rows = list(evaluation.evaluate(questions, make_reader(writes=["x"])[1], ["short"]))
    path = tmp_path / "rows.jsonl"
    with path.open("w") as file:
        evaluation.write_head(file, {"limit": 1})
        evaluation.write_rows(file, rows)
    assert evaluation.read_rows(path) == rows
    packed = tmp_path / "rows.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert evaluation.read_rows(packed) == rows
    head = json.loads(path.read_text().split("\n")[0])
    assert head["settings"] == {"limit": 1} and head["machine"]["cpu"]
    path.write_text("")
    with pytest.raises(ValueError, match="no rows"):
        evaluation.read_rows(path)
    path.write_text('{"set": "s"}\n')
    with pytest.raises(ValueError, match="no file of rows"):
        evaluation.read_rows(path)

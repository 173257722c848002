"""From questions to cases to a calibration, with a reader and cosines that are seen."""

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from tests.answer.fakes import FakeReader

from app.answer.calibration import Calibration, Rule
from app.cli import main
from app.evaluate import calibrate, calibrate_table
from app.evaluate.calibrate import ANSWERABLE, REMOVED, UNANSWERABLE, Case
from app.evaluate.reader_questions import Question, given_passage

GATES = "The forget gate of every block stays open at the start."
WIDTH = "The width of the model is 768 in all of its blocks."
LAKES = "A valley in the north of the land has seven deep lakes."
ROCKS = "The rocks of the southern coast are older than the hills."
PASSAGES = tuple(
    given_passage("T", text, rank=n, score=score)
    for n, (text, score) in enumerate([(LAKES, 0.5), (f"{GATES} {WIDTH}", 0.2), (ROCKS, 0.6)], 1)
)
QUESTION = Question(
    "set", "q", "How wide is the model?", PASSAGES, (2,), ("768",), ("768",), True, "",
    ((0.5,), (0.1, 0.3), (0.6,)),
)  # fmt: skip

RULE = ("refusal", "words")
RANKER = Path(__file__).resolve().parents[2] / "data/models/ranker"


def with_(**changes):
    return Question(**{name: getattr(QUESTION, name) for name in QUESTION.__slots__} | changes)


@pytest.fixture(autouse=True)
def plain_replace(monkeypatch):
    """A stand-in for a reader is no dataclass: its copy with another form is itself."""
    real = calibrate.replace

    def replace(thing, **changes):
        return thing if isinstance(thing, FakeReader) else real(thing, **changes)

    monkeypatch.setattr(calibrate, "replace", replace)


def test_what_answers_is_kept_and_the_nearest_others_come_in_their_order():
    two = calibrate.narrowed(QUESTION, 2)
    assert [p.text for p in two.passages] == [ROCKS, f"{GATES} {WIDTH}"] and two.right == (2,)
    assert two.cosines == ((0.6,), (0.1, 0.3)) and [p.rank for p in two.passages] == [1, 2]
    rest = calibrate.narrowed(calibrate.without_answer(QUESTION), 2)
    assert [p.text for p in rest.passages] == [ROCKS, LAKES] and rest.right == ()


def test_right_sentences():
    assert calibrate.right_sentences(QUESTION) == {(2, 1)}
    lakes = {"spans": ("lakes",), "golds": ("lakes",)}
    assert calibrate.right_sentences(with_(**lakes)) == set()  # it stands where nothing answers
    assert calibrate.right_sentences(with_(**lakes, right=())) == {(1, 0)}
    assert calibrate.right_sentences(with_(proof=GATES)) == {(2, 0)}
    long = ("open", "At the start the forget gate of each block is open.")
    assert calibrate.right_sentences(with_(spans=("open",), golds=long)) == {(2, 0)}


def test_cases_of_an_answerable_question_and_of_one_that_is_not():
    reader = FakeReader({WIDTH: -1.0}, refuses=math.log(0.5), relevant={WIDTH: 1.0})
    first, second = calibrate.cases([QUESTION], reader, ("similarity", "likelihood"), RULE)
    assert (first.kind, second.kind) == (ANSWERABLE, REMOVED)
    # nearest first: rocks, lakes, then the passage that answers
    assert first.right == (False, False, False, True)
    assert first.sentences["similarity"] == [0.6, 0.5, 0.1, 0.3]
    assert first.sentences["likelihood"] == [-3.0, -3.0, -3.0, -1.0]
    assert first.question["refusal"] == pytest.approx(0.0)
    assert first.question["words"] == 0.5  # "model" and not "wide"
    assert second.right == (False, False) and second.question["words"] == 0.0
    (alone,) = calibrate.cases([with_(answerable=False, right=())], reader, ("words",), RULE)
    assert alone.kind == UNANSWERABLE and not any(alone.right)


def case(number, kind=ANSWERABLE, near=(0.9, 0.1), right=(True, False), refusal=0.0):
    known = {"similarity": near, "words": near[::-1], "likelihood": near}
    return Case("s", str(number), kind, known, right, {"refusal": refusal, "words": 0.5})


def test_places_by_hand():
    one = case(1, near=(0.9, 0.5, 0.1), right=(False, True, True))
    assert calibrate.place(one, Calibration({"similarity": 1.0})) == 2
    assert calibrate.place(one, Calibration({"similarity": 1.0, "words": 2.0})) == 1
    costly = {"similarity": 1.0, "likelihood": 1.0}
    assert calibrate.place(one, Calibration(costly, 2)) == 2
    assert calibrate.place(one, Calibration(costly, 1)) is None  # cut off
    assert calibrate.place(case(1, right=(False, False)), Calibration(costly)) is None


def test_the_signal_that_tells_gets_the_weight():
    known = [case(n, near=(0.9, 0.1 * (n % 3), 0.2), right=(True, False, False)) for n in range(30)]
    weights = calibrate.fit_evidence([*known, case(0, right=(False, False))], ["similarity"])
    assert weights["similarity"] > 1.5


def test_a_threshold_refuses_a_twentieth_of_the_answerable():
    answerable = [case(n, refusal=0.1 * n) for n in range(41, 81)]
    others = [case(n, REMOVED, refusal=0.1 * n) for n in range(1, 41)]
    rule = calibrate.fit_rule([*answerable, *others], ["refusal", "words"])
    assert sum(rule.score(c.question) < rule.threshold for c in answerable) == 2
    assert all(rule.score(c.question) < rule.threshold for c in others)
    assert rule.weights["words"] == pytest.approx(0, abs=1e-6)  # the same in all
    with pytest.raises(ValueError, match="with and without an answer"):
        calibrate.calibrated(answerable, ["similarity"], ["refusal"], 8, 0.05, {})


def test_tables_by_hand():
    right = [case(n) for n in range(3)] + [case(3, right=(False, True))]
    ways = {"similarity": {"similarity": 1.0}, "words": {"words": 1.0}}
    lines = calibrate_table.evidence_table(right, ways, 8).split("\n")
    assert lines[2] == "| s | 4 | similarity | 75.0 | 100.0 | +0.0 (+0.0 to +0.0) |"
    assert lines[3].startswith("| s | 4 | words | 25.0 | 100.0 | -50.0 (")
    known = [case(n, refusal=value) for n, value in enumerate([2.0, 1.0, -1.0])]
    known += [case(9, UNANSWERABLE, refusal=value) for value in (-2.0, 0.0)]
    rule = Rule({"refusal": 1.0}, 0.0, 0.5)
    # of 6 pairs 5 in order; one of 3 and 2 of 2 are below 0.5: F1 = 4 / (2 + 2 + 1)
    wanted = "| s | r | unanswerable | 0.833 | 33.3 % of 3 | 100.0 % of 2 | 0.80 |"
    assert calibrate_table.rule_table(known, {"r": rule}).split("\n")[2] == wanted


def test_a_calibration_is_fitted_from_kept_cases(tmp_path, capsys):
    known = [case(n, refusal=1 + n % 3) for n in range(40)]
    known += [case(n, UNANSWERABLE, right=(False, False), refusal=-(n % 3)) for n in range(40)]
    path = tmp_path / "cases.jsonl"
    assert list(calibrate.kept(path, known[:50])) == known[:50]
    assert next(calibrate.kept(path, known[50:])) == known[50]  # one line, though not gone on with
    assert len(calibrate.read_cases(path)) == 51
    list(calibrate.kept(path, known[51:]))
    assert [c.question for c in calibrate.read_cases(path)] == [c.question for c in known]
    asked = ["calibrate", "--from", str(path), "--fit", "s", "--report", "s"]
    asked += ["--signals", "similarity", "likelihood", "--rule", "refusal"]
    asked += ["--model", str(tmp_path)]
    assert main([*asked, "--dry-run"]) == 0 and not (tmp_path / "calibration.json").exists()
    assert main(asked) == 0
    made = Calibration.load(tmp_path)
    assert list(made.evidence) == ["similarity", "likelihood"] and made.rule.weights["refusal"] > 0
    shown = capsys.readouterr().out
    half = sum(not calibrate.first_half(c) for c in known[:40])
    assert 0 < half < 40 and f"| s | {half} | all | 100.0 | 100.0 |" in shown
    command = json.loads((tmp_path / "calibration.json").read_text())["fitted"]["command"]
    assert command.startswith("python -m app calibrate --fit s") and str(tmp_path) not in command
    assert main([*asked[:3], "--fit", "x", "--model", str(tmp_path)]) == 1
    assert "ranker" not in made.fitted


def test_a_calibration_that_asks_the_ranker_says_which(tmp_path):
    known = [case(n) for n in range(20)] + [case(n, UNANSWERABLE, right=()) for n in range(20)]
    known = [
        replace(each, sentences={"rank": [1.0, n % 3]}, question={"rank": float(n % 5)})
        for n, each in enumerate(known)
    ]
    list(calibrate.kept(tmp_path / "cases.jsonl", known))
    asked = ["calibrate", "--from", str(tmp_path / "cases.jsonl"), "--fit", "s"]
    asked += ["--signals", "rank", "--rule", "rank", "--model", str(tmp_path)]
    assert main(asked) == 0
    stored = RANKER / "adapters.safetensors"
    digest = hashlib.sha256(stored.name.encode() + b"\0" + sha256_of(stored)).hexdigest()
    assert Calibration.load(tmp_path).fitted["ranker"] == digest


def sha256_of(path):
    return hashlib.sha256(path.read_bytes()).digest()

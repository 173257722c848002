"""calibration.json: what it says, what it refuses, and the rule by which a reader declines."""

import hashlib
import json
import math
from pathlib import Path

import pytest

from app.answer.calibration import UNCALIBRATED, Calibration, Rule, chance, weights_digest

READER = Path(__file__).resolve().parents[2] / "data" / "models" / "reader"
RANKER = READER.parent / "ranker"

RULE = Rule({"words": 2.0, "refusal": 0.5}, constant=-1.0, threshold=-0.5)


def test_a_rule_is_a_weighted_sum_and_looks_at_nothing_else():
    signals = {"words": 0.75, "refusal": 2.0, "similarity": 100.0}
    assert RULE.score(signals) == pytest.approx(-1 + 1.5 + 1)
    assert RULE.least_chance == pytest.approx(1 / (1 + math.exp(0.5)))


def test_chances_of_log_odds():
    assert chance(0.0) == 0.5 and chance(math.log(3)) == pytest.approx(0.75)
    assert chance(-math.log(3)) == pytest.approx(0.25)
    assert (chance(-1e4), chance(1e4), chance(-math.inf)) == (0.0, 1.0, 0.0)


def test_what_is_saved_is_loaded(tmp_path):
    made = Calibration({"similarity": 0.5, "likelihood": 1.5}, 4, RULE, {"command": "x"})
    made.save(tmp_path)
    assert Calibration.load(tmp_path) == made
    plain = Calibration({"words": 1.0})
    plain.save(tmp_path)
    assert Calibration.load(tmp_path) == plain and plain.rule is None


def test_without_a_file_the_nearest_sentence_and_no_refusal(tmp_path):
    assert Calibration.load(tmp_path) is UNCALIBRATED
    assert (UNCALIBRATED.evidence, UNCALIBRATED.rule) == ({"similarity": 1.0}, None)
    assert "not calibrated" in str(UNCALIBRATED)
    assert str(Calibration({"words": 1.0})) == "evidence by words"
    assert str(Calibration({"words": 1.0}, rule=RULE)).endswith("a chance of 0.38 of an answer")


def test_weights_are_told_apart_by_their_bytes_and_names(tmp_path):
    (tmp_path / "b.safetensors").write_bytes(b"two")
    (tmp_path / "a.safetensors").write_bytes(b"one")
    (tmp_path / "config.json").write_text("{}")
    parts = [
        name.encode() + b"\0" + hashlib.sha256(content).digest()
        for name, content in (("a.safetensors", b"one"), ("b.safetensors", b"two"))
    ]
    assert weights_digest(tmp_path) == hashlib.sha256(b"".join(parts)).hexdigest()


@pytest.mark.skipif(not (READER / "prompt.json").is_file(), reason="no reader in data/models")
def test_the_readers_calibration_was_fitted_to_its_own_weights():
    calibration = Calibration.load(READER)
    assert calibration is not UNCALIBRATED, "run: python -m app calibrate"
    assert calibration.fitted["weights"] == weights_digest(READER), "run: python -m app calibrate"
    assert "rank" in calibration.signals
    ranker = weights_digest(RANKER)
    assert calibration.fitted["ranker"] == ranker, "run: python -m app calibrate"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "format 2; this version reads 1"),
        ({"evidence": {"colour": 1.0}}, "no signal 'colour'; it has similarity"),
        ({"evidence": {}}, "at least one"),
        ({"evidence": {"likelihood": 1.0}}, "besides the costly likelihood"),
        ({"evidence": {"words": math.nan}}, "must be numbers"),
        ({"shortlist": 0}, "must be at least 1"),
        ({"rule": {"weights": {"luck": 1.0}, "constant": 0, "threshold": 0}}, "signal 'luck'"),
        ({"rule": {"weights": {"words": 1.0}}}, "constant"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, changes, message):
    path = Calibration({"words": 1.0}).save(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ValueError, match=message) as raised:
        Calibration.load(tmp_path)
    assert "calibration.json" in str(raised.value)


def test_what_is_no_json_is_named(tmp_path):
    (tmp_path / "calibration.json").write_text("{")
    with pytest.raises(ValueError, match="not JSON"):
        Calibration.load(tmp_path)

"""What was fitted to a reader's weights: how signals order sentences, and when it declines.

It lies in calibration.json beside the weights; `python -m app calibrate` writes it, nothing here
fits anything.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.answer.signals import COSTLY, OF_QUESTION, OF_SENTENCE

FILE, FORMAT = "calibration.json", 1


@dataclass(frozen=True, slots=True)
class Rule:
    """Log-odds that passages answer a question, a logistic regression; declined below a threshold.

    Attributes:
        weights: Of the signals of a question, as they are.
        constant: Added to the weighted sum.
        threshold: The log-odds below which the answer is "not found".
    """

    weights: Mapping[str, float]
    constant: float
    threshold: float

    def score(self, signals: Mapping[str, float]) -> float:
        """The log-odds; other signals than those with a weight are not looked at."""
        return self.constant + sum(w * signals[name] for name, w in self.weights.items())

    @property
    def least_chance(self) -> float:
        """The threshold as a probability."""
        return chance(self.threshold)


@dataclass(frozen=True, slots=True)
class Calibration:
    """How a reader's evidence is chosen, and when nothing is taken for an answer.

    Attributes:
        evidence: Weights of the signals of a sentence, each standardised over the sentences to
            choose from; differences of the weighted sum are log-odds of being the right one.
        shortlist: For how many sentences, the best by the other signals, the costly ones are found.
        rule: When to decline; None never does.
        fitted: The command, how many cases, and `weights_digest` of the reader's weights that it
            belongs to, and of the ranker's where it has a weight.
    """

    evidence: Mapping[str, float]
    shortlist: int = 24
    rule: Rule | None = None
    fitted: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check("a sentence", self.evidence, OF_SENTENCE)
        if not set(self.evidence) - set(COSTLY):
            raise ValueError(f"evidence needs a signal besides the costly {', '.join(COSTLY)}")
        if self.shortlist < 1:
            raise ValueError(f"shortlist is {self.shortlist}; it must be at least 1")
        if self.rule is not None:
            _check("a question", self.rule.weights, OF_QUESTION)

    @property
    def signals(self) -> frozenset[str]:
        """Names of all that have a weight, of sentences and of questions."""
        return frozenset(self.evidence) | frozenset(self.rule.weights if self.rule else ())

    def __str__(self) -> str:
        told = f"evidence by {' + '.join(self.evidence)}"
        if self is UNCALIBRATED:
            return f"{told}: not calibrated, and never declines (python -m app calibrate)"
        if self.rule is None:
            return told
        return f"{told}; declines below a chance of {self.rule.least_chance:.2f} of an answer"

    @classmethod
    def load(cls, folder: str | Path) -> "Calibration":
        """Read `folder/calibration.json`; without that file, UNCALIBRATED.

        Raises:
            ValueError: The file is damaged, of another format, or names an unknown signal.
        """
        path = Path(folder) / FILE
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return UNCALIBRATED
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} is not JSON: {error}") from None
        if raw.get("format") != FORMAT:
            raise ValueError(f"{path}: format {raw.get('format')!r}; this version reads {FORMAT}")
        try:
            rule = None if raw["rule"] is None else Rule(**raw["rule"])
            return cls(raw["evidence"], raw["shortlist"], rule, raw["fitted"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from None

    def save(self, folder: str | Path) -> Path:
        """Write `folder/calibration.json`."""
        rule = self.rule and {
            "weights": dict(self.rule.weights),
            "constant": self.rule.constant,
            "threshold": self.rule.threshold,
        }
        values = {
            "format": FORMAT,
            "evidence": dict(self.evidence),
            "shortlist": self.shortlist,
            "rule": rule,
            "fitted": dict(self.fitted),
        }
        path = Path(folder) / FILE
        path.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return path


def weights_digest(folder: str | Path) -> str:
    """sha256 of the weights in a folder, file by file: which weights a calibration belongs to."""
    digest = hashlib.sha256()
    for path in sorted(Path(folder).glob("*.safetensors")):
        digest.update(path.name.encode() + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _check(of: str, weights: Mapping[str, float], known: Mapping[str, str]) -> None:
    unknown = sorted(set(weights) - set(known))
    if unknown:
        raise ValueError(f"{of} has no signal {unknown[0]!r}; it has {', '.join(known)}")
    if not weights or not all(math.isfinite(weight) for weight in weights.values()):
        raise ValueError(f"the weights of {of} must be numbers, at least one: {dict(weights)}")


def chance(log_odds: float) -> float:
    """A probability from log-odds, without overflow."""
    if log_odds >= 0:
        return 1 / (1 + math.exp(-log_odds))
    return 1 - 1 / (1 + math.exp(log_odds))


# Of a reader for which nothing was fitted: the nearest sentence, and it never declines.
UNCALIBRATED = Calibration({"similarity": 1.0})

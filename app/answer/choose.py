"""Ordering the sentences by their signals; the costly ones are found for the best few only."""

from collections.abc import Mapping, Sequence

from app.answer import signals
from app.answer.calibration import Calibration
from app.answer.evidence import Candidate, ranked, weighed
from app.answer.records import Evidence


def ordered(
    calibration: Calibration,
    question: str,
    found: Sequence[Candidate],
    cosines: Sequence[Sequence[float]],
    reader: signals.SignalReader,
    reading: signals.Read,
) -> list[Evidence]:
    """The candidates as evidence, best first.

    Where a costly signal has a weight, only the `shortlist` candidates that the others put first
    are in the result, and all signals are standardised over those.

    Args:
        calibration: The weights.
        question: As the reader was asked.
        found: The candidates, at least one.
        cosines: Of the question and each sentence of each passage.
        reader: Gives its own signals.
        reading: The prompt of this question, read.
    """
    weights = calibration.evidence
    cheap = {name: weight for name, weight in weights.items() if name not in signals.COSTLY}
    known = signals.of_sentences(cheap, question, found, cosines, reader, reading)
    if len(cheap) < len(weights):
        kept = shortlisted(known, cheap, calibration.shortlist)
        found = [found[i] for i in kept]
        known = {name: [values[i] for i in kept] for name, values in known.items()}
        costly = [name for name in weights if name not in cheap]
        known |= signals.of_sentences(costly, question, found, cosines, reader, reading)
    return ranked(found, known, weights)


def shortlisted(
    known: Mapping[str, Sequence[float]], weights: Mapping[str, float], most: int
) -> list[int]:
    """Indices of the candidates that the weights put first, in the order of the text."""
    scores = weighed(known, weights)
    return sorted(sorted(range(len(scores)), key=lambda i: -scores[i])[:most])

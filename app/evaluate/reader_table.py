"""From rows of questions to a table: means by set and mode, and paired intervals of differences.

It asks nobody anything.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from app.evaluate import metrics
from app.evaluate.reader import BEST_SENTENCE, FIRST_SENTENCE, Row
from app.show.text import markdown_table


def summary(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One record for each set and mode, in the order of the rows.

    Shares and means from 0 to 1, None where no question has the figure; `n` of each counts those
    that have it. `over best sentence` and `over first sentence` are the mean differences in F1 to
    the baselines, question by question, with a 95 % bootstrap interval.
    """
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.set, row.mode), []).append(row)
    return [
        {"set": name, "mode": mode, **_measures(group), **_differences(groups, name, group)}
        for (name, mode), group in groups.items()
    ]


def _measures(group: Sequence[Row]) -> dict[str, Any]:
    f1 = _known(row.f1 for row in group)
    answerable = [row for row in group if row.answerable]
    unanswerable = [row for row in group if not row.answerable]
    return {
        "n": len(answerable),
        "n unanswerable": len(unanswerable),
        "exact": _mean(_known(row.exact for row in group)),
        "f1": _mean(f1),
        "f1 interval": metrics.interval(f1) if f1 else None,
        "evidence hit": _mean(_known(row.hit for row in group)),
        "cited right": _mean(_known(row.cited for row in group)),
        "declined answerable": _mean([row.declined for row in answerable]),
        "declined unanswerable": _mean([row.declined for row in unanswerable]),
        "verbatim": _mean([row.verbatim for row in group]),
        "seconds": _mean([row.seconds for row in group]),
    }


def _differences(
    groups: dict[tuple[str, str], list[Row]], name: str, group: Sequence[Row]
) -> dict[str, Any]:
    """F1 less each baseline's on the same questions; none for a baseline itself."""
    found: dict[str, Any] = {}
    if group[0].mode in (BEST_SENTENCE, FIRST_SENTENCE):
        return found
    for baseline in (BEST_SENTENCE, FIRST_SENTENCE):
        other = groups.get((name, baseline), [])
        differences = paired(group, other, lambda row: row.f1)
        if differences:
            found[f"over {baseline}"] = _mean(differences)
            found[f"over {baseline} interval"] = metrics.interval(differences)
    return found


def paired(
    rows: Iterable[Row], others: Iterable[Row], value: Callable[[Row], float | None]
) -> list[float]:
    """Differences of a figure, question by question, where both have it."""
    known = {row.id: value(row) for row in others}
    return [
        float(mine) - float(known[row.id])
        for row in rows
        if (mine := value(row)) is not None and known.get(row.id) is not None
    ]


def table(records: Sequence[dict[str, Any]]) -> str:
    """The summary as a Markdown table, in per cent."""
    head = ["set", "mode", "n", "exact", "F1 (95 %)", "over best sentence (95 %)", "evidence hit"]
    head += ["cited right", "declined: answerable", "unanswerable", "verbatim"]
    lines = [
        [
            record["set"],
            record["mode"],
            f"{record['n']} + {record['n unanswerable']}",
            _percent(record["exact"]),
            _percent(record["f1"], record["f1 interval"]),
            _percent(
                record.get("over best sentence"), record.get("over best sentence interval"), "+"
            ),
            _percent(record["evidence hit"]),
            _percent(record["cited right"]),
            _percent(record["declined answerable"]),
            _percent(record["declined unanswerable"]),
            _percent(record["verbatim"]),
        ]
        for record in records
    ]
    return markdown_table(head, lines)


def _percent(value: float | None, interval: Sequence[float] | None = None, sign: str = "") -> str:
    if value is None:
        return ""
    shown = f"{100 * value:{sign}.1f}"
    if interval is not None:
        shown += f" ({100 * interval[0]:{sign}.1f} to {100 * interval[1]:{sign}.1f})"
    return shown


def _known(values: Iterable[float | bool | None]) -> list[float]:
    return [float(value) for value in values if value is not None]


def _mean(values: Sequence[float | bool]) -> float | None:
    return sum(values) / len(values) if values else None

"""From rows of questions to tables: means by set and mode, paired differences, the model card.

It asks nobody anything.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from app.evaluate import metrics
from app.evaluate.reader import BEST_SENTENCE, FIRST_SENTENCE, LIKELIEST, RELEVANT, WRITTEN, Row
from app.show.text import markdown_table

BASELINES = (BEST_SENTENCE, FIRST_SENTENCE)
PHRASED = ("short", "sentence", "bullets", "quote")
BEGIN, END = "<!-- figures -->", "<!-- /figures -->"
Value = Callable[[Row], float | None]


def summary(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One record for each set and mode, in the order of the rows.

    Shares and means from 0 to 1, None where no question has the figure; `n` counts the answerable.
    `evidence hit` is over all questions, `hit of those there` over those of which some sentence of
    the passages holds the answer, `told apart` the area under the ROC curve of the refusal's
    probability. `over best sentence` and `over first sentence` are the mean differences in F1 to
    the baselines, question by question, with a 95 % bootstrap interval.
    """
    groups = _groups(rows)
    return [
        {"set": name, "mode": mode, **_measures(group), **_differences(groups, name, group)}
        for (name, mode), group in groups.items()
    ]


def _groups(rows: Iterable[Row]) -> dict[tuple[str, str], list[Row]]:
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.set, row.mode), []).append(row)
    return groups


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
        "hit of those there": _mean(_known(row.hit for row in group if row.there)),
        "cited right": _mean(_known(row.cited for row in group)),
        "declined answerable": _mean([row.declined for row in answerable]),
        "declined unanswerable": _mean([row.declined for row in unanswerable]),
        "told apart": _told_apart(answerable, unanswerable),
        "verbatim": _mean([row.verbatim for row in group]),
        "seconds": _mean([row.seconds for row in group]),
    }


def _told_apart(answerable: Sequence[Row], unanswerable: Sequence[Row]) -> float | None:
    """Chance that the refusal is likelier on an unanswerable question than on an answerable one."""
    sides = [_known(row.refusal for row in side) for side in (unanswerable, answerable)]
    return metrics.auroc(*sides) if all(sides) else None


def _differences(
    groups: dict[tuple[str, str], list[Row]], name: str, group: Sequence[Row]
) -> dict[str, Any]:
    """F1 less each baseline's on the same questions; none for a baseline itself."""
    found: dict[str, Any] = {}
    if group[0].mode in BASELINES:
        return found
    for baseline in BASELINES:
        differences = paired(group, groups.get((name, baseline), []), lambda row: row.f1)
        if differences:
            found[f"over {baseline}"] = _mean(differences)
            found[f"over {baseline} interval"] = metrics.interval(differences)
    return found


def paired(rows: Iterable[Row], others: Iterable[Row], value: Value) -> list[float]:
    """Differences of a figure, question by question, where both have it."""
    known = {(row.set, row.id): value(row) for row in others}
    return [
        float(mine) - float(known[row.set, row.id])
        for row in rows
        if (mine := value(row)) is not None and known.get((row.set, row.id)) is not None
    ]


def table(records: Sequence[dict[str, Any]]) -> str:
    """The summary as a Markdown table, in per cent."""
    head = ["set", "mode", "n", "exact", "F1 (95 %)", "over best sentence (95 %)"]
    head += ["over first sentence (95 %)", "evidence hit", "of those there", "cited right"]
    head += ["declined: answerable", "unanswerable", "told apart", "verbatim"]
    lines = [
        [
            record["set"],
            record["mode"],
            f"{record['n']} + {record['n unanswerable']}",
            _percent(record["exact"]),
            _percent(record["f1"], record["f1 interval"]),
            *(
                _percent(record.get(f"over {b}"), record.get(f"over {b} interval"), "+")
                for b in BASELINES
            ),
            _percent(record["evidence hit"]),
            _percent(record["hit of those there"]),
            _percent(record["cited right"]),
            _percent(record["declined answerable"]),
            _percent(record["declined unanswerable"]),
            _percent(record["told apart"]),
            _percent(record["verbatim"]),
        ]
        for record in records
    ]
    return markdown_table(head, lines)


def compared(rows: Sequence[Row], others: Sequence[Row]) -> str:
    """The second model less the first, question by question, as a Markdown table in per cent.

    A line for each set and mode that both have, then one a mode for all of these sets together;
    differences have paired 95 % bootstrap intervals. `declined: answerable` should fall.

    Raises:
        ValueError: no question is in both in the same mode.
    """
    first, second = _groups(rows), _groups(others)
    keys = [key for key in first if key in second and key[1] not in BASELINES]
    lines = [_compared(*key, first[key], second[key]) for key in keys]
    for mode in dict.fromkeys(mode for _, mode in keys):
        both = [
            [row for key in keys if key[1] == mode for row in side[key]] for side in (first, second)
        ]
        lines.append(_compared("all sets", mode, *both))
    if not any(line[2] != "0" for line in lines):
        raise ValueError("the two files have no question in common in the same mode")
    head = ["set", "mode", "n", "F1", "F1 of the second", *(f"{name} (95 %)" for name in _CHANGES)]
    return markdown_table(head, lines)


_CHANGES: dict[str, Value] = {
    "F1": lambda row: row.f1,
    "exact": lambda row: row.exact,
    "evidence hit": lambda row: row.hit,
    "declined: answerable": lambda row: row.declined if row.answerable else None,
    "declined: unanswerable": lambda row: None if row.answerable else row.declined,
    "verbatim": lambda row: row.verbatim,
}


def _compared(name: str, mode: str, rows: Sequence[Row], others: Sequence[Row]) -> list[str]:
    shared = {(row.set, row.id) for row in rows} & {(row.set, row.id) for row in others}
    means = [
        _mean(_known(row.f1 for row in side if (row.set, row.id) in shared))
        for side in (rows, others)
    ]
    cells = []
    for value in _CHANGES.values():
        differences = paired(others, rows, value)
        interval = metrics.interval(differences) if differences else None
        cells.append(_percent(_mean(differences), interval, "+"))
    return [name, mode, str(len(shared)), *map(_percent, means), *cells]


def write_card(path: Path, rows: Sequence[Row], source: str) -> None:
    """Put the tables of a model card between its two marks; the rest of it stays.

    Args:
        path: The card.
        rows: Of one model.
        source: The file of the rows, as the card names it.

    Raises:
        ValueError: the card lacks the marks.
    """
    text = path.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise ValueError(f"{path} has no {BEGIN} and {END} to write between")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    records = {(record["set"], record["mode"]): record for record in summary(rows)}
    made = f"""{BEGIN}
F1 of the words by answer mode, and of the two baselines that use no reader: the sentence nearest to
the question by embedding, and the first sentence of the nearest passage. In per cent, with paired
95 % bootstrap intervals of the differences; n counts answerable + unanswerable questions.

{_answers(records)}

Evidence, the share that holds the answer: the sentence that is shown first; where some sentence of
the passages does; those that the reader alone finds likeliest and most relevant; the nearest by
embedding; and what the reader writes freely, with the share of it that stands word for word in the
passages. Told apart: the chance that refusing is likelier on an unanswerable question than on an
answerable one.

{_evidence(records)}

Both tables: `python -m app evaluate reader --from {source} --card {path.as_posix()}`; without
`--card` it prints exact match and every interval too.
{END}"""
    path.write_text(before + made + after, encoding="utf-8")


def _answers(records: dict[tuple[str, str], dict[str, Any]]) -> str:
    lines = []
    for name in dict.fromkeys(name for name, _ in records):
        of = {mode: records[name, mode] for mode in PHRASED if (name, mode) in records}
        best = max(of, key=lambda mode: of[mode]["f1"] or 0.0)
        over = f"over {BEST_SENTENCE}"
        any_of = of[best]
        lines.append(
            [
                name,
                f"{any_of['n']} + {any_of['n unanswerable']}",
                *(_percent(of[mode]["f1"]) if mode in of else "" for mode in PHRASED),
                *(_figure(records, name, baseline, "f1") for baseline in BASELINES),
                f"{best} {_percent(any_of.get(over), any_of.get(f'{over} interval'), '+')}",
            ]
        )
    head = ["set", "n", *PHRASED, *BASELINES, "best mode less best sentence (95 %)"]
    return markdown_table(head, lines)


def _evidence(records: dict[tuple[str, str], dict[str, Any]]) -> str:
    columns = {
        "shown first": ("quote", "evidence hit"),
        "of those there": ("quote", "hit of those there"),
        "likeliest": (LIKELIEST, "evidence hit"),
        "most relevant": (RELEVANT, "evidence hit"),
        "nearest": (BEST_SENTENCE, "evidence hit"),
        "written freely": (WRITTEN, "evidence hit"),
        "word for word": (WRITTEN, "verbatim"),
        "citations right": ("sentence", "cited right"),
        "declined: answerable": ("quote", "declined answerable"),
        "unanswerable": ("quote", "declined unanswerable"),
        "told apart": ("quote", "told apart"),
    }
    columns = {
        head: (mode, key)
        for head, (mode, key) in columns.items()
        if any(m == mode and record[key] is not None for (_, m), record in records.items())
    }
    lines = [
        [name, *(_figure(records, name, mode, key) for mode, key in columns.values())]
        for name in dict.fromkeys(name for name, _ in records)
    ]
    return markdown_table(["set", *columns], lines)


def _figure(records: dict, name: str, mode: str, key: str) -> str:
    return _percent(records.get((name, mode), {}).get(key))


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

"""The rows of every bench: quantiles, the printed table, the CSV record, the README's table."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles

from app.evaluate.machine import describe


@dataclass(frozen=True)
class Row:
    """One figure: its values in `unit`. Rates ("x/s") are better when larger, all else smaller.

    name: what was done, and how it was timed where that matters ("forward, eager").
    shape, dtype: of what, where it has one.
    bound: the best that this machine allows, in the same unit; bound_by says what sets it.
    peer: the median of another implementation in the same run, in the same unit; peer_name.
    """

    name: str
    unit: str
    values: tuple[float, ...]
    shape: str = ""
    dtype: str = ""
    bound: float | None = None
    bound_by: str = ""
    peer: float | None = None
    peer_name: str = ""

    @property
    def spread(self) -> tuple[float, float, float]:
        """10 % quantile, median and 90 % quantile (linear between the values)."""
        if len(self.values) == 1:
            return self.values * 3
        cuts = quantiles(self.values, n=10, method="inclusive")
        return cuts[0], cuts[4], cuts[8]

    @property
    def share(self) -> float | None:
        """How much of the bound is reached: 1 is all of it."""
        return None if self.bound is None else self._against(self.bound)

    @property
    def speedup(self) -> float | None:
        """How many times the peer's speed."""
        return None if self.peer is None else self._against(self.peer)

    def _against(self, other: float) -> float:
        median = self.spread[1]
        return median / other if self.unit.endswith("/s") else other / median


def number(value: float | None, digits: int = 4) -> str:
    """Significant digits without an exponent where that is readable; '' for None."""
    if value is None:
        return ""
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in text and value < 1e9 else text


def table(rows: Sequence[Row]) -> str:
    """The rows for a terminal."""
    wide = max(len(_title(row)) for row in rows) + 2
    lines = [f"{'':{wide}}{'10 %':>9}{'median':>10}{'90 %':>9}"]
    for row in rows:
        low, middle, high = (number(value) for value in row.spread)
        line = f"{_title(row):{wide}}{low:>9}{middle:>10}{high:>9} {row.unit}"
        if row.bound is not None:
            line += f"  {row.share:.0%} of {number(row.bound)} ({row.bound_by})"
        if row.peer is not None:
            line += f"  {row.speedup:.2f}x {row.peer_name} ({number(row.peer)})"
        lines.append(line)
    return "\n".join(lines)


def _title(row: Row) -> str:
    return "  ".join(part for part in (row.name, row.shape, row.dtype) if part)


def record(rows: Sequence[Row], path: Path) -> None:
    """Append the rows to a CSV file, each with date, machine, versions and commit.

    A file with fewer or other columns is rewritten: what a row does not know stays empty.
    """
    base = {"date": datetime.now(UTC).strftime("%Y-%m-%d"), **describe()}
    new = [{**base, **_figures(row)} for row in rows]
    old = read(path)
    fields = list(dict.fromkeys(name for row in (*new, *old) for name in row))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fields, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows([*old, *new])


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a record as it holds them; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _figures(row: Row) -> dict[str, str]:
    low, middle, high = (number(value) for value in row.spread)
    return {
        "name": row.name,
        "shape": row.shape,
        "dtype": row.dtype,
        "unit": row.unit,
        "n": str(len(row.values)),
        "q10": low,
        "median": middle,
        "q90": high,
        "bound": number(row.bound),
        "bound_by": row.bound_by,
        "share": number(row.share, 3),
        "peer": number(row.peer),
        "peer_name": row.peer_name,
        "speedup": number(row.speedup, 3),
    }


def markdown(records: Mapping[str, Iterable[Mapping[str, str]]]) -> str:
    """README's tables: per bench and machine the newest row of each figure.

    Args:
        records: Name of a bench -> the rows of its CSV file, oldest first.
    """
    parts = []
    for bench, rows in records.items():
        newest: dict[str, dict[tuple[str, ...], Mapping[str, str]]] = {}
        for row in rows:
            key = tuple(row.get(field, "") for field in ("name", "shape", "dtype", "unit"))
            newest.setdefault(row.get("gpu") or row["cpu"], {})[key] = row
        for machine, figures in newest.items():
            parts.append(_section(bench, machine, list(figures.values())))
    return "\n\n".join(parts)


def _section(bench: str, machine: str, rows: Sequence[Mapping[str, str]]) -> str:
    on = f"torch {rows[-1]['torch']}"
    if rows[-1].get("gpu"):
        on += f", Triton {rows[-1]['triton']}"
    else:
        machine += f" ({rows[-1]['units']}), {rows[-1]['cores']} cores"
    lines = [
        f"`python -m app bench {bench}`, {machine}, {on}, {rows[-1]['date']}:",
        "",
        "| | shape | median (10 % to 90 %) | of the bound | beside |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        shape = " ".join(x for x in (row.get("shape"), row.get("dtype")) if x)
        spread = f" ({row['q10']} to {row['q90']})" if row["q10"] else ""  # not every log has it
        figure = f"{row['median']} {row['unit']}{spread}"
        share = f"{float(row['share']):.0%} of {row['bound']}" if row.get("share") else ""
        beside = ""
        if row.get("speedup"):
            beside = f"{row['speedup']}x {row['peer_name']} ({row['peer']} {row['unit']})"
        lines.append(f"| {row['name']} | {shape} | {figure} | {share} | {beside} |")
    return "\n".join(lines)

"""What a run says of itself: one line a while, a table of them, and the loss as a picture."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Point:
    """A run at one line of its log; `loss` is the mean since the line before, nats a token.

    Tokens are weighted in it as in training. `seconds` are those of all parts of the run.
    """

    step: int
    tokens: int
    progress: float
    loss: float
    rate: float
    seconds: float


def log_line(
    point: Point, before: Point | None, used: Mapping[str, tuple[int, int]], skipped: int
) -> str:
    """The one form of a line of the log.

    Args:
        point: now.
        before: at the line before, for the speed; None at the first of a run.
        used: rows of each kind so far on this process, and the pass that each is in.
        skipped: steps left out because a gradient was not finite.
    """
    tokens = point.tokens - (before.tokens if before else 0)
    seconds = point.seconds - (before.seconds if before else 0.0)
    left = point.seconds / max(point.progress, 1e-9) * (1 - point.progress)
    rows = " ".join(f"{kind} {count}:{turn}" for kind, (count, turn) in used.items())
    return (
        f"step {point.step:6d} | {100 * point.progress:5.1f} % | loss {point.loss:7.4f} | "
        f"rate {point.rate:.3f} | {point.tokens / 1e6:.2f} M tokens, "
        f"{tokens / max(seconds, 1e-9) / 1e6:.4f} M/s | left {clock(left)} | "
        f"rows:pass {rows} | skipped {skipped}"
    )


def clock(seconds: float) -> str:
    """Hours, minutes and seconds: 1:02:03."""
    whole = round(max(0.0, seconds))
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def write_table(path: Path, points: Sequence[Point]) -> None:
    """All points as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Point)])
        table.writeheader()
        table.writerows(asdict(point) for point in points)


def draw_losses(path: Path, points: Sequence[Point]) -> None:
    """The loss over tokens, as a picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # heavy, and needed here only
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot([point.tokens / 1e6 for point in points], [point.loss for point in points])
    axes.set_xlabel("million tokens")
    axes.set_ylabel("loss, nats a token as weighted")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)

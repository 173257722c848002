"""How a run goes: its settings, and learning rate and batch size as functions of progress."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a run. What it reads is not among them: that is the feed's.

    Args:
        steps: how long the run is, or 0 where `seconds` says it.
        seconds: how long, in seconds of training over all its parts; 0 where `steps` says it.
        rows: of a batch, over all processes.
        first_rows: of a batch before progress `ramp`.
        ramp: when batches become full.
        micro: rows that one device takes through the model at once: 16 of 2,048 tokens keep about
            37 GB for the backward pass of the default reader.
        muon_rate: of the blocks' matrices, at rate 1.
        adam_rate: of everything else, at rate 1.
        peak: the highest rate; below 1 where trained weights are gone on with.
        warm: steps over which the rate rises from 0.
        cool: share of the run over which it falls to a fiftieth.
        log_every: steps between two lines of the log.
        save_every: steps between two checkpoints; 0 saves only before the cool-down and at the end.
        measure_every: steps between two looks at held-out rows.
        seed: of fresh weights; the feed has its own.

    Raises:
        ValueError: neither or both of steps and seconds, or numbers that cannot be.
    """

    steps: int = 0
    seconds: float = 0.0
    rows: int = 128
    first_rows: int = 64
    ramp: float = 0.45
    micro: int = 16
    muon_rate: float = 0.02
    adam_rate: float = 0.002
    peak: float = 1.0
    warm: int = 100
    cool: float = 0.28
    log_every: int = 50
    save_every: int = 500
    measure_every: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.steps > 0) == (self.seconds > 0):
            raise ValueError("say how long the run is: either `steps` or `seconds`")
        if not 0 < self.first_rows <= self.rows or self.micro < 1 or self.log_every < 1:
            raise ValueError("rows, first_rows (not above rows), micro, log_every are at least 1")
        if not 0 <= self.cool <= 1 or not 0 <= self.ramp <= 1 or self.peak <= 0:
            raise ValueError("cool and ramp lie between 0 and 1, peak above 0")

    def progress(self, step: int, seconds: float) -> float:
        """How far the run is before `step` (from 0), after so many seconds: 0 to 1 and beyond."""
        return step / self.steps if self.steps else seconds / self.seconds

    def rate(self, step: int, progress: float) -> float:
        """Factor on both learning rates: up over `warm` steps, level, down over the last `cool`."""
        rate = self.peak * min(1.0, (step + 1) / max(1, self.warm))
        if progress > 1 - self.cool:
            left = max(0.0, 1 - progress) / self.cool
            rate *= 0.02 + 0.98 * left
        return rate

    def rows_at(self, progress: float) -> int:
        """Rows of a batch over all processes."""
        return self.first_rows if progress < self.ramp else self.rows

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

"""Sampling: from one row of logits and the tokens so far to the next token.

Numbers only; nothing here runs a model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from app.model.errors import ModelError


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn; the default is greedy.

    Args:
        temperature: logits are divided by it; 0 takes the likeliest token.
        top_k: only the k likeliest are drawn from; 0 is no limit.
        top_p: only the fewest likeliest that together reach this probability; 1 is no limit.
        repetition_penalty: logits of tokens seen before are divided by it where positive and
            multiplied where negative; 1 is none.
        seed: of the draw; None draws a new one.

    Raises:
        ModelError: a value outside its range.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        for name, fits, allowed in (
            ("temperature", self.temperature >= 0, "0 or more"),
            ("top_k", self.top_k >= 0, "0 or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("repetition_penalty", self.repetition_penalty > 0, "above 0"),
        ):
            if not fits:
                raise ModelError(f"{name} is {getattr(self, name)}; it must be {allowed}")

    def source(self, device: torch.device) -> torch.Generator:
        """The random numbers of one sequence."""
        generator = torch.Generator(device=device)
        if self.seed is None:
            generator.seed()
            return generator
        return generator.manual_seed(self.seed)


def shape_logits(logits: Tensor, seen: Sequence[int], sampling: Sampling) -> Tensor:
    """Penalty, temperature, top-k, top-p, in this order; what is cut becomes -inf.

    Args:
        logits: (V,).
        seen: ids of prompt and answer so far, for the penalty.
        sampling: a temperature of 0 leaves the scale and the cuts alone.

    Returns:
        A new (V,).
    """
    logits = logits.clone()
    if sampling.repetition_penalty != 1.0 and seen:
        index = torch.tensor(sorted(set(seen)), device=logits.device)
        old, penalty = logits[index], sampling.repetition_penalty
        logits[index] = torch.where(old > 0, old / penalty, old * penalty)
    if not sampling.temperature:
        return logits
    logits = logits / sampling.temperature
    if 0 < sampling.top_k < len(logits):
        logits[logits < logits.topk(sampling.top_k).values[-1]] = -torch.inf
    if sampling.top_p < 1.0:
        ranked, order = logits.sort(descending=True)
        mass = ranked.softmax(-1).cumsum(-1)
        # A token goes if those before it already reach the mass; the first always stays.
        cut = torch.cat([mass.new_zeros(1), mass[:-1]]) >= sampling.top_p
        logits[order[cut]] = -torch.inf
    return logits


def choose(
    logits: Tensor, seen: Sequence[int], sampling: Sampling, source: torch.Generator | None
) -> int:
    """The next token id from logits (V,); `source` is needed above temperature 0 only."""
    plain = sampling.repetition_penalty == 1.0 and not sampling.temperature
    shaped = logits if plain else shape_logits(logits, seen, sampling)
    if not sampling.temperature:
        return int(shaped.argmax())
    return int(torch.multinomial(shaped.softmax(-1), 1, generator=source))

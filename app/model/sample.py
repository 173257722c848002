"""Sampling: from one row of logits and the tokens so far to the next token.

Numbers only; nothing here runs a model.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

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
            ("temperature", lambda x: 0 <= x < math.inf, "0 or more, and finite"),
            ("top_k", lambda x: x >= 0 and isinstance(x, int), "a whole number, 0 or more"),
            ("top_p", lambda x: 0 < x <= 1, "above 0 and at most 1"),
            ("repetition_penalty", lambda x: 1e-3 <= x <= 1e3, "from 0.001 to 1000"),
            ("seed", lambda x: x is None or _is_seed(x), "None or a whole number of 64 bits"),
        ):
            value = getattr(self, name)
            number = isinstance(value, Real) or (name == "seed" and value is None)
            if not number or not fits(value):
                raise ModelError(f"{name} is {value!r:.60}; it must be {allowed}")

    @property
    def temperature_alone(self) -> bool:
        """Whether logits are neither cut nor penalised, only divided by the temperature."""
        return self.top_k == 0 and self.top_p == 1 and self.repetition_penalty == 1

    def source(self, device: torch.device) -> torch.Generator:
        """The random numbers of one sequence."""
        generator = torch.Generator(device=device)
        if self.seed is None:
            generator.seed()
            return generator
        return generator.manual_seed(self.seed)


def _is_seed(value: Real) -> bool:
    return isinstance(value, int) and -(2**63) <= value < 2**64


def shape_logits(logits: Tensor, seen: Sequence[int], sampling: Sampling) -> Tensor:
    """Penalty, temperature, top-k, top-p, in this order; what is cut becomes -inf.

    Args:
        logits: (V,).
        seen: ids of prompt and answer so far, for the penalty.
        sampling: a temperature of 0 leaves the scale and the cuts alone.

    Returns:
        A new (V,); above temperature 0 the largest is 0.
    """
    logits = logits.clone()
    if sampling.repetition_penalty != 1.0 and seen:
        index = torch.tensor(sorted(set(seen)), device=logits.device)
        old, penalty = logits[index], sampling.repetition_penalty
        logits[index] = torch.where(old > 0, old / penalty, old * penalty)
    if not sampling.temperature:
        return logits
    # From the largest down and in float64, so that no temperature makes 0/0 or inf.
    scaled = (logits.double() - logits.max()) / sampling.temperature
    logits = scaled.to(logits.dtype)
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
    """The next token id from logits (V,); `source` is needed above temperature 0 only.

    Raises:
        ModelError: every token is banned, or a logit is NaN or +inf.
    """
    plain = sampling.repetition_penalty == 1.0 and not sampling.temperature
    shaped = logits if plain else shape_logits(logits, seen, sampling)
    best = int(shaped.argmax())
    if not math.isfinite(shaped[best]):
        raise ModelError("no token can be chosen: all are banned, or logits are NaN or infinite")
    if not sampling.temperature:
        return best
    return int(torch.multinomial(shaped.softmax(-1), 1, generator=source))

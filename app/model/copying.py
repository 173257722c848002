"""Copying while a text is generated: a bonus for going on as a given text does, or nothing else.

Both are a `Processor` for `generate`; they know token ids and no text.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class CopyBonus:
    """What follows in a text the last two tokens is made likelier: a pointer without weights.

    After the first token, that one alone is looked for.

    Attributes:
        text: Ids of the text to go on with.
        bonus: Added to the logits, in nats; 0 changes nothing.
    """

    text: Sequence[int]
    bonus: float

    def __call__(self, logits: Tensor, ids: Sequence[int]) -> Tensor:
        """Logits (V,) after `ids`, as a new tensor where a token gets the bonus."""
        last = list(ids[-2:]) if self.bonus else []
        places = range(len(last), len(self.text)) if last else ()
        following = {
            self.text[end] for end in places if list(self.text[end - len(last) : end]) == last
        }
        if not following:
            return logits
        logits = logits.clone()
        logits[sorted(following)] += self.bonus
        return logits


@dataclass(frozen=True, slots=True)
class OnlyRuns:
    """Nothing but one of several runs can be generated, from its start to one of its stops.

    Attributes:
        runs: Ids of each run, at least one id each.
        stops: For each run after how many of its ids it may end.
        end: The id that ends the text.
    """

    runs: Sequence[Sequence[int]]
    stops: Sequence[Sequence[int]]
    end: int

    def __call__(self, logits: Tensor, ids: Sequence[int]) -> Tensor:
        """Logits (V,) after `ids`, as a new tensor; what cannot come is -inf."""
        said = list(ids)
        fit = [n for n, run in enumerate(self.runs) if list(run[: len(said)]) == said]
        allowed = {self.runs[n][len(said)] for n in fit if len(self.runs[n]) > len(said)}
        if any(len(said) in self.stops[n] for n in fit):
            allowed.add(self.end)
        index = torch.tensor(sorted(allowed), device=logits.device)
        return torch.full_like(logits, -torch.inf).index_copy(0, index, logits[index])

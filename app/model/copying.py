"""A bonus for tokens that go on as a given text does: a pointer without weights of its own.

Knows token ids and no text.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class CopyBonus:
    """A `Processor` for `generate`: what follows in a text the last two tokens is made likelier.

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

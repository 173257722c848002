"""Likelihood of given tokens: continuations of one carried state, or the endings of whole rows.

Chooses nothing and normalises nothing; that is the caller's.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from app.model.errors import ModelError
from app.model.generate import padded
from app.model.state import ModelState
from app.model.xlstm import XLSTM

_ROWS = 128  # positions projected onto the vocabulary at once: 13 MB of logits at V = 24,576
_MAX_PADDING = 0.15  # share of a bucket's positions that may be pads


@torch.inference_mode()
def score_continuations(
    model: XLSTM, logits: Tensor, state: ModelState, continuations: Sequence[Sequence[int]]
) -> list[float]:
    """Sum of log-likelihoods (nats) of each continuation, all read from the same state.

    Args:
        model: the model.
        logits: (1,V) after what `state` has read: they score each first token.
        state: one row; left as it is.
        continuations: ids, at least one each.

    Returns:
        One sum a continuation, in the order given.

    Raises:
        ModelError: an empty continuation, an id outside the vocabulary, or more than one state.
    """
    if not continuations:
        return []
    if state.batch != 1:
        raise ModelError(f"continuations are scored from one state, not from {state.batch}")
    ids, _ = padded(model, continuations)
    first = torch.log_softmax(logits[0], -1)[ids[:, 0]]
    sums = first.tolist()
    longer = [n for n, row in enumerate(continuations) if len(row) > 1]
    for bucket in _buckets(longer, [len(row) - 1 for row in continuations]):
        for row, total in zip(bucket, _score(model, state, [continuations[n] for n in bucket])):
            sums[row] += total
    return sums


@torch.inference_mode()
def score_endings(
    model: XLSTM, rows: Sequence[Sequence[int]], counts: Sequence[int]
) -> list[list[float]]:
    """Log-likelihood (nats) of each of a row's last tokens, given all tokens before it.

    Args:
        model: the model.
        rows: ids from the start of a text; nothing is carried in.
        counts: how many tokens at the end of each row are scored: fewer than the row has.

    Returns:
        For each row, in the order given, one value a scored token.

    Raises:
        ModelError: an id outside the vocabulary, or a count that leaves nothing before the ending.
    """
    for row, count in zip(rows, counts, strict=True):
        if not 0 <= count < len(row):
            raise ModelError(f"{count} of a row's {len(row)} tokens cannot be scored: one is given")
    found: list[list[float]] = [[] for _ in rows]
    scored = [n for n, count in enumerate(counts) if count]
    for bucket in _buckets(scored, [len(row) - 1 for row in rows]):
        inputs, lengths = padded(model, [rows[n][:-1] for n in bucket])
        targets, _ = padded(model, [rows[n][1:] for n in bucket])
        wanted = torch.tensor([counts[n] for n in bucket], device=inputs.device)
        x, _ = model.hidden(inputs, lengths=lengths, keep=False)
        at = torch.arange(inputs.shape[1], device=x.device)
        ending = (at < lengths[:, None]) & (at >= (lengths - wanted)[:, None])
        values = _log_likelihood(model, x[ending], targets[ending])
        for n, part in zip(bucket, values.split(wanted.tolist())):
            found[n] = part.tolist()
    return found


def _score(model: XLSTM, state: ModelState, rows: Sequence[Sequence[int]]) -> list[float]:
    """Sums over the second to the last token of each row."""
    inputs, lengths = padded(model, [row[:-1] for row in rows])
    targets, _ = padded(model, [row[1:] for row in rows])
    x, _ = model.hidden(inputs, state.expand(len(rows)), lengths, keep=False)
    true = torch.arange(inputs.shape[1], device=x.device) < lengths[:, None]
    scores = x.new_zeros(inputs.shape)
    scores[true] = _log_likelihood(model, x[true], targets[true])
    return scores.sum(1).tolist()


def _log_likelihood(model: XLSTM, x: Tensor, targets: Tensor) -> Tensor:
    """Log-likelihood (T,) of targets (T,) after the residual stream x (T,E)."""
    found = []
    for part, wanted in zip(x.split(_ROWS), targets.split(_ROWS)):
        logits = model.project(part)
        found.append(logits.gather(1, wanted[:, None])[:, 0] - logits.logsumexp(1))
    return torch.cat(found)


def _buckets(rows: list[int], lengths: list[int]) -> list[list[int]]:
    """Rows of similar length together, longest first, so that pads are a small share."""
    found: list[list[int]] = []
    used = 0
    for row in sorted(rows, key=lambda n: -lengths[n]):
        if found:
            places = (len(found[-1]) + 1) * lengths[found[-1][0]]
            if used + lengths[row] >= (1 - _MAX_PADDING) * places:
                found[-1].append(row)
                used += lengths[row]
                continue
        found.append([row])
        used = lengths[row]
    return found

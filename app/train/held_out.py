"""How a model does on rows that it never trains on: nats and share right, by what a token is."""

from collections.abc import Mapping

import torch

from app.train.encode import Code, sentence_ends, token_kinds
from app.train.loss import PackedLoss
from app.train.pack import Rows
from app.train.rows import Job, RowMaker
from app.train.sources import HELD_OUT

_ROWS = 8  # taken through the model at once


def held_out_rows(maker: RowMaker, rows: int) -> dict[str, Rows]:
    """Rows of the held-out file: plain text, and examples made from it.

    Raises:
        ValueError: the corpus has no such file.
    """
    found = {}
    for kind in ("text", "made"):
        made = maker.make(Job(kind, HELD_OUT, 0, 1))
        found[kind] = Rows(made.ids[:rows], made.codes[:rows], made.kinds)
    return found


def by_code(
    loss_of: PackedLoss, rows: Rows, device: torch.device
) -> dict[Code, tuple[float, float, int]]:
    """For each code in the rows: mean nats, share of likeliest tokens that are right, count."""
    totals = torch.zeros(3, len(Code), dtype=torch.float64)
    for at in range(0, len(rows), _ROWS):
        ids = torch.from_numpy(rows.ids[at : at + _ROWS].astype("int64")).to(device)
        lost, right = (t.double().cpu().flatten() for t in loss_of.judge(ids))
        codes = torch.from_numpy(token_kinds(rows.codes[at : at + _ROWS, 1:])).long().flatten()
        for total, values in zip(totals, (lost, right, torch.ones_like(lost))):
            total.index_add_(0, codes, values)
    return {
        code: (lost / count, right / count, int(count))
        for code, (lost, right, count) in zip(Code, totals.T.tolist())
        if count
    }


def ranked(loss_of: PackedLoss, rows: Rows, device: torch.device) -> tuple[float, float, int]:
    """Mean nats of the choice among an example's sentences, share right, count."""
    nats, right, count = 0.0, 0, 0
    for at in range(0, len(rows), _ROWS):
        ids = torch.from_numpy(rows.ids[at : at + _ROWS].astype("int64")).to(device)
        ends = torch.from_numpy(sentence_ends(rows.codes[at : at + _ROWS])).to(device)
        lost, hits = loss_of.chosen(ids, ends)
        nats, right, count = nats + lost.sum().item(), right + int(hits.sum()), count + len(hits)
    return nats / max(1, count), right / max(1, count), count


def measured(loss_of: PackedLoss, held_out: Mapping[str, Rows], device: torch.device) -> str:
    """One line: each set's codes with nats and per cent right."""
    parts = []
    for rows in held_out.values():
        for code, (nats, right, _) in by_code(loss_of, rows, device).items():
            if code is not Code.GIVEN:
                name = code.name.lower().replace("_", " ")
                parts.append(f"{name} {nats:.4f} nats {100 * right:.1f} %")
        nats, right, count = ranked(loss_of, rows, device)
        if count:
            parts.append(f"sentence {nats:.4f} nats {100 * right:.1f} % of {count}")
    return ", ".join(parts)

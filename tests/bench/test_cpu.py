"""The bench of the CPU: it counts what is read, compares equal weights, refuses wrong ones."""

import pytest
import torch
from tests.model.small import CONFIG, small

from app.bench import Options, cpu
from app.model.config import XLSTMConfig

FEW = Options((), "", repeats=1, quick=True)


def test_the_weights_of_a_token_are_those_of_the_projections():
    model = small(torch.float32, embedding_dim=48, ffn_dim=80)
    wide = (p for n, p in model.named_parameters() if n.startswith("blocks.") and p.ndim == 2)
    wanted = sum(p.numel() for p in wide) - 2 * 2 * 3 * 48  # less the gates of 2 blocks, 3 heads
    assert cpu._numbers(model.config) == wanted


def test_steps_of_other_weights_are_an_error():
    with pytest.raises(ArithmeticError, match="decoded logits are off"):
        cpu._check(small(torch.float32), small(torch.float32, seed=1))
    cpu._check(small(torch.float32, scale=0.2), small(torch.float32, scale=0.2))


@pytest.mark.slow
def test_the_peer_reads_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(cpu, "PROMPT", 90)
    config = XLSTMConfig(
        **{**CONFIG.__dict__, "vocab_size": 200, "embedding_dim": 192, "qk_dim_factor": 1.0}
    )
    rows = list(cpu._beside(config, tmp_path, FEW))
    assert [row.name for row in rows][0] == "prompt of 90 tokens" and len(rows) == 3
    assert all(row.peer > 0 and row.peer_name.startswith("transformers") for row in rows)

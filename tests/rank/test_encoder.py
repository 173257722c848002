"""The encoder against sentence-transformers, and the head by hand."""

import math

import numpy as np
import pytest
import torch

from app.rank import adapters
from app.rank.encoder import hidden_states, scores
from app.rank.minilm import WEIGHTS, minilm_folder
from app.rank.ranker import tokenizer
from app.rank.windows import CLS, SEP, padded

TEXTS = ["The mLSTM has a matrix memory.", "Cats sleep."]


@pytest.fixture(scope="module")
def base():
    return adapters.base_weights(minilm_folder() / WEIGHTS)


@pytest.fixture(scope="module")
def untrained(base):
    return adapters.merged(base, adapters.fresh(base, 4, 8))


def test_zero_adapters_leave_the_embedders_token_states(untrained):
    from app.retrieve.embed import load_embedder

    model = load_embedder(dtype="float32")._model
    wanted = model.encode(TEXTS, output_value="token_embeddings")
    rows = tokenizer(minilm_folder())(TEXTS)
    ids, _ = padded([(rows[0], []), (rows[1], [])])
    assert ids[0].tolist() == [CLS, *rows[0], SEP]
    got = hidden_states(untrained, torch.from_numpy(ids), torch.zeros(2, ids.shape[1], dtype=int))
    for states, row in zip(wanted, got):
        count = len(rows[0]) + 2 if row is got[0] else len(rows[1]) + 2
        assert torch.allclose(states[:count].cpu(), row[:count], atol=2e-5)
        assert states[:count].abs().max() > 0.1


def test_a_score_is_the_heads_of_a_sentence_less_that_of_none(untrained):
    draw = torch.Generator().manual_seed(1)
    weights = dict(untrained)
    for name in weights:
        if name.startswith("head."):
            weights[name] = torch.randn(weights[name].shape, generator=draw)
    ids, owner = (torch.from_numpy(x) for x in padded([([2054, 2003], [[5, 6, 7], [8]])]))
    assert owner.tolist() == [[0, 0, 0, 0, 1, 1, 1, 1, 2, 2]]
    states = hidden_states(weights, ids, (owner > 0).long())[0]

    def network(name, x):
        hidden, bias, out, constant = (
            weights[f"head.{name}.{part}"].numpy() for part in ("hidden", "bias", "out", "constant")
        )
        inner = hidden @ x.numpy() + bias
        gelu = [v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in inner.tolist()]
        return float(np.dot(gelu, out) + constant)

    wanted = []
    for own in (states[4:8], states[8:10]):
        share = torch.softmax(own @ weights["head.attention"], 0)
        pooled = torch.cat([own.mean(0), (share[:, None] * own).sum(0)])
        wanted.append(network("sentence", pooled) - network("none", states[0]))
    got = scores(weights, ids, owner, 2)[0]
    assert got.tolist() == pytest.approx(wanted, abs=1e-4)
    assert scores(weights, ids, owner, 3)[0, 2] == -math.inf

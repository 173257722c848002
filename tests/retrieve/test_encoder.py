"""BERT's layers in compiled code: what transformers computes, for the same weights."""

import copy

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from app.cpu.library import library
from app.retrieve import encoder
from app.retrieve.embed import load_embedder
from app.retrieve.encoder import encoder_of, use_compiled

NEAR = 0.02  # rounded inputs of products may fall to the other side in bfloat16
SHAPES = {
    "narrow": {"hidden_size": 48, "num_attention_heads": 3, "intermediate_size": 80},
    "odd": {"hidden_size": 42, "num_attention_heads": 2, "intermediate_size": 70},
    "wide heads": {"hidden_size": 160, "num_attention_heads": 2, "intermediate_size": 200},
}
LENGTHS = (1, 5, 64, 130, 66)


@pytest.fixture(autouse=True)
def code():
    found = library()
    if found is None or not found.reads_prompts():
        pytest.skip("BERT is PyTorch's here: no C++ compiler, or a CPU that it is not for")


def bert(**changes):
    torch.manual_seed(0)
    shape = SHAPES["narrow"] | changes
    config = BertConfig(vocab_size=99, num_hidden_layers=2, initializer_range=0.2, **shape)
    model = BertModel(config, add_pooling_layer=False).eval().requires_grad_(False)
    for name, values in model.named_parameters():
        if name.endswith("bias") or "LayerNorm" in name:
            values.add_(0.3 * torch.randn_like(values))
    return model.bfloat16()


def batch(lengths=LENGTHS):
    """Ids (B,S) padded on the right, and 1 for what is no pad."""
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    draw = torch.Generator().manual_seed(1)
    return torch.randint(1, 99, mask.shape, generator=draw) * mask, mask.long()


def layers_by_hand(model, ids):
    """transformers' layers on one text in float64, the inputs of linear layers rounded."""
    twin = copy.deepcopy(model.encoder).double()
    for layer in twin.modules():
        if isinstance(layer, torch.nn.Linear):
            layer.register_forward_pre_hook(lambda _, given: (given[0].bfloat16().double(),))
    return twin(model.embeddings(input_ids=ids[None]).double()).last_hidden_state[0]


@pytest.mark.parametrize("name", SHAPES)
def test_texts_of_a_batch_are_each_as_transformers_reads_them_alone(name):
    model = bert(**SHAPES[name])
    ids, mask = batch()
    got = encoder_of(model)(ids, mask)
    assert got.dtype == torch.float32 and got.shape == (*ids.shape, model.config.hidden_size)
    for row, text, length in zip(got, ids, LENGTHS):
        want = layers_by_hand(model, text[:length])
        torch.testing.assert_close(row[:length].double(), want, rtol=NEAR, atol=NEAR)
        assert not row[length:].any()


def test_any_number_of_threads_gives_the_same_bits():
    model, before, found = bert(), torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(encoder_of(model)(*batch()))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


class Module:
    """What holds a model in sentence-transformers, as far as it is looked at."""

    def __init__(self, model):
        self.model = model


def test_it_stands_in_for_the_models_own_forward_where_it_suits(monkeypatch):
    model, (ids, mask) = bert(), batch()
    own = model.forward
    use_compiled(Module(model))
    compiled = encoder_of(model)(ids, mask)
    none = torch.zeros_like(ids)

    def same(mask, **given):
        got = model(input_ids=ids, attention_mask=mask, **given).last_hidden_state
        want = own(input_ids=ids, attention_mask=mask, **given).last_hidden_state
        return got.dtype == want.dtype and torch.equal(got, want)

    got = model(input_ids=ids, attention_mask=mask, token_type_ids=none).last_hidden_state
    assert torch.equal(got, compiled)
    assert same(mask, token_type_ids=none + 1)
    assert same(mask.flip(1))  # pads in front
    model.float()
    assert encoder_of(model) is None and same(mask)
    with torch.no_grad():
        model.encoder.layer[1].output.dense.weight.mul_(2)
        model.encoder.layer[1].output.dense.bias.mul_(2)
    model.bfloat16()  # other weights
    other = model(input_ids=ids, attention_mask=mask).last_hidden_state
    assert not torch.allclose(other, compiled, atol=0.1)
    want = layers_by_hand(model, ids[3, : LENGTHS[3]])
    torch.testing.assert_close(other[3, : LENGTHS[3]].double(), want, rtol=NEAR, atol=NEAR)
    monkeypatch.setattr(encoder, "library", lambda: None)
    assert encoder_of(model) is None and same(mask)


def test_it_is_not_for_other_models():
    assert encoder_of(bert(hidden_act="gelu_new")) is None
    assert encoder_of(bert(hidden_act="relu")) is None
    assert encoder_of(bert().train()) is None
    other = Module(torch.nn.Linear(3, 3))
    use_compiled(other)
    assert "forward" not in vars(other.model)


def test_the_default_embedder_stays_near_to_float32(monkeypatch):
    texts = ["The mLSTM has a matrix memory.", "gates " * 300, "", "Cats sleep. " * 20, "a"]
    exact, half = (load_embedder(dtype=name) for name in ("float32", "bfloat16"))
    want = exact.encode(texts)
    got = half.encode(texts)
    assert (got * want).sum(axis=1).min() > 0.9999
    monkeypatch.setattr(encoder, "library", lambda: None)
    assert not np.array_equal(half.encode(texts), got)  # PyTorch's

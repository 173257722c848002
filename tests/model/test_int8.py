"""Weight-only int8: what rounding does, and that it costs little."""

import pytest
import torch
from tests.model.small import prompt, small

from app.model.checkpoint import load_model
from app.model.generate import decode_step, prefill
from app.model.int8 import Int8Linear, quantize_rows
from app.model.save import save_model


def test_rounding_is_at_most_half_a_step_of_each_row():
    weight = torch.randn(7, 30, generator=torch.Generator().manual_seed(0))
    weight *= torch.logspace(-3, 3, 7)[:, None]
    q, scale = quantize_rows(weight)
    assert q.dtype == torch.int8 and torch.equal(q.abs().amax(1), torch.full((7,), 127).to(q.dtype))
    step = weight.abs().amax(1, keepdim=True) / 127
    assert ((q * scale[:, None] - weight).abs() <= step / 2 * 1.0001).all()
    zero, _ = quantize_rows(torch.zeros(2, 3))
    assert not zero.any()


@pytest.mark.parametrize("rows", [1, 5, 16, 17, 100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("bias", [False, True])
def test_a_product_is_that_of_the_widened_weight(rows, dtype, bias):
    draw = torch.Generator().manual_seed(rows)
    layer = Int8Linear(96, 64, bias, dtype)
    layer.weight[:] = torch.randint(-127, 128, (64, 96), generator=draw)
    layer.scale[:] = torch.rand(64, generator=draw) + 0.5
    if bias:
        layer.bias[:] = torch.randn(64, generator=draw).to(dtype)
    x = torch.randn(rows, 96, generator=draw).to(dtype)
    want = x.double() @ (layer.weight.double() * layer.scale.double()[:, None]).T
    want = want + layer.bias.double() if bias else want
    got = layer(x)
    assert got.dtype == dtype
    error = (got.double() - want).norm() / want.norm()
    assert error < (1e-6 if dtype == torch.float32 else 6e-3)


@pytest.mark.parametrize("rows", [0, 1, 3, 4, 16])
def test_every_width_gives_the_product_of_the_widened_weight(rows):
    draw = torch.Generator().manual_seed(rows)
    for inputs in (*range(1, 50), 95, 96, 97, 112, 511):
        for outputs in (1, 3, 4, 15, 16, 17, 48, 50):
            layer = Int8Linear(inputs, outputs, False, torch.bfloat16)
            layer.weight[:] = torch.randint(-127, 128, layer.weight.shape, generator=draw)
            # The second: rows of a wider tensor, whose neighbours must not be read.
            for columns in (inputs, inputs + 5):
                x = torch.randn(rows, columns, generator=draw).bfloat16()[:, :inputs]
                want = x.double() @ layer.weight.double().T
                got = layer(x).double()
                assert got.shape == want.shape
                assert rows == 0 or (got - want).norm() <= 6e-3 * want.norm(), (inputs, outputs)


def test_an_input_of_another_width_is_refused():
    layer = Int8Linear(32, 16, False, torch.bfloat16)
    for width in (16, 31, 48):
        with pytest.raises(RuntimeError):
            layer(torch.ones(1, width, dtype=torch.bfloat16))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_int8_costs_little(tmp_path, dtype):
    model = small(torch.float32, scale=0.15, embedding_dim=96, num_heads=3, ffn_dim=256)
    folder = save_model(model, tmp_path / "m")
    packed = load_model(folder, dtype=dtype, int8=True)
    kinds = {t.dtype for n, t in packed.named_buffers() if n.endswith("weight")}
    assert kinds == {torch.int8} and packed.blocks[0].mlstm.gates.weight.dtype == torch.float32
    tokens = torch.tensor([prompt(200)])
    p, q = (m(tokens)[0].float().log_softmax(-1) for m in (model, packed))
    kl = (p.exp() * (p - q)).sum(-1).mean()
    agreement = (p.argmax(-1) == q.argmax(-1)).float().mean()
    assert kl < 0.01 and agreement > 0.9, (kl, agreement)


def test_steps_and_prefill_of_int8_agree(tmp_path):
    model = small(torch.float32, embedding_dim=96, num_heads=3)
    packed = load_model(save_model(model, tmp_path / "m"), dtype=torch.float32, int8=True)
    whole, _ = prefill(packed, [prompt(30)])
    row, state = prefill(packed, [prompt(30)[:20]])
    for token in prompt(30)[20:]:
        row, state = decode_step(packed, torch.tensor([token]), state)
    torch.testing.assert_close(row, whole, rtol=0, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_stored_int8_reads_prompts_as_if_it_were_widened(tmp_path, dtype):
    folder = save_model(small(torch.float32, embedding_dim=96), tmp_path / "m", int8=True)
    beside, wide = load_model(folder, dtype=dtype), load_model(folder, dtype=dtype, int8=False)
    assert beside.int8 and not wide.int8
    for name in ("blocks.0.mlstm.qk", "blocks.1.mlstm.out", "blocks.1.ffn.up", "head"):
        one, two = beside.get_submodule(name), wide.get_submodule(name)
        x = torch.randn(30, two.in_features, generator=torch.Generator().manual_seed(0)).to(dtype)
        assert torch.equal(one(x), two(x)), name
    layer = beside.blocks[0].mlstm.qk
    assert torch.equal(layer._wide, wide.blocks[0].mlstm.qk.weight)
    beside.to(torch.float64)
    assert layer._wide is None and layer.weight.dtype == torch.int8


def test_only_what_is_stored_as_int8_is_kept_so(tmp_path):
    folder = save_model(small(torch.float32), tmp_path / "m")
    assert not load_model(folder, dtype=torch.float32).int8

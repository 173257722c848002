"""Attention, rotary positions and the parallel form's options against the JAX package's numbers."""

from dataclasses import FrozenInstanceError
from types import SimpleNamespace

import pytest
import torch
from tests.kernels.close import DATA, inputs, read_tensors

from app.kernels import mlstm_parallel
from app.kernels.attention import (
    apply_rotary_emb,
    attention,
    mLSTMBackendAttentionConfig,
    precompute_freqs,
)
from app.kernels.parallel import mLSTMBackendParallelConfig

TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-5}  # relative to the largest value


def close(name, got, values):
    ref = values[name]
    assert got.dtype == ref.dtype and got.shape == ref.shape, name
    error = (got - ref).abs().max() / ref.abs().max()
    assert error <= TOLERANCE[ref.dtype], f"{name}: {error:.2e}"


def check_all(values):
    q, k, v, i, f, w = (values[f"in.{name}"] for name in "qkvifw")
    gates = i.squeeze(-1), f.squeeze(-1)
    full = torch.ones(q.shape[1], q.shape[1], dtype=torch.bool)
    masks = {"ltr": full.tril(), "window": values["in.window_mask"], "fullmask": full}
    leaves = [x.clone().requires_grad_() for x in (q, k, v, *gates)]
    h = mlstm_parallel(*leaves)
    close("pss.row", h, values)
    for name, grad in zip("qkvif", torch.autograd.grad((h * w).sum(), leaves)):
        close(f"pss.row.d{name}", grad.reshape(values[f"pss.row.d{name}"].shape), values)
    close("pss.global", mlstm_parallel(q, k, v, *gates, stabilize_rowwise=False), values)
    close("pss.row_eps1e-2", mlstm_parallel(q, k, v, *gates, eps=1e-2), values)
    for name, mask in masks.items():
        h = mlstm_parallel(q, k, v, *gates, lower_triangular_matrix=mask)
        close(f"pss.row_{name}", h, values)

    for activation in ("softmax", "sigmoid", "none"):
        h = attention(q, k, v, full, activation_function=activation)
        close(f"att.{activation}.none.nomask", h, values)
        if activation == "none":
            continue  # known wrong there; ours is checked below
        for before in ("none", "silu", "swish"):
            h = attention(
                q, k, v, activation_function=activation, qk_pre_activation_function=before
            )
            close(f"att.{activation}.{before}.causal", h, values)
    close("att.softmax.none.causal.theta500", attention(q, k, v, theta=500.0), values)
    for name, x in zip(("sin", "cos"), precompute_freqs(q.shape[2], q.shape[1], dtype=q.dtype)):
        close(f"freq.{name}", x, values)
    for name, theta in (("rope", 10000.0), ("rope500", 500.0)):
        for letter, x in zip("qk", apply_rotary_emb(q, k, theta=theta)):
            close(f"{name}.{letter}", x, values)


def test_the_excerpt_of_the_jax_package_is_met():
    check_all(read_tensors(DATA / "j01_b2_s13_8x8_model_f64.safetensors"))


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("name", ["j01_b2_s13_8x8_model", "j02_b2_s40_16x24_normal"])
def test_all_numbers_of_the_jax_package_are_met(shared, name, dtype):
    check_all(read_tensors(shared / "oracle" / "jax" / f"{name}_{dtype}.safetensors"))


@pytest.mark.parametrize("mask", ["causal", "random"])
def test_no_activation_under_a_mask_is_a_masked_sum(mask):
    q, k, v, *_ = inputs(9, 4, 6, dtype=torch.float64)
    g = torch.Generator().manual_seed(5)
    seen = torch.ones(9, 9).tril() > 0 if mask == "causal" else torch.rand(9, 9, generator=g) > 0.5
    got = attention(q, k, v, None if mask == "causal" else seen, activation_function="none")
    turned_q, turned_k = apply_rotary_emb(q, k)
    for t in range(9):
        ref = torch.zeros(2, 2, 6, dtype=torch.float64)
        for j in range(9):
            if seen[t, j]:
                ref += (turned_q[:, :, t] * turned_k[:, :, j]).sum(-1, True) / 2 * v[:, :, j]
        torch.testing.assert_close(got[:, :, t], ref)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "none"])
def test_a_row_that_sees_nothing_gives_zero_and_no_nan(activation):
    x = [y.requires_grad_() for y in inputs(5, 4, 4)[:3]]
    mask = torch.ones(5, 5).tril() > 0
    mask[2] = False
    h = attention(*x, mask, activation_function=activation)
    assert torch.equal(h[:, :, 2], torch.zeros(2, 2, 4)) and torch.isfinite(h).all()
    assert all(torch.isfinite(g).all() for g in torch.autograd.grad(h.sum(), x))


def test_rotation_depends_on_the_distance_only():
    q, k = torch.randn(2, 1, 1, 8, dtype=torch.float64)
    turned_q, turned_k = apply_rotary_emb(q.expand(1, 20, 8), k.expand(1, 20, 8))
    products = turned_q @ turned_k.mT
    for distance in range(5):
        torch.testing.assert_close(
            products.diagonal(distance, -2, -1),
            products[..., :1, distance].expand(1, 20 - distance),
        )


@pytest.mark.parametrize("form", [attention, mlstm_parallel], ids=["attention", "parallel"])
def test_heads_may_be_an_axis_or_mapped_over(form):
    x = inputs(11, 4, 6, dtype=torch.float64)[: 3 if form is attention else 5]
    whole = form(*x)
    for h in range(2):
        torch.testing.assert_close(form(*(y[:, h] for y in x)), whole[:, h])
    mapped = torch.func.vmap(form, in_dims=1, out_dims=1)(*x)
    torch.testing.assert_close(mapped, whole)
    # As the JAX package maps: over axis 2 of (B, S, H, D).
    swapped = [y.transpose(1, 2) for y in x]
    mapped = torch.func.vmap(form, in_dims=2, out_dims=2)(*swapped)
    torch.testing.assert_close(mapped, whole.transpose(1, 2))


def test_dtypes_are_kept_or_as_asked():
    x = inputs(11, 4, 6, dtype=torch.bfloat16)
    assert attention(*x[:3]).dtype == mlstm_parallel(*x).dtype == torch.bfloat16
    assert attention(*x[:3], qkv_dtype=torch.float32).dtype == torch.float32
    assert mlstm_parallel(*x, qkv_dtype=torch.float32).dtype == torch.float32
    q, k = apply_rotary_emb(*x[:2])
    assert q.dtype == torch.bfloat16 and q.shape == x[0].shape
    y = inputs(40, 16, 24)
    exact = mlstm_parallel(*y)
    for options in ({"qkv_dtype": torch.bfloat16}, {"gate_dtype": torch.bfloat16}):
        rounded = mlstm_parallel(*y, **options).float()
        assert 1e-4 < (rounded - exact).norm() / exact.norm() < 0.1


def test_misuse_is_named():
    q, k, v, i, f = inputs(6, 4, 4)
    with pytest.raises(ValueError, match="'gelu'.*known"):
        attention(q, k, v, activation_function="gelu")
    with pytest.raises(ValueError, match="'gelu'.*known"):
        attention(q, k, v, qk_pre_activation_function="gelu")
    with pytest.raises(ValueError, match=r"\(6, 6\)"):
        attention(q, k, v, torch.ones(5, 5, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"\(6, 6\)"):
        mlstm_parallel(q, k, v, i, f, lower_triangular_matrix=torch.ones(6, 6))
    with pytest.raises(ValueError, match="both"):
        apply_rotary_emb(q, k, freqs_sin=torch.zeros(6, 2))
    with pytest.raises(ValueError, match="6 positions"):
        apply_rotary_emb(q, k, *precompute_freqs(4, 5))
    with pytest.raises(ValueError, match="even"):
        precompute_freqs(5, 4)
    longer = apply_rotary_emb(q, k, *precompute_freqs(4, 50))
    torch.testing.assert_close(longer, apply_rotary_emb(q, k))


@pytest.mark.parametrize("record", [mLSTMBackendParallelConfig(), mLSTMBackendAttentionConfig()])
def test_records_take_the_context_length(record):
    changed = record.assign_model_config_params(SimpleNamespace(context_length=2048))
    assert (record.context_length, changed.context_length) == (-1, 2048)
    assert type(changed) is type(record) and changed.can_vmap_over_heads is True
    with pytest.raises(FrozenInstanceError):
        record.context_length = 3


def test_the_attention_record_has_the_public_defaults():
    record = mLSTMBackendAttentionConfig()
    assert (record.activation_function, record.qk_pre_activation_function, record.theta) == (
        "softmax",
        "none",
        10000.0,
    )

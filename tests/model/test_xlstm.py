"""Equalities of the whole model: however a text is cut, the same logits and the same state."""

import pytest
import torch
from tests.model.small import CONFIG, prompt, small

from app.model.errors import ModelError
from app.model.generate import decode_step, prefill
from app.model.xlstm import XLSTM

# float64, relative to the largest value; measured up to 3e-13
TOLERANCE = 1e-10
CONVOLUTIONS = pytest.mark.parametrize("conv", [0, 4], ids=["7B-block", "conv4"])


def close(name, got, want, tolerance=TOLERANCE):
    assert torch.isfinite(got).all(), name
    error = (got - want).abs().max() / want.abs().max()
    assert error <= tolerance, f"{name}: {error:.2e} > {tolerance:.0e}"


def same_state(got, want, tolerance=TOLERANCE):
    for a, b in zip(got.blocks, want.blocks):
        close("c", *(x.memory.c * x.memory.m.exp()[..., None, None] for x in (a, b)), tolerance)
        close("n", *(x.memory.n * x.memory.m.exp()[..., None] for x in (a, b)), tolerance)
        if a.window is not None:
            close("window", a.window, b.window, tolerance)


@CONVOLUTIONS
@pytest.mark.parametrize("length", [1, 63, 64, 65, 133])
def test_step_by_step_equals_the_whole(conv, length):
    model, tokens = small(conv1d_kernel_size=conv), torch.tensor([prompt(length)])
    logits, state = model(tokens)
    carried = model.zero_state()
    for t in range(length):
        row, carried = decode_step(model, tokens[:, t], carried)
        close(f"logits at {t}", row, logits[:, t])
    same_state(carried, state)


@CONVOLUTIONS
def test_a_text_may_be_cut_anywhere(conv):
    model, tokens = small(conv1d_kernel_size=conv), torch.tensor([prompt(100)])
    logits, state = model(tokens)
    for cuts in ([1], [2, 3], [64], [37, 90], [5, 6, 7, 8]):
        carried, found, last = None, [], 0
        for cut in [*cuts, 100]:
            piece, carried = model(tokens[:, last:cut], carried)
            found.append(piece)
            last = cut
        close(str(cuts), torch.cat(found, 1), logits)
        same_state(carried, state)


@CONVOLUTIONS
def test_prefill_then_decode_equals_the_whole(conv):
    model, tokens = small(conv1d_kernel_size=conv), prompt(90)
    logits, _ = model(torch.tensor([tokens]))
    row, state = prefill(model, [tokens[:70]])
    for t in range(70, 90):
        close(f"logits before {t}", row, logits[:, t - 1])
        row, state = decode_step(model, torch.tensor([tokens[t]]), state)


@CONVOLUTIONS
@pytest.mark.parametrize("slice_tokens", [5, 64, 1000])
def test_rows_of_unequal_length_equal_single_rows(conv, slice_tokens):
    model = small(conv1d_kernel_size=conv)
    rows = [prompt(length, length) for length in (1, 2, 3, 65, 130, 7)]
    logits, state = prefill(model, rows, slice_tokens=slice_tokens)
    for n, row in enumerate(rows):
        alone, alone_state = prefill(model, [row])
        close(f"row of {len(row)}", logits[n : n + 1], alone)
        same_state(state.select([n]), alone_state)


@CONVOLUTIONS
def test_unequal_rows_go_on_from_their_own_states(conv):
    model = small(conv1d_kernel_size=conv)
    first = [prompt(n, n) for n in (3, 70, 11)]
    more = [prompt(n, n) for n in (40, 1, 9)]
    _, state = prefill(model, first)
    logits, state = prefill(model, more, state)
    for n in range(3):
        close(str(n), logits[n : n + 1], prefill(model, [first[n] + more[n]])[0])


def test_nothing_is_changed_in_place():
    model = small(conv1d_kernel_size=4)
    _, state = prefill(model, [prompt(20)])
    copies = [t.clone() for t in tensors(state)]
    decode_step(model, torch.tensor([3]), state)
    prefill(model, [prompt(70)], state)
    prefill(model, [prompt(5), prompt(9)], state.expand(2))
    assert all(torch.equal(a, b) for a, b in zip(tensors(state), copies))


def tensors(state):
    return [t for b in state.blocks for t in (*b.memory, b.window) if t is not None]


def test_states_are_float32_whatever_the_weights():
    for dtype in (torch.bfloat16, torch.float32):
        _, state = prefill(small(dtype, conv1d_kernel_size=4), [prompt(9)])
        assert all(t.dtype == torch.float32 for t in tensors(state))
        assert state.blocks[0].memory.m.shape == (1, CONFIG.num_heads)


def test_last_only_is_the_last_row():
    model, tokens = small(), torch.tensor([prompt(20), prompt(20, 5)])
    lengths = torch.tensor([20, 6])
    every, _ = model(tokens, lengths=lengths)
    last, _ = model(tokens, lengths=lengths, last_only=True)
    close("last", last, every[torch.arange(2), lengths - 1])


@pytest.mark.parametrize(
    "kernels",
    ["native_autograd", "native_stablef_autograd", "native_sequence__native", "native"],
)
def test_every_formulation_gives_the_same_logits(kernels):
    tokens = torch.tensor([prompt(70)])
    want = small()(tokens)[0]
    model = small()
    model.kernels = kernels
    # The parallel form starts at m = -inf, so its eps weighs otherwise: up to 1e-6 a cell.
    close(kernels, model(tokens)[0], want, 1e-4 if "stablef" in kernels else TOLERANCE)


@pytest.mark.skipif(torch.cuda.is_available(), reason="interpreted; test_gpu.py has the real one")
def test_interpreted_triton_kernels_give_the_same_logits():
    model = small(torch.float32, embedding_dim=96, scale=0.15)
    tokens = torch.tensor([prompt(67)])
    want, _ = model(tokens)
    model.kernels = "triton"
    row, state = prefill(model, [prompt(67)[:65]])  # one whole chunk and a token
    close("chunkwise", row, want[:, 64], 1e-4)
    for t in (65, 66):
        row, state = decode_step(model, tokens[:, t], state)
        close("step", row, want[:, t], 1e-4)


def test_the_parallel_form_cannot_carry_and_says_so():
    model = small()
    model.kernels = "native_stablef_autograd"
    with pytest.raises(ValueError, match="takes no state"):
        prefill(model, [prompt(9)], small().zero_state())
    with pytest.raises(ModelError, match="no state to carry"):
        prefill(model, [prompt(9)])


def test_bfloat16_stays_close_to_float32_of_the_same_weights():
    exact, rounded = small(torch.float32, seed=3), small(torch.bfloat16, seed=3)
    exact.load_state_dict({k: v.float() for k, v in rounded.state_dict().items()}, strict=True)
    tokens = torch.tensor([prompt(300)])
    p, q = (m(tokens)[0].float().log_softmax(-1) for m in (exact, rounded))
    kl = (p.exp() * (p - q)).sum(-1).mean()
    agreement = (p.argmax(-1) == q.argmax(-1)).float().mean()
    assert kl <= 0.01 and agreement >= 0.93, (kl, agreement)


def test_gradients_reach_every_weight():
    model = XLSTM(CONFIG).initialise(seed=0)
    logits, _ = model(torch.tensor([prompt(70)]))
    logits.square().mean().backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None and torch.isfinite(weight.grad).all(), name


def test_wrong_inputs_are_named():
    model = small()
    with pytest.raises(ModelError, match=r"\(1, 0\)"):
        model(torch.zeros(1, 0, dtype=torch.long))
    with pytest.raises(ModelError, match="state of 1 rows was given with 2"):
        model(torch.ones(2, 3, dtype=torch.long), model.zero_state(1))
    with pytest.raises(ModelError, match="0 to 61; the model's vocabulary has 61"):
        prefill(model, [[0, 61]])
    with pytest.raises(ModelError, match="prompt is empty"):
        prefill(model, [[1], []])

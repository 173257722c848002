"""The compiled step of a CPU: the same logits and states as the model's own forward, or none."""

import ctypes
import gc
import logging
import re
import shutil
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from tests.model.small import prompt, small

from app.cpu import library as compiled
from app.cpu.library import build, library
from app.model import cpu_step
from app.model.checkpoint import load_model
from app.model.cpu_step import step_of
from app.model.errors import ModelError
from app.model.generate import decode_step, generate, prefill
from app.model.save import save_model

# Against float64: the native float32 forward is off by as much (seen, both: 9e-4 at most).
LOGITS = 2e-3
TINY = {"embedding_dim": 40, "num_heads": 2, "qk_dim_factor": 0.5, "ffn_dim": 72}
SHAPES = {
    "7b block": TINY,
    "convolution": TINY | {"conv1d_kernel_size": 4},
    "present only": TINY | {"conv1d_kernel_size": 1},
    "wide heads": {"embedding_dim": 192, "num_heads": 3, "ffn_dim": 256, "qk_dim_factor": 1.0},
    "odd": {"embedding_dim": 21, "num_heads": 3, "ffn_dim": 37, "qk_dim_factor": 1.0},
    "tied": TINY | {"tie_word_embeddings": True},
    "uncapped": TINY | {"gate_soft_cap": None, "output_logit_soft_cap": None},
    "no last norm": TINY | {"add_out_norm": False},
}


@pytest.fixture(scope="module", autouse=True)
def code():
    found = library()
    if found is None:
        pytest.skip("no C++ compiler here: the compiled step cannot run")
    return found


def exact(model):
    """The same weights in float64, read by the native formulas."""
    twin = small(torch.float64, **vars(model.config))
    weights = {k: v.double() for k, v in model.state_dict().items() if not k.endswith("scale")}
    scales = {k: v.double() for k, v in model.state_dict().items() if k.endswith("scale")}
    for name, scale in scales.items():
        weights[name.removesuffix("scale") + "weight"] *= scale[:, None]
    twin.load_state_dict(weights)
    twin.kernels = "native"
    return twin.eval().requires_grad_(False)


def single(**changes):
    return small(torch.float32, **changes)


def tensors_of(state):
    return [t for block in state.blocks for t in block.tensors().values()]


def read(model, tokens, state):
    rows = []
    for token in tokens:
        row, state = decode_step(model, torch.tensor([token]), state)
        rows.append(row)
    return torch.cat(rows), state


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_steps_equal_the_models_own_forward(name, dtype):
    model = small(dtype, scale=0.2, **SHAPES[name])
    assert step_of(model) is not None
    reference, tokens = exact(model), prompt(40)
    got, state = read(model, tokens, model.zero_state())
    want, after = read(reference, tokens, reference.zero_state())
    torch.testing.assert_close(got.double(), want, rtol=0, atol=LOGITS)
    for one, two in zip(state.blocks, after.blocks):
        for key, tensor in one.tensors().items():
            torch.testing.assert_close(tensor.double(), two.tensors()[key], rtol=1e-4, atol=LOGITS)


@pytest.mark.parametrize("name", ["7b block", "convolution", "odd", "tied"])
@pytest.mark.parametrize("int8", [True, None], ids=["alone", "beside"])
def test_int8_steps_equal_the_widened_weights_in_float64(tmp_path, name, int8):
    folder = save_model(single(**SHAPES[name]), tmp_path / "m", int8=True)
    model = load_model(folder, dtype=torch.bfloat16, int8=int8)
    assert model.int8 and step_of(model) is not None
    reference, tokens = exact(model), prompt(40)
    got, _ = read(model, tokens, model.zero_state())
    want, _ = read(reference, tokens, reference.zero_state())
    torch.testing.assert_close(got.double(), want, rtol=0, atol=LOGITS)


def test_a_prompt_goes_on_by_steps_and_steps_by_a_prompt():
    model = single(**SHAPES["convolution"])
    tokens = prompt(90)
    whole, _ = prefill(model, [tokens])
    _, state = prefill(model, [tokens[:50]])
    _, state = read(model, tokens[50:70], state)
    mixed, _ = prefill(model, [tokens[70:]], state)
    torch.testing.assert_close(mixed, whole, rtol=0, atol=5e-4)


def test_a_state_is_never_changed_and_may_be_any_views_of_tensors():
    model = single(**SHAPES["convolution"])
    _, state = prefill(model, [prompt(20)])
    first, after = read(model, [3], state)
    kept = [t.clone() for t in tensors_of(after)]
    read(model, [5, 7], after)
    assert all(torch.equal(a, b) for a, b in zip(kept, tensors_of(after)))
    turned = state.apply(lambda t: t.mT.contiguous().mT if t.ndim > 2 else t)
    assert not turned.blocks[0].memory.c.is_contiguous()
    assert torch.equal(read(model, [3], turned)[0], first)
    assert torch.equal(read(model, [3], state.apply(torch.Tensor.double))[0], first)


def test_any_number_of_threads_gives_the_same_bits():
    model = single(**SHAPES["wide heads"])
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(read(model, prompt(10), model.zero_state())[0])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


def test_threads_of_its_own_give_the_same_bits(monkeypatch, tmp_path):
    model, before = single(**SHAPES["wide heads"]), torch.get_num_threads()
    want, _ = read(model, prompt(10), model.zero_state())
    sources = shutil.copytree(compiled.SOURCES, tmp_path / "own")
    text = (sources / "model.h").read_text()
    without = text.replace("if (GOMP_parallel && omp_get_num_threads)", "if (false)")
    assert without != text
    (sources / "model.h").write_text(without)
    # the step alone: a second in place of ten
    (sources / "prompt.cpp").write_text('extern "C" int reads_prompts() { return 0; }')
    own = ctypes.CDLL(str(build(sources, tmp_path / "made")))
    monkeypatch.setattr(cpu_step, "library", lambda: own)
    model = single(**SHAPES["wide heads"])
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            assert torch.equal(read(model, prompt(10), model.zero_state())[0], want)
    finally:
        torch.set_num_threads(before)


def test_two_texts_at_once_share_one_model():
    model = single(**SHAPES["wide heads"])
    starts = [prompt(12, seed=n) for n in range(6)]
    alone = [list(generate(model, start, max_tokens=20)) for start in starts]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda start: list(generate(model, start, max_tokens=20)), starts))
    assert together == alone


def test_weights_that_change_or_move_are_read_as_they_are():
    model = single(**TINY)
    first, _ = read(model, [3], model.zero_state())
    model._apply(torch.clone)  # what .to() does: all weights elsewhere
    assert torch.equal(read(model, [3], model.zero_state())[0], first)
    with torch.no_grad():
        model.head.weight.mul_(0.5)
    halved, _ = read(model, [3], model.zero_state())
    want, _ = model(torch.tensor([[3]]), model.zero_state(), last_only=True)
    torch.testing.assert_close(halved, want, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(halved, first, atol=1e-3)


def test_a_model_is_not_kept_alive():
    model = single(**TINY)
    read(model, [3], model.zero_state())
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_what_does_not_fit_is_refused_by_name():
    model, other = single(**TINY), single(**SHAPES["wide heads"])
    with pytest.raises(ModelError, match="token id 9999"):
        decode_step(model, torch.tensor([9999]), model.zero_state())
    with pytest.raises(ModelError, match="token id -1"):
        decode_step(model, torch.tensor([-1]), model.zero_state())
    with pytest.raises(ModelError, match="shapes"):
        decode_step(model, torch.tensor([3]), other.zero_state())
    with pytest.raises(ModelError, match="2 rows"):
        decode_step(model, torch.tensor([3]), model.zero_state(2))


def test_what_it_is_not_for_runs_as_before():
    assert step_of(small(torch.float64, **TINY)) is None
    assert step_of(single(use_bias=True, **TINY)) is None
    model = single(**TINY)
    model.kernels = "native"
    assert step_of(model) is None
    two, _ = decode_step(single(**TINY), torch.tensor([3, 4]), model.zero_state(2))
    assert two.shape == (2, model.config.vocab_size)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("XLSTM_COMPILE", "0", "XLSTM_COMPILE=0"),
        ("CXX", "no-such-compiler", "no C\\+\\+ compiler: no-such-compiler not found"),
        ("CXX", "false", "false failed"),
    ],
)
def test_without_a_library_pytorch_decodes_and_says_so(
    monkeypatch, tmp_path, caplog, variable, value, said
):
    model = single(**TINY)
    want, _ = read(model, prompt(5), model.zero_state())
    monkeypatch.setenv(variable, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fresh = compiled.library.__wrapped__
    monkeypatch.setattr(cpu_step, "library", fresh)
    with caplog.at_level(logging.INFO, "app.cpu.library"):
        got, _ = read(model, prompt(1), model.zero_state())
    assert len(caplog.messages) == 1 and re.search(said, caplog.text)
    torch.testing.assert_close(got, want[:1], rtol=0, atol=5e-4)

"""The whole model on a GPU: both kernels, float32, bfloat16 and int8, against the CPU."""

import shutil

import pytest
import torch
from tests.model.oracle import folders
from tests.model.small import prompt, small

from app.model.checkpoint import load_model
from app.model.generate import generate, generate_batch, prefill
from app.model.save import save_model
from app.model.state_file import load_state, save_state

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU"),
]
KERNELS = pytest.mark.parametrize("kernels", ["native", "triton"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    model = small(
        torch.float32, scale=0.15, embedding_dim=96, num_heads=3, ffn_dim=256, conv1d_kernel_size=4
    )
    return save_model(model, tmp_path_factory.mktemp("m") / "small")


@pytest.fixture(autouse=True)
def exact_float32():
    torch.backends.cuda.matmul.allow_tf32 = False


@KERNELS
@pytest.mark.parametrize("oracle", folders(), ids=lambda f: f.name)
def test_greedy_ids_equal_the_public_ones(oracle, kernels):
    from safetensors.torch import load_file

    model = load_model(oracle, device="cuda", dtype=torch.float32, kernels=kernels)
    expected = load_file(oracle / "expected.safetensors")
    for length in sorted({int(name.split(".")[0][3:]) for name in expected}):
        tokens, want = (expected[f"len{length}.{x}"] for x in ("input_ids", "logits"))
        with torch.inference_mode():
            got, _ = model(tokens.cuda())
        torch.testing.assert_close(got.cpu(), want, rtol=0, atol=5e-4)
        greedy = expected[f"len{length}.greedy_ids"].tolist()
        for row, ids in zip(tokens.tolist(), greedy):
            assert list(generate(model, row, max_tokens=40)) == ids


@KERNELS
@pytest.mark.parametrize("int8", [False, True], ids=["wide", "int8"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_logits_equal_those_of_the_cpu(folder, kernels, int8, dtype):
    rows = [prompt(n, n) for n in (130, 7, 64)]
    exact = load_model(folder, dtype=torch.float32, int8=int8)
    fast = load_model(folder, device="cuda", dtype=dtype, int8=int8, kernels=kernels)
    p, q = (prefill(m, rows)[0].float().cpu().log_softmax(-1) for m in (exact, fast))
    kl = (p.exp() * (p - q)).sum(-1).max()
    assert kl < (1e-6 if dtype == torch.float32 else 0.01)


@KERNELS
def test_states_go_to_disk_and_back(folder, kernels, tmp_path):
    model = load_model(folder, device="cuda", dtype=torch.bfloat16, kernels=kernels)
    logits, state = prefill(model, [prompt(90)])
    save_state(tmp_path / "s", model, logits, state)
    back_logits, back = load_state(tmp_path / "s", model)
    runs = [
        list(generate(model, [], state=s, logits=x, max_tokens=30))
        for s, x in ((state, logits), (back, back_logits))
    ]
    assert torch.equal(logits, back_logits) and runs[0] == runs[1]


@KERNELS
def test_a_batch_equals_the_single_runs(folder, kernels):
    model = load_model(folder, device="cuda", dtype=torch.float32, kernels=kernels)
    rows = [prompt(n, n) for n in (1, 70, 5, 33)]
    single = [list(generate(model, row, max_tokens=20)) for row in rows]
    assert generate_batch(model, rows, max_tokens=20) == single


def test_auto_is_triton_here(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "m")
    assert load_model(copy, device="cuda").backend.step_kernel == "triton"

"""The default embedder: the right weights, no network, no noise, vectors of length 1."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app.rank.minilm import SHA256
from app.retrieve.embed import Embedder, batches, load_embedder, workers

ROOT = Path(__file__).resolve().parents[2]
TEXTS = [
    "The mLSTM has a matrix memory with a covariance update rule.",
    "Exponential gating lets the memory revise what it stores.",
    "Cats sleep most of the day.",
    "",
    "word " * 400,
]


@pytest.fixture(scope="module")
def minilm():
    return load_embedder()


def test_rows_have_length_one_in_the_order_given(minilm):
    rows = minilm.encode(TEXTS)
    assert rows.dtype == np.float32 and rows.shape == (5, 384) == (5, minilm.width)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    alone = np.concatenate([minilm.encode([text]) for text in TEXTS])
    assert (rows * alone).sum(axis=1).min() > 0.999
    assert minilm.encode([]).shape == (0, 384)


def test_it_agrees_with_the_model_run_by_hand(minilm):
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = minilm._source
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    given = tokenizer(TEXTS, truncation=True, max_length=256, padding=True, return_tensors="pt")
    with torch.inference_mode():
        hidden = model.float()(**given).last_hidden_state
    mask = given["attention_mask"][..., None]
    mean = (hidden * mask).sum(1) / mask.sum(1)
    expected = torch.nn.functional.normalize(mean, dim=1).numpy()
    assert (minilm.encode(TEXTS) * expected).sum(axis=1).min() > 0.9995
    question = minilm.encode_question(TEXTS[0])
    assert question @ expected[0] > 0.9995 and not question.flags.writeable


def test_both_number_types_agree(minilm):
    import torch

    rows = []
    kept = minilm.dtype
    for dtype in (torch.float32, torch.bfloat16):
        minilm._model.to(dtype)
        rows.append(minilm.encode(TEXTS))
    minilm._model.to(getattr(torch, kept))
    assert (rows[0] * rows[1]).sum(axis=1).min() > 0.9995


def test_tokens_are_counted_whole(minilm):
    assert minilm.max_tokens == 256
    assert minilm.count_tokens("") == 2
    assert minilm.count_tokens("a cat") == 4
    assert minilm.count_tokens("word " * 400) == 402


def test_what_no_encoding_holds_is_embedded_all_the_same(minilm):
    assert np.isfinite(minilm.encode_question("what \ud800 is \x00 this")).all()


def test_embedding_leaves_the_thread_settings_as_they_were(minilm, monkeypatch):
    import torch

    before = torch.get_num_threads()
    monkeypatch.setattr(minilm, "_encode", lambda *args, **kwargs: 1 / 0)
    try:
        for threads in (1, 3, 20):
            torch.set_num_threads(threads)
            with workers("cpu") as pool:
                assert pool._max_workers == min(threads, 8)
                assert torch.get_num_threads() == max(1, threads // 8)
            with pytest.raises(ZeroDivisionError):
                minilm.encode(TEXTS)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_threads_may_share_it(minilm):
    from concurrent.futures import ThreadPoolExecutor

    questions = [f"question {n} " + "long " * n for n in range(60)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(minilm.encode_question, questions))
        counts = list(pool.map(minilm.count_tokens, questions))
    assert counts == [minilm.count_tokens(question) for question in questions]
    minilm.encode_question.cache_clear()
    alone = [minilm.encode_question(question) for question in questions]
    assert all(a @ b > 0.9999 for a, b in zip(together, alone))


def test_damaged_weights_are_refused(tmp_path, minilm):
    for name in SHA256:
        (tmp_path / name).write_bytes(Path(minilm._source, name).read_bytes()[:-1] + b"?")
    broken = Embedder("broken", str(tmp_path), SHA256)
    with pytest.raises(ValueError, match="model.safetensors is not the file it should be"):
        broken.encode(["text"])


def test_any_other_model_is_known_by_its_weights(tmp_path, minilm):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(minilm._source, copy)
    one = load_embedder(str(copy))
    two = load_embedder(str(copy))
    assert one.fingerprint == two.fingerprint != minilm.fingerprint
    assert one.encode(TEXTS[:1])[0] @ minilm.encode(TEXTS[:1])[0] > 0.9999


def test_an_unknown_model_says_what_to_do():
    with pytest.raises(ValueError, match="HF_HUB_OFFLINE=0"):
        load_embedder("nobody/no-such-model")


@pytest.mark.parametrize(
    "lengths, budget, expected",
    [
        ([], 10, []),
        ([3, 9, 1, 4], 10, [[1], [3, 0], [2]]),
        ([5, 5, 5], 10, [[0, 1], [2]]),
        ([50], 10, [[0]]),
    ],
)
def test_batches_fill_the_budget_longest_first(lengths, budget, expected):
    assert list(batches(lengths, budget)) == expected


QUIET = """
import socket
def refuse(*args, **kwargs):
    raise AssertionError(f"network: {args}")
socket.getaddrinfo = socket.socket.connect = refuse
import app
from app.retrieve.embed import load_embedder
rows = load_embedder().encode(["one text", "another"])
assert rows.shape == (2, 384)
"""


def test_loading_makes_no_noise_and_asks_no_network():
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-c", QUIET], capture_output=True, text=True, cwd=ROOT, env=environment
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

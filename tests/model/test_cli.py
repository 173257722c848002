"""`python -m app generate`: what it prints, how it stops, and what it says when it cannot."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tests.model.bytes_tokenizer import write_tokenizer
from tests.model.random_checkpoint import write
from tests.model.small import small

from app.cli import main
from app.model.save import save_model

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = save_model(small(torch.float32, vocab_size=300), tmp_path_factory.mktemp("m") / "tiny")
    config = (folder / "config.json").read_text()
    write_tokenizer(folder)
    (folder / "config.json").write_text(config)
    return folder


def generate(folder, *options):
    return main(["generate", "--model", str(folder), "--dtype", "float32", *options])


def test_it_prints_configuration_text_and_speed(folder, capsys):
    assert generate(folder, "--prompt", "hi", "--max-tokens", "7") == 0
    out = capsys.readouterr().out
    assert re.search(
        r"^mLSTMLayerConfig\(embedding_dim=24, num_heads=3, .*weight_mode='single'\)$", out, re.M
    )
    assert re.search(
        r"^mLSTMBackendConfig\(chunkwise_kernel='chunkwise--native_autograd'", out, re.M
    )
    assert "\n3 tokens in\n" in out and "float32 on cpu" in out
    assert re.search(r"^tokenization +\d\.\d+ s$", out, re.M)
    assert re.search(r"^generation +\d+\.\d+ s, 7 tokens, \d+\.\d tokens/s$", out, re.M)


def test_quiet_prints_the_text_alone_and_a_seed_repeats_it(folder, capsys):
    texts = []
    for seed in ("1", "1", "2"):
        options = ("--temperature", "1.5", "--seed", seed, "--max-tokens", "20", "--quiet")
        assert generate(folder, "--prompt", "hi", *options) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != texts[2]


def test_a_saved_state_goes_on_where_the_text_ended(folder, tmp_path, capsys):
    state = str(tmp_path / "s")
    assert generate(folder, "--prompt", "hi", "--max-tokens", "20", "--quiet") == 0
    whole = capsys.readouterr().out.rstrip("\n")
    options = ("--max-tokens", "10", "--quiet")
    assert generate(folder, "--prompt", "hi", *options, "--save-state", state) == 0
    first = capsys.readouterr().out.rstrip("\n")
    assert generate(folder, "--prompt", "", *options, "--state", state) == 0
    second = capsys.readouterr().out.rstrip("\n")
    assert whole.startswith(first[:-1]) and whole.endswith(second[1:])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--kernels", "chunkwise--triton_xl_chunk"], "cannot be had"),
        (["--kernels", "no-such"], "not known; known: auto, native"),
        (["--top-p", "3"], "top_p is 3.0"),
        (["--state", "nowhere"], "no such state file"),
        (["--tokenizer", "nowhere"], "no such model folder"),
        (["--max-tokens", "0"], "--max-tokens"),
        (["--device", "mps"], "device 'mps' is none that the models run on; use auto, cpu or cuda"),
        (["--temperature", "inf"], "temperature is inf"),
        (["--repetition-penalty", "1e-45"], "repetition_penalty is 1e-45"),
    ],
)
def test_what_cannot_be_is_one_line_and_status_1(folder, capsys, options, message):
    try:
        code = generate(folder, "--prompt", "hi", *options)
    except SystemExit as usage:
        code = usage.code
    error = capsys.readouterr().err.strip()
    assert code == 1 and message in error and "\n" not in error


def test_a_state_that_cannot_be_kept_is_refused_before_the_text(folder, tmp_path, capsys):
    for file in (tmp_path / "no-folder" / "s", tmp_path):
        assert generate(folder, "--prompt", "hi", "--quiet", "--save-state", str(file)) == 1
        out, error = capsys.readouterr()
        assert out == "" and f"{file}: cannot be written" in error and error.count("\n") == 1


def test_half_a_surrogate_pair_in_a_prompt_is_read(folder, capsys):
    assert generate(folder, "--prompt", "hi \udcff", "--max-tokens", "2", "--quiet") == 0


def test_ctrl_c_ends_the_text_and_reports(folder, tmp_path):
    command = [sys.executable, "-m", "app", "generate", "--model", str(folder), "--prompt", "hi"]
    endless = write_tokenizer(tmp_path / "t", special=("<|other|>", "<|bos|>"))  # no end token
    command += ["--dtype", "float32", "--max-tokens", "1000000", "--tokenizer", str(endless)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env=environment
    )
    seen = b""
    while b"tokens in\n\n" not in seen or len(seen.split(b"tokens in\n\n")[1]) < 5:
        piece = process.stdout.read1()
        assert piece, process.stderr.read()
        seen += piece
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and errors == b""
    assert b"(stopped)" in rest and b"tokens/s" in rest


@pytest.mark.slow
def test_two_blocks_of_the_7b_shape_run_from_the_public_layout(tmp_path, capsys):
    folder = write(tmp_path / "seven", 2, shard_bytes=10**9)
    tokenizer = write_tokenizer(tmp_path / "t", special=("<|endoftext|>", "<|padding|>"), bos=0)
    options = ("--prompt", "hi", "--max-tokens", "3", "--tokenizer", str(tokenizer))
    assert main(["generate", "--model", str(folder), "--dtype", "bfloat16", *options]) == 0
    out = capsys.readouterr().out
    assert "815,427,616 weights" in out and "3 tokens, " in out and "embedding_dim=4096" in out

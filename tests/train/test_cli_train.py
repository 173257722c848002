"""`python -m app train` on a CPU: tokenizer, what to leave out, pretrain, tune, two processes."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.answer.fakes import passage
from tests.train.toy import write_toy_data

from app.answer.reader import load_reader
from app.cli import main
from app.model.checkpoint import load_model

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_toy_data(tmp_path_factory.mktemp("data"), documents=8)


def arguments(data, task, out, *more):
    sources = ["--text", "books", "--questions", "squad", "--own", "paper_pairs"]
    places = ["--data", data, "--out", out, "--reader", data / "reader"]
    return list(map(str, ["train", task, *places, *sources, *more]))


def run_of(steps, rows, tokens=512):
    batch = ["--rows", rows, "--first-rows", rows, "--micro", 4, "--tokens", tokens]
    return ["--steps", steps, *batch]


def losses(folder):
    with (folder / "log.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def test_sources_that_never_ship_are_refused(data, tmp_path, capsys):
    tune = arguments(data, "pretrain", tmp_path / "out", *run_of(1, 1))
    assert main([*tune, "--questions", "race"]) == 1
    assert "never enter weights that ship: race" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_shares_words_with_the_evaluation_is_named(data, tmp_path, capsys):
    evaluation = tmp_path / "evaluation"
    evaluation.mkdir()
    (evaluation / "e.jsonl").write_bytes((data / "corpus" / "books.jsonl").read_bytes())
    out = tmp_path / "leave_out.txt"
    asked = arguments(data, "leave-out", out, "--evaluation", evaluation)
    assert main(asked) == 0
    assert out.read_text().split() == [f"books:{n}" for n in range(8)]
    assert "books: 8 to leave out" in capsys.readouterr().out


@pytest.mark.slow
def test_from_texts_to_a_reader_in_two_minutes(data, tmp_path, capsys):
    form = tmp_path / "form"
    assert main(arguments(data, "tokenizer", form, "--size", "600")) == 0
    fit = ["--reader", form, "--log-every", 5, "--warm", 5, "--workers", 1]
    first = tmp_path / "first"
    asked = arguments(data, "pretrain", first, *run_of(60, 4), *fit, "--smallest")
    assert main(asked) == 0
    shown = capsys.readouterr().out
    assert "left 0:0" in shown and "chunkwise--native_autograd" in shown
    fell = losses(first)
    assert fell[0] > 4.5 and fell[-1] < 0.7 * fell[0]
    assert (first / "loss.png").stat().st_size > 5_000

    second = tmp_path / "second"
    tuned = ["--init", first / "model", "--peak", "0.5"]
    assert main(arguments(data, "tune", second, *run_of(10, 4), *fit, *tuned)) == 0
    assert losses(second)[0] < fell[0]
    reader = load_reader(second / "model", dtype=torch.float32)
    asked = reader.prompt("What is the width of Lor?", [passage("The width of Lor is seven.")])
    reading = reader.read(asked)
    assert len(reader.likelihoods(reading, ["The width of Lor is seven."])) == 1
    assert isinstance("".join(reader.phrase(reading, "The width of Lor is seven.", "short")), str)


@pytest.mark.slow
def test_two_processes_end_with_the_same_weights_as_each_other(data, tmp_path):
    """One writes; the other would fail at the next sum if it had gone another way."""
    out = tmp_path / "out"
    asked = arguments(data, "pretrain", out, *run_of(4, 2, 1024), "--smallest", "--save-every", 2)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    for _ in range(2):  # the second time it finds itself done
        done = subprocess.run(
            [*command, "-m", "app", *asked, "--log-every", "2"],
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-2000:]
    assert "2 x cpu" in done.stdout and "goes on from" in done.stdout
    assert len(losses(out)) == 2
    assert load_model(out / "model", dtype=torch.float32).config.num_blocks == 2

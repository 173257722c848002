"""Many questions at a time give what one at a time gives, with a tiny model of random weights."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.evaluate.test_reader_questions import ByWord
from tests.train.toy import TINY, write_toy_data

from app.answer.reader import load_reader
from app.answer.signals import OF_QUESTION, OF_SENTENCE
from app.evaluate import calibrate, reader_batch, reader_questions
from app.evaluate.reader import MODES, evaluate, read_rows
from app.evaluate.reader_batch import Load, SharedModel, Spread
from app.train.export import export
from app.train.run import fresh_model
from app.train.sources import find_file

ROOT = Path(__file__).resolve().parents[2]
HEAVY = "faiss sentence_transformers transformers langchain_core pypdf zstandard bm25s matplotlib"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A reader that knows nothing, and six prepared questions with two passages each."""
    from app.model.save import save_model

    data = write_toy_data(tmp_path_factory.mktemp("toy"), documents=3)
    weights = save_model(fresh_model(TINY, seed=3), data / "weights")
    export([weights], data / "reader", data / "model", int8=False)
    sampled = reader_questions.sample("toy", find_file(data / "qa", "paper_pairs"), 6)
    made = [reader_questions.embedded(question, ByWord()) for question in sampled]
    reader_questions.write_questions(data / "prepared" / "toy.jsonl", made)
    return data


def plain(rows):
    """Rows by question and mode without their times; the model's own numbers rounded."""
    return {
        (row.id, row.mode): replace(
            row, seconds=0.0, refusal=None if row.refusal is None else round(row.refusal, 5)
        )
        for row in rows
    }


def test_threads_that_share_a_model_answer_as_one_does(folder):
    reader = load_reader(folder / "model", dtype=torch.float32)
    questions = reader_questions.load_questions(folder / "prepared" / "toy.jsonl")
    alone = plain(evaluate(questions, reader))
    assert len(alone) == 6 * (len(MODES) + 2)
    assert len({row.answer for row in alone.values()}) > 6  # it does write something
    shared = list(reader_batch.evaluate_together(questions, reader, MODES, 4))
    assert plain(shared) == alone
    assert [row.id for row in shared[:: len(MODES) + 2]] == [q.id for q in questions]


def test_signals_found_together_are_those_found_alone(folder):
    reader = load_reader(folder / "model", dtype=torch.float32)
    questions = reader_questions.load_questions(folder / "prepared" / "toy.jsonl")
    asked = (questions, reader, tuple(OF_SENTENCE), tuple(OF_QUESTION))
    alone = list(calibrate.cases(*asked))
    assert len(alone) > 6 and {case.kind for case in alone} >= {"answerable", "evidence removed"}
    for one, other in zip(alone, calibrate.cases(*asked, together=4), strict=True):
        assert (one.id, one.kind, one.right) == (other.id, other.kind, other.right)
        assert one.question == pytest.approx(other.question, abs=1e-4)
        for name, values in one.sentences.items():
            assert values == pytest.approx(other.sentences[name], abs=1e-4)


def test_calls_are_run_together_and_split_again(folder):
    from threading import Thread

    model = load_reader(folder / "model", dtype=torch.float32).model
    shared, sizes, found = SharedModel(model), [], {}
    hidden = model.hidden
    model.hidden = lambda tokens, *rest: sizes.append(len(tokens)) or hidden(tokens, *rest)
    prompts = {n: torch.arange(10, 12 + 3 * n)[None] for n in range(3)}

    def ask(n):
        found[n] = shared.hidden(prompts[n])

    shared._callers = 3  # so the first two wait for the third
    threads = [Thread(target=ask, args=(n,)) for n in prompts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sizes == [3]
    for n, tokens in prompts.items():
        x, state = hidden(tokens)
        torch.testing.assert_close(found[n][0], x)
        torch.testing.assert_close(found[n][1].blocks[1].memory.c, state.blocks[1].memory.c)
        torch.testing.assert_close(found[n][1].blocks[0].window, state.blocks[0].window)


def test_an_error_reaches_every_thread_that_asked(folder):
    reader = load_reader(folder / "model", dtype=torch.float32)
    model = SharedModel(reader.model)
    with model.caller(), pytest.raises(IndexError):
        model.hidden(torch.tensor([[9999]]))
    with model.caller():
        assert model.hidden(torch.tensor([[5]]))[0].shape == (1, 1, 48)


@pytest.mark.slow
def test_processes_give_the_same_rows(folder):
    load = Load(folder / "model", "cpu", torch.float32)
    questions = reader_questions.load_questions(folder / "prepared" / "toy.jsonl")
    alone = plain(evaluate(questions, load()))
    spread = reader_batch.evaluate_spread(questions, load, MODES, Spread(2, together=2))
    assert plain(spread) == alone
    nowhere = Load(folder / "nowhere", "cpu", torch.float32)
    with pytest.raises(RuntimeError, match="a process of the evaluation"):
        list(reader_batch.evaluate_spread(questions, nowhere, MODES, Spread(2)))


def without_heavy(asked):
    """What a command comes to where none of HEAVY can be imported."""
    code = f"""
import sys
for name in {HEAVY!r}.split():
    sys.modules[name] = None  # importing it fails
from app.cli import main
sys.exit(main(["--traceback", *{asked!r}]))
"""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_prepared_questions_need_torch_and_tokenizers_alone(folder, tmp_path):
    out = tmp_path / "rows.jsonl"
    asked = ["--prepared", str(folder / "prepared"), "--sets", "toy", "--limit", "2"]
    asked += ["--model", str(folder / "model"), "--output", str(out), "--modes", "short"]
    done = without_heavy(["evaluate", "reader", *asked, "--dtype", "float32"])
    assert done.returncode == 0, done.stderr
    assert "| toy | best sentence |" in done.stdout
    assert len(read_rows(out)) == 2 * 3


def test_a_calibration_needs_torch_and_tokenizers_alone(folder, tmp_path):
    out = tmp_path / "cases.jsonl"
    asked = ["--prepared", str(folder / "prepared"), "--fit", "toy", "--dry-run"]
    asked += ["--model", str(folder / "model"), "--output", str(out)]
    done = without_heavy(["calibrate", *asked])
    assert done.returncode == 0, done.stderr
    assert "evidence by rank" in done.stdout
    assert set(calibrate.read_cases(out)[0].sentences) == {"similarity", "rank"}

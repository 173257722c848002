"""`python -m app evaluate reader`: answers from given passages, against two baselines."""

import argparse
import itertools
import json
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli.options import MODEL, add_library_options, open_library, positive

if TYPE_CHECKING:
    from app.evaluate.reader import Row
    from app.evaluate.reader_questions import Question

# As in app.evaluate.reader, which is not imported for the parser alone.
MODES = ("quote", "short", "sentence", "bullets", "likeliest", "relevant", "written")


def add_task(tasks: "argparse._SubParsersAction") -> None:
    """Add the task to what `evaluate` can do."""
    parser = tasks.add_parser("reader", help="answers from given passages, against two baselines")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--questions", type=Path, help="folder of question sets")
    source.add_argument("--prepared", type=Path, help="folder that --prepare wrote")
    source.add_argument("--from", dest="rows", type=Path, help="a file of rows: only its tables")
    source.add_argument("--compare", nargs=2, type=Path, metavar="ROWS", help="two files of rows")
    parser.add_argument("--prepare", type=Path, help="write sampled, embedded questions; stop")
    parser.add_argument("--sets", nargs="+", help="names of files (default: all)")
    parser.add_argument("--modes", nargs="+", default=list(MODES), choices=MODES)
    parser.add_argument("--limit", type=positive, help="questions of each set (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="which questions (default: 0)")
    parser.add_argument("--model", default=MODEL, help=f"folder of the reader (default: {MODEL})")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16"))
    parser.add_argument("--processes", type=positive, default=1, help="default: 1")
    parser.add_argument(
        "--together", type=positive, default=1, help="questions at a time in each (default: 1)"
    )
    parser.add_argument("--output", type=Path, help="JSON lines with every row")
    parser.add_argument("--card", type=Path, help="write the tables between its figures' marks")
    add_library_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Answer, or read rows that were kept; print the tables."""
    from app.evaluate import reader_table
    from app.evaluate.reader import read_rows

    if args.compare:
        print(reader_table.compared(*(read_rows(path) for path in args.compare)))
        return 0
    if args.prepare:
        return prepare(args)
    rows = read_rows(args.rows) if args.rows else answer(args)
    print(reader_table.table(reader_table.summary(rows)))
    if args.card:
        reader_table.write_card(args.card, rows, str(args.rows or args.output))
    return 0


def prepare(args: argparse.Namespace) -> int:
    """Write each set's questions as they will be asked."""
    from app.evaluate.reader_questions import write_questions

    for name in set_names(args):
        questions = asked(args, name)
        write_questions(args.prepare / f"{name}.jsonl", questions)
        print(f"{name}: {len(questions)} questions", flush=True)
    return 0


def set_names(args: argparse.Namespace) -> list[str]:
    """The sets asked for, else all: those that were prepared, or those that there are."""
    from app.evaluate.reader_questions import SETS

    if args.sets:
        return args.sets
    if args.prepared:
        return [name for name in SETS if (args.prepared / f"{name}.jsonl").is_file()]
    return list(SETS)


def asked(args: argparse.Namespace, name: str) -> "list[Question]":
    """The questions of a set: prepared, or sampled and embedded now."""
    from app.evaluate import reader_questions
    from app.train.sources import find_file

    file = find_file(args.prepared or args.questions, name)
    if args.prepared:
        return reader_questions.load_questions(file)[: args.limit]
    if name == reader_questions.ON_PAPERS:
        lines = file.read_text(encoding="utf-8").split("\n")
        records = [json.loads(line) for line in lines if line.strip()]
        random.Random(args.seed).shuffle(records)  # those of one paper stand together
        found = reader_questions.on_papers(records, open_library(args))
        if not found:
            raise ValueError(f"{file} has no question about these papers")
        return found[: args.limit]
    from app import load_embedder

    embedder = load_embedder(args.embedder)
    sampled = reader_questions.sample(name, file, args.limit, args.seed)
    return [reader_questions.embedded(question, embedder) for question in sampled]


def answer(args: argparse.Namespace) -> "list[Row]":
    """Answer all questions; every row is written as soon as it comes back."""
    from app.evaluate import reader_batch
    from app.evaluate.reader import read_rows, write_head, write_rows
    from app.model.device import pick_dtype

    if not args.output:
        raise ValueError("name --output: the file that keeps every row")
    sets = [asked(args, name) for name in set_names(args)]
    # From each set in turn: a run that is broken off has as many rows of each.
    turns = itertools.zip_longest(*sets)
    questions = [question for turn in turns for question in turn if question is not None]
    if not questions:
        raise ValueError("there are no questions")
    load = reader_batch.Load(Path(args.model), args.device, pick_dtype(args.device, args.dtype))
    spread = reader_batch.Spread(args.processes, args.together)
    start = time.perf_counter()
    args.output.parent.mkdir(parents=True, exist_ok=True)
    with args.output.open("w", encoding="utf-8") as file:
        write_head(file, {key: str(value) for key, value in vars(args).items() if key != "run"})
        for row in reader_batch.evaluate_spread(questions, load, args.modes, spread):
            write_rows(file, [row])
            file.flush()
    seconds = time.perf_counter() - start
    print(f"{len(questions)} questions in {seconds:.0f} s", file=sys.stderr)
    return read_rows(args.output)

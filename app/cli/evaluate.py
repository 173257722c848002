"""`python -m app evaluate`: figures on questions whose answers are known."""

import argparse
from pathlib import Path

from app.cli.options import MODEL, positive

SETS = ("nq-gold", "squad2", "covid-qa", "bioasq", "qasper", "paper_pairs")
MODES = ("quote", "short", "sentence", "bullets")


def add_parser(subparsers: "argparse._SubParsersAction") -> None:
    """Add the command and what it evaluates to the parser."""
    parser = subparsers.add_parser("evaluate", help="measure on questions with known answers")
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    reader = tasks.add_parser("reader", help="answers from given passages, against two baselines")
    reader.add_argument("--questions", type=Path, required=True, help="folder of question sets")
    reader.add_argument("--sets", nargs="+", default=list(SETS), help="names of files in it")
    reader.add_argument("--modes", nargs="+", default=list(MODES), choices=MODES)
    reader.add_argument("--limit", type=positive, help="questions of each set (default: all)")
    reader.add_argument("--seed", type=int, default=0, help="which questions (default: 0)")
    reader.add_argument("--model", default=MODEL, help=f"folder of the reader (default: {MODEL})")
    reader.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    reader.add_argument("--embedder", help="a sentence-transformers model by path or name")
    reader.add_argument("--output", type=Path, required=True, help="JSON with every row")
    reader.set_defaults(run=run_reader)


def run_reader(args: argparse.Namespace) -> int:
    """Answer the sets one after the other, write every row, print the table."""
    from app import load_embedder, load_reader
    from app.evaluate.reader import evaluate, read_questions, write
    from app.evaluate.reader_table import summary, table
    from app.train.sources import find_file

    files = [find_file(args.questions, name) for name in args.sets]
    reader, embedder = load_reader(args.model, device=args.device), load_embedder(args.embedder)
    rows = []
    for name, file in zip(args.sets, files):
        asked = read_questions(file, args.limit, args.seed)
        rows += evaluate(name, asked, reader, embedder, args.modes)
        settings = {key: str(value) for key, value in vars(args).items() if key != "run"}
        write(args.output, rows, summary(rows), settings)  # after each set: a long run may end
        print(f"{name}: {len(asked)} questions", flush=True)
    print(table(summary(rows)))
    return 0

"""`python -m app bench`: how long indexing and answering take here, printed and recorded."""

import argparse
from pathlib import Path

from app.cli.options import MODEL, positive

PAPER = "arxiv:2405.04517v1"
RECORD = "data/bench/answers.csv"


def add_parser(subparsers: "argparse._SubParsersAction") -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser("bench", help="time indexing and answering on this machine")
    parser.add_argument("--papers", nargs="+", default=[PAPER], metavar="FILE|FOLDER|arxiv:ID")
    parser.add_argument("--model", default=MODEL, help=f"folder of the reader (default: {MODEL})")
    parser.add_argument("--repeats", type=positive, default=3, help="times to index (default: 3)")
    parser.add_argument("--record", type=Path, default=Path(RECORD), help=f"default: {RECORD}")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure, print the table, append to the record."""
    from app import find_papers
    from app.evaluate.bench import bench, record, table
    from app.evaluate.machine import describe

    rows = bench(find_papers(*args.papers), args.model, args.repeats)
    here = describe()
    print(f"{here['cpu']} ({here['units']}), {here['cores']} cores, torch {here['torch']}")
    print(table(rows))
    record(rows, args.record)
    return 0

"""`python -m app bench [NAME]`: how fast it is here, printed and recorded; `table` shows it."""

import argparse
from importlib import import_module
from pathlib import Path

from app.bench import BENCHES, FOLDER, Options
from app.cli.options import MODEL, positive

PAPER = "arxiv:2405.04517v1"


def add_parser(subparsers: "argparse._SubParsersAction") -> None:
    """Add the command to the parser."""
    what = "; ".join(f"{name}: {text}" for name, text in BENCHES.items())
    parser = subparsers.add_parser("bench", help="time this machine", description=what)
    parser.add_argument(
        "name",
        nargs="?",
        default="answers",
        choices=(*BENCHES, "table"),
        help="what to time (default: answers), or `table`: all records as Markdown",
    )
    parser.add_argument("--papers", nargs="+", default=[PAPER], metavar="FILE|FOLDER|arxiv:ID")
    parser.add_argument("--model", default=MODEL, help=f"folder of the model (default: {MODEL})")
    parser.add_argument(
        "--repeats", type=positive, default=3, help="how often what takes seconds is timed"
    )
    parser.add_argument("--quick", action="store_true", help="fewer sizes, to see that all works")
    parser.add_argument(
        "--record", type=Path, metavar="FILE", help=f"default: {FOLDER}/NAME.csv, appended to"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure, print the table, append to the record; or print all records."""
    from app.bench.rows import markdown, read, record, table
    from app.evaluate.machine import describe

    if args.name == "table":
        print(markdown({name: read(FOLDER / f"{name}.csv") for name in BENCHES}))
        return 0
    options = Options(tuple(args.papers), args.model, args.repeats, args.quick)
    rows = import_module(f"app.bench.{args.name}").measure(options)
    here = describe()
    print(here["gpu"] or f"{here['cpu']} ({here['units']}), {here['cores']} cores", here["torch"])
    print(table(rows))
    record(rows, args.record or FOLDER / f"{args.name}.csv")
    return 0

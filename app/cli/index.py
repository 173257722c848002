"""`python -m app index`: read and index papers, and say what became of each."""

import argparse

from app.cli.options import add_library_options, open_library


def add_parser(subparsers: "argparse._SubParsersAction") -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser("index", help="index papers; only what changed is embedded")
    add_library_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Open the library, which indexes what is missing, and print it."""
    print(open_library(args))
    return 0

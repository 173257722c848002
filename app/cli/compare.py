"""`python -m app compare`: one question, several retrievers, the same reader, side by side."""

import argparse
import json
from pathlib import Path

from app.cli.options import add_answer_options, add_library_options, open_library

FORMATS = ("text", "markdown", "html", "json")


def add_parser(subparsers: "argparse._SubParsersAction") -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser("compare", help="what each retriever found and came to")
    parser.add_argument("question")
    parser.add_argument("--retrievers", nargs="+", default=["similarity", "compression"])
    parser.add_argument("--format", choices=FORMATS, default="text")
    parser.add_argument("--output", type=Path, help="write to this file, links relative to it")
    add_library_options(parser)
    add_answer_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compare and print, or write, the report."""
    from app import compare, load_reader
    from app.show.html import document

    library = open_library(args)
    reader = load_reader(args.model)
    retrievers = [library.retriever(name, k=args.k, reader=reader) for name in args.retrievers]
    report = compare(args.question, retrievers, reader=reader, mode=args.mode)
    base = str(args.output.parent) if args.output else "."
    text = {
        "text": lambda: str(report),
        "markdown": lambda: report.to_markdown(base),
        "html": lambda: document(args.question, report.to_html(base)),
        "json": lambda: json.dumps(report.to_dict(), ensure_ascii=False, allow_nan=False),
    }[args.format]()
    if args.output:
        args.output.write_text(text + "\n", encoding="utf-8")
    else:
        print(text)
    return 0

"""`python -m app ask`: one question, or one a line of a file, answered from the papers."""

import argparse
import json
from pathlib import Path

from app.cli import warn
from app.cli.options import add_answer_options, add_library_options, open_library
from app.papers.records import encodable


def add_parser(subparsers: "argparse._SubParsersAction") -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser("ask", help="answer a question from papers, with page sources")
    parser.add_argument("question", nargs="?")
    parser.add_argument("--questions", metavar="FILE", type=Path, help="one question a line")
    parser.add_argument("--retriever", default="similarity", help="default: similarity")
    parser.add_argument("--json", action="store_true", help="one JSON object a question")
    add_library_options(parser)
    add_answer_options(parser)
    parser.set_defaults(run=run)


def questions(args: argparse.Namespace) -> list[str]:
    """The questions asked for.

    Raises:
        ValueError: neither a question nor a file of them, both, or a file without any.
    """
    if (args.question is None) == (args.questions is None):
        raise ValueError("give one question, or a file of them with --questions")
    if args.questions is None:
        asked = [args.question]
    else:
        asked = args.questions.read_text(encoding="utf-8").split("\n")
    asked = [encodable(line).strip() for line in asked if line.strip()]
    if not asked:
        raise ValueError("there is no question in what was given")
    return asked


def run(args: argparse.Namespace) -> int:
    """Answer every question in turn."""
    asked = questions(args)
    from app import ask, load_reader
    from app.answer.answer import streamed

    library, reader = open_library(args), load_reader(args.model)
    retriever = library.retriever(args.retriever, k=args.k, reader=reader)
    status = 0
    for question in asked:
        try:
            if args.json:
                answer = ask(question, retriever, reader=reader, mode=args.mode)
                print(json.dumps(answer.to_dict(), ensure_ascii=False, allow_nan=False), flush=True)
            else:
                for piece in streamed(question, retriever, reader, args.mode):
                    print(piece, end="", flush=True)
        except ValueError as error:  # this question cannot be asked; the others can
            if args.questions is None:
                raise
            status = 1
            warn(f"{question[:80]!r}: {error}")
            if args.json:
                print(json.dumps({"question": question, "error": str(error)}), flush=True)
    return status

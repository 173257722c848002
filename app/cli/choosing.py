"""`python -m app evaluate choosing`: is the right sentence of retrieved passages put first?"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from app.cli.options import MODEL, add_library_options, open_library, positive


def add_task(tasks: "argparse._SubParsersAction") -> None:
    """Add the task to what `evaluate` can do."""
    parser = tasks.add_parser("choosing", help="which sentence of retrieved passages comes first")
    parser.add_argument("--questions", type=Path, required=True, help="JSON lines about the papers")
    parser.add_argument("--retriever", default="similarity", help="default: similarity")
    parser.add_argument("--k", type=positive, default=3, help="passages to read (default: 3)")
    parser.add_argument("--limit", type=positive, help="the first so many (default: all)")
    parser.add_argument("--model", default=MODEL, help=f"folder of the reader (default: {MODEL})")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--output", type=Path, required=True, help="JSON with every row")
    add_library_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Retrieve, order the sentences in three ways, write every row, print the table."""
    from app import load_reader
    from app.evaluate.choosing import declined, evaluate, summary, table
    from app.evaluate.machine import describe
    from app.evaluate.questions import read_questions

    library = open_library(args)
    papers = [paper.file for paper in library.papers]
    questions = read_questions(args.questions, papers, unanswerable=True)
    if not questions:
        raise ValueError(f"{args.questions} has no question about these papers")
    reader = load_reader(args.model, device=args.device)
    rows = evaluate(library, questions[: args.limit], reader, args.retriever, args.k)
    record = {
        "machine": describe(),
        "settings": {key: str(value) for key, value in vars(args).items() if key != "run"},
        "declined": declined(rows),
        "summary": summary(rows),
        "rows": [asdict(row) for row in rows],
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    if record["summary"]:
        print(table(record["summary"]))
    for name, share in record["declined"].items():
        if share is not None:
            word = "with evidence retrieved" if name == "retrieved" else f"{name}, declined"
            print(f"{word}: {100 * share:.1f} %")
    return 0

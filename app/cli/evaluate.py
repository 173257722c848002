"""`python -m app evaluate`: figures on questions whose answers are known."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli import choosing, evaluate_reader
from app.cli.options import MODEL, add_library_options, open_library

if TYPE_CHECKING:
    from app.evaluate import beir, retrieval

RETRIEVERS_COMPARED = ("hybrid", "similarity", "sentence", "bm25", "mmr", "compression")


def add_parser(subparsers: "argparse._SubParsersAction") -> None:
    """Add the command and what it evaluates to the parser."""
    parser = subparsers.add_parser("evaluate", help="measure on questions with known answers")
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    evaluate_reader.add_task(tasks)
    _add_retrieval(tasks)
    choosing.add_task(tasks)


def _add_retrieval(tasks: "argparse._SubParsersAction") -> None:
    retrieval = tasks.add_parser(
        "retrieval", help="pages and evidence that retrievers find, with bootstrap intervals"
    )
    retrieval.add_argument("--questions", type=Path, help="JSON lines about the papers")
    retrieval.add_argument(
        "--retrievers",
        nargs="+",
        default=list(RETRIEVERS_COMPARED),
        help="names; a+b fuses two; the first is compared with each other",
    )
    retrieval.add_argument(
        "--collections",
        nargs="+",
        default=[],
        type=Path,
        metavar="FOLDER/NAME",
        help="texts in BEIR form: NAME-corpus.jsonl.zst, NAME-queries.jsonl.zst, NAME-qrels.tsv",
    )
    retrieval.add_argument("--output", type=Path, help="JSON with the row of every question")
    retrieval.add_argument("--pictures", type=Path, help="folder for the drawn figures")
    add_library_options(retrieval)
    retrieval.set_defaults(run=run_retrieval)

    refusal = tasks.add_parser("refusal", help="how well unanswerable questions can be told")
    refusal.add_argument("--questions", type=Path, required=True, help="JSON lines on the papers")
    refusal.add_argument("--retriever", default="hybrid", help="default: hybrid")
    refusal.add_argument("--model", default=MODEL, help=f"folder of the reader (default: {MODEL})")
    refusal.add_argument("--output", type=Path, help="JSON lines with the signals of each question")
    add_library_options(refusal)
    refusal.set_defaults(run=run_refusal)


def run_retrieval(args: argparse.Namespace) -> int:
    """Evaluate on the papers and on the collections, print the tables, write what was asked for."""
    from app.evaluate import retrieval

    if not (args.questions or args.collections):
        raise ValueError("name --questions about the papers, or --collections of texts")
    rows = _on_papers(args) if args.questions else []
    texts = _on_collections(args)
    if len(args.retrievers) > 1:
        print(retrieval.differences(rows, texts))
    if args.output:
        settings = {
            "questions": args.questions.name if args.questions else "",
            "collections": ", ".join(path.name for path in args.collections),
            "retrievers": " ".join(args.retrievers),
            "embedder": args.embedder or "the default",
        }
        retrieval.write(args.output, rows, settings, texts)
    return 0


def _on_papers(args: argparse.Namespace) -> "list[retrieval.Row]":
    from app.evaluate import retrieval

    library = open_library(args)
    questions = retrieval.read_questions(args.questions, [paper.file for paper in library.papers])
    if not questions:
        raise ValueError(f"{args.questions} has no answerable question about these papers")
    rows = retrieval.evaluate(library, questions, args.retrievers, ("main",))
    print(retrieval.table(retrieval.summary(rows)) + "\n")
    if args.pictures:
        from app.evaluate.figures import draw_budgets, draw_scores

        draw_budgets(retrieval.summary(rows), args.pictures / "evidence-by-budget.png")
        draw_scores(library, questions, args.pictures / "scores.png")
    return rows


def _on_collections(args: argparse.Namespace) -> "list[beir.Row]":
    from app import load_embedder
    from app.evaluate import beir
    from app.retrieve.texts import library_of_texts

    rows, embedder = [], load_embedder(args.embedder)
    for path in args.collections:
        collection = beir.read_collection(path.parent, path.name)
        library = library_of_texts(path.name, collection.texts, args.index, embedder)
        rows += beir.evaluate(library, collection, args.retrievers)
        print(beir.table(beir.summary(rows[-len(collection.queries) * len(args.retrievers) :])))
        print()
    return rows


def run_refusal(args: argparse.Namespace) -> int:
    """Print how well each signal, and all together, tell what cannot be answered."""
    from app import load_reader
    from app.evaluate import refusal

    library, known = open_library(args), []
    for line in args.questions.read_text(encoding="utf-8").split("\n"):
        if line.strip():
            known.append(json.loads(line))
    papers = {paper.file for paper in library.papers}
    records = [record for record in known if record["paper"] in papers]
    made = refusal.cases(library, records, load_reader(args.model), args.retriever)
    if args.output:
        args.output.write_text("".join(json.dumps(asdict(case)) + "\n" for case in made))
    singles = [(name,) for name in refusal.SIGNALS]
    print(refusal.table(made, [*singles, refusal.SIGNALS[1:3], refusal.SIGNALS[1:]]))
    return 0

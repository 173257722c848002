"""`python -m app evaluate retrieval` and `refusal`: what is found, and what cannot be answered."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli.options import MODEL, add_library_options, open_library, positive

if TYPE_CHECKING:
    from app.evaluate import beir, qasper, retrieval

COMPARED = ("hybrid", "similarity", "sentence", "bm25", "mmr", "compression", "rerank")
COMPARED += ("compression-xlstm",)
ON_TEXTS = ("hybrid", "similarity", "sentence", "bm25", "compression", "rerank")
HALVES = ("choosing", "reporting")
SETTINGS = ("questions", "half", "retrievers", "collections", "qasper", "on_texts", "words")


def add_tasks(tasks: "argparse._SubParsersAction") -> None:
    """Add the two tasks to what `evaluate` can do."""
    retrieval = tasks.add_parser(
        "retrieval", help="pages and evidence that retrievers find, with bootstrap intervals"
    )
    retrieval.add_argument("--questions", type=Path, help="JSON lines about the papers")
    retrieval.add_argument(
        "--half", choices=HALVES, help="only the questions of this half of the papers"
    )
    retrieval.add_argument(
        "--retrievers",
        nargs="+",
        default=list(COMPARED),
        help="names; a+b fuses two, name:setting=value sets; the first is compared with each other",
    )
    retrieval.add_argument(
        "--collections",
        nargs="+",
        default=[],
        type=Path,
        metavar="FOLDER/NAME",
        help="texts in BEIR form: NAME-corpus.jsonl.zst, NAME-queries.jsonl.zst, NAME-qrels.tsv",
    )
    retrieval.add_argument(
        "--qasper", type=Path, metavar="FOLDER", help="qasper.jsonl.zst and qasper-papers.jsonl.zst"
    )
    retrieval.add_argument(
        "--on-texts",
        nargs="+",
        default=list(ON_TEXTS),
        metavar="RETRIEVER",
        help=f"those for the collections and QASPER (default: {' '.join(ON_TEXTS)})",
    )
    retrieval.add_argument("--words", type=positive, help="words of a chunk (default: 130)")
    retrieval.add_argument("--model", default=MODEL, help=f"the reader's folder (default: {MODEL})")
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
    """Evaluate on papers, QASPER and collections, print the tables, write what was asked for."""
    from app.evaluate import retrieval

    if not (args.questions or args.collections or args.qasper):
        raise ValueError("name --questions about the papers, --qasper, or --collections of texts")
    rows = _on_papers(args) if args.questions else []
    paragraphs = _on_qasper(args) if args.qasper else []
    texts = _on_collections(args)
    for half in (args.half,) if args.half else ("reporting", None):
        chosen = retrieval.of_half(rows, half)
        if len(retrieval.pooled(chosen, texts)) > 1:
            print(f"Pages of the papers ({half or 'all'} questions) and texts:\n")
            print(retrieval.differences(chosen, texts) + "\n")
    if args.output:
        settings = {key: _named(getattr(args, key)) for key in SETTINGS if getattr(args, key)}
        retrieval.write(args.output, rows, settings, texts, paragraphs)
    return 0


def _named(value: object) -> str:
    """A setting in words; of a path its last part, as the rest is this machine's."""
    if isinstance(value, list):
        return " ".join(map(_named, value))
    return value.name if isinstance(value, Path) else str(value)


def _on_papers(args: argparse.Namespace) -> "list[retrieval.Row]":
    from app import load_reader
    from app.evaluate import questions, retrieval
    from app.retrieve.registry import asks_reader

    library = open_library(args)
    known = questions.read_questions(args.questions, [paper.file for paper in library.papers])
    known = questions.of_half(known, args.half)
    if not known:
        raise ValueError(f"{args.questions} has no answerable question about these papers")
    reader = load_reader(args.model) if any(map(asks_reader, args.retrievers)) else None
    rows = retrieval.evaluate(library, known, args.retrievers, ("main",), reader)
    for half in HALVES:
        if own := retrieval.of_half(rows, half):
            print(f"{half.capitalize()} half of the papers:\n")
            print(retrieval.table(retrieval.summary(own)) + "\n")
    if args.pictures:
        from app.evaluate.figures import draw_budgets, draw_scores

        own = retrieval.of_half(rows, args.half or "reporting") or rows  # one paper has one half
        draw_budgets(retrieval.summary(own), args.pictures / "evidence-by-budget.png")
        draw_scores(library, known, args.pictures / "scores.png")
    return rows


def _on_qasper(args: argparse.Namespace) -> "list[qasper.Row]":
    from app import load_embedder
    from app.evaluate import qasper
    from app.retrieve.texts import library_of_texts

    papers = qasper.read_papers(args.qasper / "qasper-papers.jsonl.zst")
    asked = qasper.read_questions(args.qasper / "qasper.jsonl.zst")
    library = library_of_texts(papers, args.index, load_embedder(args.embedder))
    rows = qasper.evaluate(library, asked, args.on_texts)
    print(qasper.table(qasper.summary(rows)) + "\n")
    return rows


def _on_collections(args: argparse.Namespace) -> "list[beir.Row]":
    from app import load_embedder
    from app.evaluate import beir
    from app.retrieve.texts import library_of_texts

    rows, embedder = [], load_embedder(args.embedder)
    for path in args.collections:
        collection = beir.read_collection(path.parent, path.name)
        library = library_of_texts({path.name: collection.texts}, args.index, embedder)
        own = beir.evaluate(library, collection, args.on_texts)
        print(beir.table(beir.summary(own)) + "\n")
        rows += own
    return rows


def run_refusal(args: argparse.Namespace) -> int:
    """Print how well each signal, and all together, tell what cannot be answered."""
    from app import load_reader
    from app.answer.signals import OF_QUESTION
    from app.evaluate import refusal
    from app.evaluate.questions import read_questions

    library, reader = open_library(args), load_reader(args.model)
    papers = [paper.file for paper in library.papers]
    asked = read_questions(args.questions, papers, unanswerable=True)
    made = refusal.cases(library, asked, reader, args.retriever)
    if args.output:
        args.output.write_text("".join(json.dumps(asdict(case)) + "\n" for case in made))
    ways = [*((name,) for name in OF_QUESTION), tuple(OF_QUESTION)]
    print(refusal.table(made, ways, reader.calibration.rule))
    return 0

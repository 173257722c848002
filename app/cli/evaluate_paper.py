"""`python -m app evaluate paper`: answers on one paper, as they came, for a person to judge."""

import argparse
from pathlib import Path

from app.cli.options import MODEL, add_library_options, open_library, positive

FOLDER = Path("data/evaluation")


def add_task(tasks: "argparse._SubParsersAction") -> None:
    """Add the task to what `evaluate` can do."""
    parser = tasks.add_parser("paper", help="answers on one paper, kept for a person to judge")
    parser.add_argument("--questions", type=Path, default=FOLDER / "xlstm-questions.jsonl")
    parser.add_argument("--verdicts", type=Path, default=FOLDER / "xlstm-verdicts.jsonl")
    parser.add_argument("--output", type=Path, default=FOLDER / "xlstm-answers.md")
    parser.add_argument("--retriever", default="rerank", help="default: rerank")
    parser.add_argument("--k", type=positive, default=3, help="passages to read (default: 3)")
    parser.add_argument("--mode", default="sentence", help="default: sentence")
    parser.add_argument("--model", default=MODEL, help=f"folder of the reader (default: {MODEL})")
    parser.add_argument("--limit", type=positive, help="the first so many (default: all)")
    add_library_options(parser)
    parser.set_defaults(papers=["arxiv:2405.04517v1"], run=run)


def run(args: argparse.Namespace) -> int:
    """Answer, add a blank verdict for each new answer, write the report, print its head."""
    from app import load_reader
    from app.evaluate import paper

    questions = paper.read_questions(args.questions)[: args.limit]
    verdicts = paper.read_verdicts(args.verdicts)
    library = open_library(args)
    reader = load_reader(args.model)
    retriever = library.retriever(args.retriever, k=args.k)
    answers = paper.answered(questions, retriever, reader, args.mode)
    verdicts = paper.with_blanks(verdicts, questions, answers)
    paper.write_verdicts(args.verdicts, verdicts)
    title = f"Questions on {', '.join(each.title for each in library.papers)}"
    text = paper.report(title, questions, answers, verdicts)
    args.output.write_text(text, encoding="utf-8")
    print("\n".join(text.split("\n")[:3]))
    return 0

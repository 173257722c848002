"""`python -m app evaluate`: figures on questions whose answers are known."""

import argparse

from app.cli import choosing, evaluate_paper, evaluate_reader, evaluate_retrieval


def add_parser(subparsers: "argparse._SubParsersAction") -> None:
    """Add the command and what it evaluates to the parser."""
    parser = subparsers.add_parser("evaluate", help="measure on questions with known answers")
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    evaluate_reader.add_task(tasks)
    evaluate_retrieval.add_tasks(tasks)
    choosing.add_task(tasks)
    evaluate_paper.add_task(tasks)

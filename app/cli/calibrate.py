"""`python -m app calibrate`: fit how a reader's signals are weighed, and when it declines."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli.evaluate_reader import asked
from app.cli.options import MODEL, add_library_options, positive

if TYPE_CHECKING:
    from app.evaluate.calibrate import Case

EVIDENCE = ("rank",)
RULE = ("similarity", "rank")


def add_parser(subparsers: "argparse._SubParsersAction") -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser("calibrate", help="fit a reader's calibration.json")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--questions", type=Path, help="folder of question sets")
    source.add_argument("--prepared", type=Path, help="folder that evaluate reader wrote")
    source.add_argument("--from", dest="cases", type=Path, help="a file that --output wrote")
    parser.add_argument("--fit", nargs="+", default=["paper_pairs"], help="sets to fit on")
    parser.add_argument(
        "--report",
        nargs="*",
        default=[],
        metavar="SET",
        help="sets to report on; of one that is fitted too, one half each",
    )
    parser.add_argument("--limit", type=positive, help="questions of each set (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="which questions (default: 0)")
    parser.add_argument("--signals", nargs="+", default=list(EVIDENCE), help="of a sentence")
    parser.add_argument("--rule", nargs="+", default=list(RULE), help="signals of a question")
    parser.add_argument("--shortlist", type=positive, default=24, help="default: 24")
    parser.add_argument("--wrongly", type=float, default=0.05, help="answerable ones to decline")
    parser.add_argument("--k", type=positive, default=3, help="passages to read (default: 3)")
    parser.add_argument("--model", default=MODEL, help=f"folder of the reader (default: {MODEL})")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument(
        "--together", type=positive, default=1, help="questions read at a time (default: 1)"
    )
    parser.add_argument("--output", type=Path, help="JSON lines with the signals of each question")
    parser.add_argument("--dry-run", action="store_true", help="print the tables, write no file")
    add_library_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Find the signals of the sets or read them, fit, print the tables, write calibration.json."""
    from app.answer.signals import COSTLY
    from app.evaluate import calibrate, calibrate_table

    known = calibrate.read_cases(args.cases) if args.cases else find(args)
    both = set(args.fit) & set(args.report)
    fitted = [
        case
        for case in known
        if case.set in args.fit and (case.set not in both or calibrate.first_half(case))
    ]
    reported = [
        case
        for case in known
        if case.set in args.report and (case.set not in both or not calibrate.first_half(case))
    ]
    made = calibrate.calibrated(
        fitted, args.signals, args.rule, args.shortlist, args.wrongly, described(args, fitted)
    )
    found = next(case.sentences for case in known if case.sentences)
    ways = {name: {name: 1.0} for name in found if name not in COSTLY}
    print(calibrate_table.evidence_table(reported, {**ways, "all": made.evidence}, args.shortlist))
    singles = {name: calibrate.fit_rule(fitted, [name], args.wrongly) for name in args.rule}
    print("\n" + calibrate_table.rule_table(reported, {**singles, "all": made.rule}))
    print(f"\n{made}\nweights: {made.evidence}\nrule: {made.rule}")
    if not args.dry_run:
        print(f"wrote {made.save(args.model)}")
    return 0


def find(args: argparse.Namespace) -> "list[Case]":
    """The signals of every question of the sets, added to --output as they come."""
    from app import load_reader
    from app.evaluate import calibrate

    reader, known = load_reader(args.model, device=args.device), []
    names = tuple(dict.fromkeys(("similarity", *args.signals)))  # what tables compare with, too
    for name in dict.fromkeys((*args.fit, *args.report)):
        questions = asked(args, name)
        made = calibrate.cases(questions, reader, names, args.rule, args.k, args.together)
        known += calibrate.kept(args.output, made) if args.output else made
        print(f"{name}: {len(questions)} questions", flush=True)
    return known


def described(args: argparse.Namespace, fitted: "list[Case]") -> dict[str, str]:
    """How a calibration came about: the command, without folders, and what it was fitted on."""
    from app.answer.calibration import weights_digest
    from app.rank.ranker import RANKER

    command = ["python -m app calibrate", "--fit", *args.fit]
    command += ["--report", *args.report] if args.report else []
    command += ["--limit", str(args.limit)] if args.limit else []
    command += ["--signals", *args.signals, "--rule", *args.rule]
    command += ["--shortlist", str(args.shortlist), "--wrongly", str(args.wrongly)]
    weights = weights_digest(args.model)
    told = {"command": " ".join(command), "cases": str(len(fitted)), "weights": weights}
    return told | ({"ranker": weights_digest(RANKER)} if "rank" in command else {})

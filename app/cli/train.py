"""`python -m app train`: the tokenizer, what to leave out, and the reader itself."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.cli import train_ranker
from app.cli.options import MODEL, positive

if TYPE_CHECKING:
    from app.model.config import XLSTMConfig
    from app.train.rows import RowMaker
    from app.train.schedule import TrainConfig


def add_parser(subparsers: "argparse._SubParsersAction") -> None:
    """Add the command and what it can do to the parser."""
    parser = subparsers.add_parser("train", help="train the reader, its tokenizer, or the ranker")
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    fresh = tasks.add_parser("pretrain", help="from nothing: text first, questions later")
    tune = tasks.add_parser("tune", help="from trained weights: questions from the start")
    for task in (fresh, tune):
        _add_data(task)
        _add_run(task)
    fresh.add_argument("--smallest", action="store_true", help="a model for a trial on a CPU")
    fresh.add_argument("--conv", type=int, default=4, help="width of the convolution (default: 4)")
    tune.add_argument("--init", type=Path, default=Path(MODEL), help=f"weights (default: {MODEL})")
    tokenizer = tasks.add_parser("tokenizer", help="learn a tokenizer from the corpus")
    _add_data(tokenizer)
    tokenizer.add_argument("--size", type=positive, default=24_576, help="ids (default: 24576)")
    tokenizer.add_argument("--megabytes", type=float, default=70.0, help="of text (default: 70)")
    leave = tasks.add_parser("leave-out", help="name what shares words with the evaluation")
    _add_data(leave)
    leave.add_argument("--evaluation", type=Path, required=True, help="folder of *.jsonl(.zst)")
    leave.add_argument("--papers", type=Path, nargs="*", default=[], help="PDFs to keep out")
    look = tasks.add_parser("look", help="count the rows of each kind and show one, before a run")
    _add_data(look, out=False)
    look.add_argument("--tokens", type=positive, default=2048, help="of a row (default: 2048)")
    look.add_argument("--seed", type=int, default=0)
    ship = tasks.add_parser("export", help="average models and write the reader in int8")
    ship.add_argument("--models", type=Path, nargs="+", required=True, help="folders of weights")
    ship.add_argument("--reader", type=Path, default=Path(MODEL), help="of tokenizer and form")
    ship.add_argument("--out", type=Path, required=True, help="must not exist yet")
    parser.set_defaults(run=run)
    train_ranker.add_tasks(tasks)


def _add_data(parser: argparse.ArgumentParser, *, out: bool = True) -> None:
    parser.add_argument("--data", type=Path, required=True, help="folder with corpus/ and qa/")
    if out:
        parser.add_argument("--out", type=Path, required=True, help="what is written")
    parser.add_argument(
        "--reader", type=Path, default=Path(MODEL), help="folder of tokenizer and prompt form"
    )
    parser.add_argument("--text", nargs="*", help="names of texts (default: all that are known)")
    parser.add_argument("--questions", nargs="*", help="names of question sets (likewise)")
    parser.add_argument("--own", nargs="*", help="names of sets of paper pairs (likewise)")
    parser.add_argument("--never-ships", action="store_true", help="admit sources that may not")
    parser.add_argument("--leave-out", type=Path, nargs="*", default=[], help="files of ids")


def _add_run(parser: argparse.ArgumentParser) -> None:
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=positive, default=0)
    length.add_argument("--seconds", type=float, default=0.0)
    for name, kind, value in (
        ("rows", positive, 128),
        ("first-rows", positive, 64),
        ("micro", positive, 16),
        ("tokens", positive, 2048),
        ("peak", float, None),
        ("warm", positive, None),
        ("cool", float, None),
        ("log-every", positive, 50),
        ("save-every", int, 500),
        ("measure-every", int, 500),
        ("workers", int, 0),
        ("seed", int, 0),
    ):
        shown = "by task" if value is None else value
        parser.add_argument(f"--{name}", type=kind, default=value, help=f"default: {shown}")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--kernels", default="auto", help="auto, native, triton or one by name")
    parser.add_argument("--compile", action="store_true", help="compile what is around the kernels")
    parser.add_argument("--held-out", action="store_true", help="measure on corpus/heldout")


def run(args: argparse.Namespace) -> int:
    """Do the task."""
    tasks = {"tokenizer": _tokenizer, "leave-out": _leave_out, "look": _look, "export": _export}
    tasks.get(args.task, _train)(args)
    return 0


def _data(args: argparse.Namespace) -> Any:
    from app.train.sources import DataConfig

    given: dict[str, Any] = {"ships": not args.never_ships}
    given |= {} if args.text is None else {"text": tuple(args.text)}
    given |= {} if args.own is None else {"own": tuple(args.own)}
    known = DataConfig().questions
    if args.questions is not None:
        given["questions"] = {name: known.get(name, 1.0) for name in args.questions}
    return DataConfig(**given)


def _maker(args: argparse.Namespace) -> "RowMaker":
    from app.train.rows import RowMaker
    from app.train.sources import left_out

    return RowMaker(
        _data(args),
        corpus=args.data / "corpus",
        questions=args.data / "qa",
        reader=args.reader,
        tokens=args.tokens + 1,
        leave_out=left_out(args.leave_out),
        seed=args.seed,
    )


def _schedule(args: argparse.Namespace) -> "TrainConfig":
    from app.train.schedule import TrainConfig

    # Trained weights are warmed again, to less than the rate that fresh ones stand.
    by_task = {"pretrain": (1.0, 100, 0.28), "tune": (0.8, 60, 0.35)}[args.task]
    given = [v if v is not None else d for v, d in zip((args.peak, args.warm, args.cool), by_task)]
    names = ("steps", "seconds", "rows", "micro", "log_every", "save_every", "measure_every")
    values = {name: getattr(args, name) for name in (*names, "seed")}
    first = min(args.first_rows, args.rows) if args.task == "pretrain" else args.rows
    peak, warm, cool = given
    return TrainConfig(**values, first_rows=first, peak=peak, warm=warm, cool=cool)


def _architecture(args: argparse.Namespace) -> "XLSTMConfig | None":
    from app.model.tokenizer import load_tokenizer
    from app.train.run import architecture

    if args.task == "tune":
        return None
    return architecture(load_tokenizer(args.reader), smallest=args.smallest, conv=args.conv)


def _train(args: argparse.Namespace) -> None:
    from app.train.phases import PRETRAIN, TUNE
    from app.train.run import RunOptions, train_reader

    options = RunOptions(args.device, args.kernels, args.compile, args.workers, args.held_out)
    folder = train_reader(
        _maker(args),
        PRETRAIN if args.task == "pretrain" else TUNE,
        _schedule(args),
        args.out,
        fresh=_architecture(args),
        start_from=args.init if args.task == "tune" else None,
        options=options,
        say=lambda line: print(line, flush=True),
    )
    print(f"{folder}: the trained reader")


def _tokenizer(args: argparse.Namespace) -> None:
    from app.answer.prompt import PromptSpec
    from app.train.read import documents
    from app.train.sources import find_file, left_out
    from app.train.tokenizer import sampled, train_tokenizer, write_tokenizer

    data, drop = _data(args), left_out(args.leave_out)
    share = args.megabytes / max(1, len(data.text))
    texts = (
        text
        for name in data.text
        for text in sampled(
            (d.text for d in documents(find_file(args.data / "corpus", name), drop)), share
        )
    )
    backend = train_tokenizer(texts, PromptSpec.load(args.reader), args.size)
    print(f"{write_tokenizer(backend, args.reader, args.out)}: {backend.get_vocab_size()} ids")


def _leave_out(args: argparse.Namespace) -> None:
    from app.train.overlap import evaluation_overlap, to_leave_out
    from app.train.sources import find_file

    data, found = _data(args), []
    overlap = evaluation_overlap(args.evaluation, args.papers)
    for name in data.names:
        folder = args.data / ("corpus" if name in data.text else "qa")
        shared = list(to_leave_out(find_file(folder, name), overlap))
        print(f"{name}: {len(shared)} to leave out", flush=True)
        found += [id for id, _ in shared]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("".join(f"{id}\n" for id in found), encoding="utf-8")


def _look(args: argparse.Namespace) -> None:
    from app.train.look import inspected
    from app.train.phases import PRETRAIN

    for line in inspected(_maker(args), PRETRAIN):
        print(line)


def _export(args: argparse.Namespace) -> None:
    from app.train.export import export

    print(f"{export(args.models, args.reader, args.out)}: the reader in int8")

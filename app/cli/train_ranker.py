"""`python -m app train ranker-data` and `ranker`: the cross-encoder's examples and adapters."""

import argparse
from pathlib import Path
from typing import Any

from app.cli.options import positive

WEIGHTS = "model.safetensors"


def add_tasks(tasks: "argparse._SubParsersAction") -> None:
    """Add the two tasks to what `train` can do."""
    data = tasks.add_parser("ranker-data", help="questions on passages as token ids, in one file")
    data.add_argument("--data", type=Path, required=True, help="folder with qa/")
    data.add_argument("--out", type=Path, required=True, help="the file, *.npz")
    data.add_argument("--questions", nargs="*", help="names of question sets (default: all known)")
    data.add_argument("--own", nargs="*", help="names of sets of paper pairs (likewise)")
    data.add_argument("--passes", type=positive, default=2, help="over paper pairs (default: 2)")
    data.add_argument("--leave-out", type=Path, nargs="*", default=[], help="files of ids")
    data.add_argument("--seed", type=int, default=0)
    data.set_defaults(run=run_data)

    ranker = tasks.add_parser("ranker", help="adapters of MiniLM that score sentences")
    ranker.add_argument("--prepared", type=Path, required=True, help="what ranker-data wrote")
    ranker.add_argument("--out", type=Path, required=True, help="folder for the adapters")
    length = ranker.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=positive, default=0)
    length.add_argument("--seconds", type=float, default=0.0)
    ranker.add_argument("--base", type=Path, help="MiniLM's weights (default: the package's)")
    ranker.add_argument("--rank", type=int, default=16, help="0 fine-tunes all (default: 16)")
    ranker.add_argument("--rates", type=float, nargs=3, metavar=("LOW", "DELTA", "HEAD"))
    ranker.add_argument(
        "--tokens", type=positive, default=49_152, help="of a step (default: 49152)"
    )
    ranker.add_argument("--seed", type=int, default=0)
    ranker.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    ranker.set_defaults(run=run_ranker)


def run_data(args: argparse.Namespace) -> int:
    """Make the examples of every source and write them as token ids."""
    from app.rank.minilm import minilm_folder
    from app.rank.ranker import tokenizer
    from app.train.ranker_data import prepared
    from app.train.ranker_examples import QUESTIONS, from_sources
    from app.train.sources import OWN_PAIRS, DataConfig, left_out

    names = QUESTIONS if args.questions is None else args.questions
    config = DataConfig(
        text=(),
        questions={name: QUESTIONS.get(name, 1.0) for name in names},
        own=OWN_PAIRS if args.own is None else tuple(args.own),
    )
    made = from_sources(
        config, args.data / "qa", left_out(args.leave_out), args.passes, args.seed, _say
    )
    data = prepared(made, tokenizer(minilm_folder()))
    data.save(args.out)
    print(f"{args.out}: {len(data)} examples, {data.held.sum()} of them only to measure")
    return 0


def run_ranker(args: argparse.Namespace) -> int:
    """Train, measure what was held out, write the adapters."""
    from app.rank import adapters
    from app.rank.minilm import minilm_folder
    from app.train.ranker import RankerConfig, measured, train
    from app.train.ranker_data import RankData

    base = adapters.base_weights(args.base or minilm_folder() / WEIGHTS)
    given: dict[str, Any] = {name: getattr(args, name) for name in ("steps", "seconds", "tokens")}
    given |= {} if args.rates is None else {"rates": tuple(args.rates)}
    config = RankerConfig(rank=args.rank or None, seed=args.seed, **given)
    data = RankData.load(args.prepared)
    trained = train(base, data, config, args.device, _say)
    path = adapters.save(trained, args.out)
    found = measured(base, adapters.load(args.out), data, args.device)
    print(", ".join(f"{name} {value:.3f}" for name, value in found.items()))
    print(f"{path}: {path.stat().st_size:,} bytes")
    return 0


def _say(line: str) -> None:
    print(line, flush=True)

"""`python -m app generate`: continue a text with any xLSTM checkpoint, and say how fast."""

import argparse
import functools
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli.options import MODEL, positive

if TYPE_CHECKING:
    from app.model.generate import Generation
    from app.model.tokenizer import Tokenizer
    from app.model.xlstm import XLSTM

GRAPHS = {"auto": None, "on": True, "off": False}


def add_parser(subparsers: "argparse._SubParsersAction") -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser("generate", help="continue a text with an xLSTM checkpoint")
    parser.add_argument("--model", default=MODEL, help=f"folder or hub name (default: {MODEL})")
    parser.add_argument("--tokenizer", help="folder of the tokenizer (default: the model's)")
    parser.add_argument("--prompt", required=True, help="the text; - reads it from standard input")
    parser.add_argument("--max-tokens", type=positive, default=128, help="default: 128")
    parser.add_argument("--temperature", type=float, default=0.0, help="default: 0, greedy")
    parser.add_argument("--top-k", type=int, default=0, help="default: 0, no limit")
    parser.add_argument("--top-p", type=float, default=1.0, help="default: 1, no limit")
    parser.add_argument("--repetition-penalty", type=float, default=1.0, help="default: 1, none")
    parser.add_argument("--seed", type=int, help="of the draw (default: a new one)")
    parser.add_argument(
        "--stop", action="append", default=[], help="ends the text; may be repeated"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    parser.add_argument("--dtype", default="auto", help="default: the faster, timed once")
    parser.add_argument(
        "--int8", action="store_true", default=None, help="hold the projections as int8 alone"
    )
    parser.add_argument("--kernels", default="auto", help="auto, native, triton or one by name")
    parser.add_argument(
        "--graphs",
        choices=GRAPHS,
        default="auto",
        help="CUDA graphs: auto for steps where they can be, on for prompts too (default: auto)",
    )
    parser.add_argument("--state", type=Path, metavar="FILE", help="go on from this state")
    parser.add_argument("--save-state", type=Path, metavar="FILE", help="keep the state at the end")
    parser.add_argument("--quiet", action="store_true", help="print the text alone")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Load, continue, report; Ctrl-C ends the text and the report still comes."""
    from app.model.describe import kernel_config, layer_config
    from app.model.generate import generate
    from app.model.sample import Sampling
    from app.model.state_file import check_target, load_state, save_state
    from app.model.stream import stream_text

    sampling = Sampling(
        args.temperature, args.top_k, args.top_p, args.repetition_penalty, args.seed
    )
    if args.save_state:
        check_target(args.save_state)
    text = sys.stdin.read() if args.prompt == "-" else args.prompt
    say = (lambda _: None) if args.quiet else functools.partial(print, flush=True)
    model, tokenizer = _load(args)
    say(layer_config(model))
    say(kernel_config(model))
    start = time.perf_counter()
    # A text that goes on from a state has its start token there.
    ids = tokenizer.encode(text, start=False if args.state else None)
    tokenized = time.perf_counter()
    logits, state = load_state(args.state, model) if args.state else (None, None)
    say(f"{len(ids)} tokens in\n")
    began = time.perf_counter()
    chosen = generate(
        model,
        ids,
        state=state,
        logits=logits,
        sampling=sampling,
        max_tokens=args.max_tokens,
        stop_ids=tokenizer.stop_ids,
    )
    first = time.perf_counter()
    code = _print_text(stream_text(tokenizer, chosen, args.stop))
    ended = time.perf_counter()
    if args.save_state:
        save_state(args.save_state, model, *chosen.carry())
    say(_report(len(ids), chosen, tokenized - start, first - began, ended - first))
    return code


def _load(args: argparse.Namespace) -> "tuple[XLSTM, Tokenizer]":
    from app.model.checkpoint import load_model
    from app.model.device import pick_device, pick_dtype
    from app.model.files import locate, read_config
    from app.model.tokenizer import load_tokenizer

    folder = locate(args.model)
    config, _ = read_config(folder)
    tokenizer = load_tokenizer(args.tokenizer or folder, vocab_size=config.vocab_size)
    device = pick_device(args.device)
    dtype = pick_dtype(device, args.dtype)
    start = time.perf_counter()
    options = {"int8": args.int8, "kernels": args.kernels, "graphs": GRAPHS[args.graphs]}
    model = load_model(folder, device=device, dtype=dtype, **options)
    if not args.quiet:
        weights = "int8 weights, " if model.int8 else ""
        print(
            f"{args.model}: {model.weight_count:,} weights, "
            f"{weights}{str(dtype).removeprefix('torch.')} on {device}, "
            f"loaded in {time.perf_counter() - start:.1f} s"
        )
    return model, tokenizer


def _print_text(pieces: "object") -> int:
    """Print pieces as they come; 130 where Ctrl-C ended them, else 0."""
    code = 0
    try:
        for piece in pieces:
            print(piece, end="", flush=True)
    except KeyboardInterrupt:
        code = 130
    print("\n" if code == 0 else "\n(stopped)\n")
    return code


def _report(
    read: int, chosen: "Generation", tokenized: float, prefill: float, seconds: float
) -> str:
    made = len(chosen.tokens)
    speed = made / max(seconds, 1e-9)
    return "\n".join(
        (
            f"tokenization  {tokenized:.3f} s",
            f"prompt        {prefill:.3f} s, {read / prefill:.1f} tokens/s",
            f"generation    {seconds:.3f} s, {made} tokens, {speed:.1f} tokens/s",
        )
    )

"""The command line: `python -m app COMMAND`, one file per command.

It holds no logic of its own: whatever a command does, a line of Python does too.
"""

import argparse
import sys
from importlib import import_module
from typing import NoReturn

COMMANDS = ("ask", "compare", "index", "generate", "bench", "evaluate", "calibrate", "train")


class Parser(argparse.ArgumentParser):
    """An argument parser whose usage errors are one line and exit status 1."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the arguments and where help is."""
        self.exit(1, f"{self.prog}: {message} (see {self.prog} --help)\n")


def build_parser() -> Parser:
    """The parser with every command; nothing heavy is imported for it."""
    parser = Parser(prog="python -m app", description="Ask your papers, on your own machine.")
    parser.add_argument("--traceback", action="store_true", help="show where an error came from")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        import_module(f"app.cli.{name}").add_parser(subparsers)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 for an answer (a refusal is one), 1 for an error, 130 when interrupted.
    """
    args = build_parser().parse_args(argv)
    try:
        return args.run(args)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader of a pipe left: not an error of ours
        return 0
    except Exception as error:
        if args.traceback:
            raise
        print(f"python -m app: {one_line(error)}", file=sys.stderr)
        return 1


def one_line(error: BaseException) -> str:
    """The message of an error on one line; its type too where the message alone says little."""
    text = " ".join(str(error).split())
    plain = isinstance(error, (ValueError, OSError)) or type(error).__module__.startswith("app.")
    return text if text and plain else f"{type(error).__name__}: {text}".rstrip(": ")


def warn(message: object) -> None:
    """One line on standard error."""
    print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)

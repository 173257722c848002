"""Options that several commands share, and how they become papers, an index and a reader."""

import argparse
from typing import TYPE_CHECKING

from app.answer.prompt import READER as MODEL
from app.cli import warn

if TYPE_CHECKING:
    from app.retrieve.library import Library

PAPERS = "data/papers"
INDEX = "data/index"


def add_library_options(parser: argparse.ArgumentParser) -> None:
    """Where the papers are and where their index is kept."""
    parser.add_argument(
        "--papers",
        nargs="+",
        default=[PAPERS],
        metavar="FILE|FOLDER|arxiv:ID",
        help=f"PDF files, folders of them, or arXiv ids with a version (default: {PAPERS})",
    )
    parser.add_argument("--index", default=INDEX, help=f"folder of the index (default: {INDEX})")
    parser.add_argument("--embedder", help="a sentence-transformers model by path or name")


def open_library(args: argparse.Namespace) -> "Library":
    """Index what is not indexed yet; each unreadable paper is one warning."""
    from app import ChunkSettings, Library, find_papers, load_embedder

    words = getattr(args, "words", None)
    library = Library.open(
        find_papers(*args.papers),
        index=args.index,
        embedder=load_embedder(args.embedder),
        settings=ChunkSettings(words, 13 * words // 10) if words else None,
    )
    for message in (*library.messages, *library.failures):
        warn(message)
    return library


def add_answer_options(parser: argparse.ArgumentParser) -> None:
    """Which model answers, how, and from how many passages."""
    parser.add_argument("--model", default=MODEL, help=f"folder of the reader (default: {MODEL})")
    parser.add_argument(
        "--mode",
        default="sentence",
        choices=("quote", "sentence", "bullets", "short"),
        help="the evidence itself, or an answer from it (default: sentence)",
    )
    parser.add_argument("--k", type=positive, default=3, help="passages to read (default: 3)")


def positive(text: str) -> int:
    """A whole number from 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1")
    return value

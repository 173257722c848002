"""Reading training files: JSON lines, compressed or not, as documents and questions.

What is named in `leave_out` never comes out of here; nothing is made or changed.
"""

import gzip
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

_WINDOW = 2**31  # the corpora are compressed with a window of 128 MiB, above the default limit


@dataclass(frozen=True, slots=True)
class Document:
    """A text, paragraphs separated by line breaks; `id` is `NAME:LINE`, counted from 0."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Pair:
    """A question with passages (title, text).

    `gold` is the index of the passage that answers, None where there is none or it is not known;
    `needed` are all that are needed. `answers` are alternatives, the first the canonical one;
    `items` those of a list. `document` is what the passages come from.
    """

    id: str
    question: str
    passages: tuple[tuple[str, str], ...]
    answers: tuple[str, ...]
    answerable: bool
    gold: int | None
    needed: tuple[int, ...]
    long_answer: str
    style: str
    items: tuple[str, ...]
    document: str

    @property
    def gold_text(self) -> str | None:
        """Text of the passage that answers."""
        return None if self.gold is None else self.passages[self.gold][1]


def open_lines(path: Path) -> TextIO:
    """A text file of lines, decompressed where its name ends in .zst or .gz."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    if path.suffix != ".zst":
        return path.open(encoding="utf-8")
    import zstandard  # only the training data are compressed so

    stream = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(
        path.open("rb"), closefd=True
    )
    return io.TextIOWrapper(stream, encoding="utf-8")


def source_name(path: Path) -> str:
    """A file's name without its suffixes."""
    return path.name.split(".")[0]


def documents(
    path: Path, leave_out: frozenset[str] = frozenset(), *, part: int = 0, parts: int = 1
) -> Iterator[Document]:
    """Documents of a file; with `parts`, every parts-th line from line `part` (from 0) on."""
    name = source_name(path)
    with open_lines(path) as lines:
        for number, line in enumerate(lines):
            id = f"{name}:{number}"
            if number % parts == part and id not in leave_out:
                raw = json.loads(line)
                yield Document(id, (raw.get("title") or "").strip(), raw["text"])


def pairs(path: Path, leave_out: frozenset[str] = frozenset()) -> Iterator[Pair]:
    """Questions of a file that have a passage."""
    with open_lines(path) as lines:
        for line in lines:
            raw = json.loads(line)
            if raw.get("passages") and raw.get("question") and raw["id"] not in leave_out:
                yield _pair(raw)


def _pair(raw: dict[str, Any]) -> Pair:
    passages = tuple(((p.get("title") or "").strip(), p["text"]) for p in raw["passages"])
    gold = raw.get("gold")
    gold = gold if isinstance(gold, int) and gold < len(passages) else None
    needed = raw.get("gold_all") or ([] if gold is None else [gold])
    return Pair(
        id=raw["id"],
        question=raw["question"].strip(),
        passages=passages,
        answers=tuple(a.strip() for a in raw.get("answers") or [] if a.strip()),
        answerable=raw.get("answerable", True),
        gold=gold,
        needed=tuple(i for i in needed if i < len(passages)),
        long_answer=(raw.get("long_answer") or "").strip(),
        style=raw.get("style") or "",
        items=tuple(x[0] if isinstance(x, list) else x for x in raw.get("list_answers") or []),
        document=str(raw.get("doc") or passages[0][0] or passages[0][1]),
    )

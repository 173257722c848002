"""The reader's prompt: which tokens it wants where, as the model's own prompt.json says.

It never runs a model, and never lets a question or a paper bring in a special token.
"""

import json
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from app.papers.records import Passage

READER = "data/models/reader"  # the default model, from the folder of the project
FORMAT = 1
CHOICES = ("evidence", "refusal")  # tokens whose logits, at its end, say what a sentence is
_LITERAL = re.compile(r"<\|[^|<>]{0,40}\|>")
_EVIDENCE_ROOM = 160  # tokens kept free for the evidence sentence that is read after the prompt


class PromptTokenizer(Protocol):
    """What this file needs of a tokenizer."""

    def encode(self, text: str, *, start: bool | None = None) -> list[int]:
        """Ids of the text; with `start=False` nothing is put before it."""

    def encode_with_ends(self, text: str) -> tuple[list[int], list[int]]:
        """Ids of the text alone, and for each the number of characters up to its end."""

    def id_of(self, token: str) -> int:
        """Id of a special token; an error where there is none of that name."""


@dataclass(frozen=True, slots=True)
class PromptSpec:
    """How a reader was trained to be asked; the fields are those of its prompt.json.

    `continues`, which may be missing there, says that it was trained to read a next question after
    an answer.
    """

    tokens: Mapping[str, str]
    styles: Mapping[str, str]
    template: tuple[str, ...]
    passage_template: tuple[str, ...]
    title_separator: str
    title_characters: int
    banned: tuple[str, ...]
    stop_below_id: int
    context_tokens: int
    most_passages: int
    answer_tokens: int
    modes: tuple[str, ...]
    default_mode: str
    evidence_length_offset: float
    continues: bool = False

    @classmethod
    def load(cls, folder: str | Path) -> "PromptSpec":
        """Read `folder/prompt.json`.

        Raises:
            ValueError: The file is missing, is no JSON, or lacks a field; the message names it.
        """
        path = Path(folder) / "prompt.json"
        if not path.parent.is_dir():
            raise ValueError(
                f"there is no model folder {folder}; name one, or run from the project's folder"
            )
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ValueError(
                f"{folder} has no prompt.json, so it is not known how to ask this model questions; "
                "`generate` works with any model, `ask` needs one trained to answer"
            ) from None
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} is not JSON: {error}") from None
        return cls.from_dict(raw, str(path))

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], where: str = "prompt") -> "PromptSpec":
        """Check the fields of a prompt.json that was read already.

        Raises:
            ValueError: Another format, a missing field, or a role without a token.
        """
        if raw.get("format") != FORMAT:
            raise ValueError(f"{where}: format {raw.get('format')!r}; this version reads {FORMAT}")
        names = list(cls.__dataclass_fields__)
        missing = [name for name in names if name not in raw and name != "continues"]
        if missing:
            raise ValueError(f"{where} lacks {', '.join(missing)}")
        values = {name: raw[name] for name in names if name in raw}
        spec = cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
        roles = {part for part in (*spec.template, *spec.passage_template) if "{" not in part}
        unknown = sorted((roles | {"evidence", "refusal"}) - set(spec.tokens))
        if unknown:
            raise ValueError(f"{where}: no token is given for {', '.join(unknown)}")
        return spec

    def mode(self, name: str | None) -> str:
        """The mode asked for, or the reader's default.

        Raises:
            ValueError: The reader has no such mode; the message lists those it has.
        """
        if name is not None and name not in self.modes:
            raise ValueError(f"mode {name!r} is not known; this reader has {', '.join(self.modes)}")
        return name or self.default_mode


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt up to and with the evidence token.

    `ids` are its tokens; `sentences` holds, for each passage that is in it (the first ones of
    those given), the indices of its sentences that are in it, and `ends` the places in `ids` of
    their last tokens; `left_out` says what is not in it.
    """

    ids: tuple[int, ...]
    sentences: tuple[tuple[int, ...], ...]
    ends: tuple[tuple[int, ...], ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Block:
    """A passage in the prompt: its tokens, and the places in them where its sentences end."""

    ids: list[int]
    ends: list[int]


def stripped(text: str) -> str:
    """Text without anything that has the form of a special token; a blank takes its place."""
    return _LITERAL.sub(" ", text)


def build_prompt(
    spec: PromptSpec, tokenizer: PromptTokenizer, question: str, passages: Sequence[Passage]
) -> Prompt:
    """Put question and passages into the reader's form, as many as it can take.

    Passages are taken in order; the first that does not fit is cut at the end of a sentence, and
    those after it are left out.

    Raises:
        ValueError: An empty question, or one that fills more than a quarter of the context.
    """
    asked = tokenizer.encode(stripped(question).strip(), start=False)
    if not asked:
        raise ValueError("the question is empty")
    longest = spec.context_tokens // 4
    if len(asked) > longest:
        raise ValueError(f"the question has {len(asked)} tokens; this reader takes {longest}")
    at = spec.template.index("{passages}")
    ids = _frame(spec, tokenizer, asked, spec.template[:at])
    after = _frame(spec, tokenizer, asked, (*spec.template[at + 1 :], "evidence"))
    room = spec.context_tokens - len(after) - spec.answer_tokens - _EVIDENCE_ROOM
    kept, ends, left_out = [], [], []
    for passage in passages[: spec.most_passages]:
        block, sentences = _fitted(spec, tokenizer, passage, room - len(ids))
        if block.ids:
            kept.append(sentences)
            ends.append(tuple(len(ids) + end for end in block.ends))
            ids += block.ids
        if len(sentences) < len(passage.sentences):
            left_out.append(_cut_note(passage, len(sentences)))
            break
    unread = len(passages) - len(kept)
    if unread > 0:
        left_out.append(
            f"{unread} of {len(passages)} passages were not given to the reader: it takes "
            f"{spec.most_passages} passages and {spec.context_tokens:,} tokens"
        )
    return Prompt((*ids, *after), tuple(kept), tuple(ends), tuple(left_out))


def _frame(
    spec: PromptSpec, tokenizer: PromptTokenizer, asked: list[int], parts: Sequence[str]
) -> list[int]:
    """Tokens of the parts of a template that surround the passages."""
    ids: list[int] = []
    for part in parts:
        ids += asked if part == "{question}" else [tokenizer.id_of(spec.tokens[part])]
    return ids


def _fitted(
    spec: PromptSpec, tokenizer: PromptTokenizer, passage: Passage, budget: int
) -> tuple[_Block, tuple[int, ...]]:
    """As many whole sentences of a passage as fit, and their indices; maybe none."""
    texts = [sentence.text for sentence in passage.sentences]
    block = _block(spec, tokenizer, passage.chunk.title, passage.text, texts)
    if len(block.ids) <= budget:
        return block, tuple(range(len(texts)))
    for count in range(len(texts) - 1, 0, -1):
        text = " ".join(texts[:count])
        block = _block(spec, tokenizer, passage.chunk.title, text, texts[:count])
        if len(block.ids) <= budget:
            return block, tuple(range(count))
    return _Block([], []), ()


def _block(
    spec: PromptSpec,
    tokenizer: PromptTokenizer,
    title: str,
    text: str,
    sentences: Sequence[str],
) -> _Block:
    """A passage by the template. A token that a sentence shares with the next is its last."""
    title = stripped(title).strip()[: spec.title_characters]
    block, words, marks = _Block([], []), "", []

    def written() -> None:
        ids, ends = tokenizer.encode_with_ends(words) if words else ([], [])
        block.ends.extend(len(block.ids) + bisect_left(ends, mark) for mark in marks)
        block.ids.extend(ids)

    for part in spec.passage_template:
        if part == "{title}":
            words += title + spec.title_separator if title else ""
        elif part == "{text}":
            marks = [len(words + stripped(text[:end])) for end in _ends(text, sentences)]
            words += stripped(text)
        else:
            written()
            block.ids.append(tokenizer.id_of(spec.tokens[part]))
            words, marks = "", []
    written()
    return block


def _ends(text: str, sentences: Sequence[str]) -> list[int]:
    """Where in a text its sentences end, which stand in it one after the other."""
    ends = [0]
    for sentence in sentences:
        ends.append(text.index(sentence, ends[-1]) + len(sentence))
    return ends[1:]


def _cut_note(passage: Passage, count: int) -> str:
    total = len(passage.sentences)
    return f"passage {passage.rank} was cut after {count} of {total} sentences to fit the reader"

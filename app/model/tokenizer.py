"""Text to token ids and back: the tokenizer.json of a model folder and its ids of start and end.

No prompt is built here.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import tokenizers

from app.model.config import XLSTMConfig
from app.model.errors import ModelError
from app.model.files import locate, read_config

_END_NAMES = ("<|endoftext|>", "<|end|>", "</s>", "<eos>")


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer with the rules of its checkpoint.

    Args:
        backend: the Rust tokenizer.
        start: id put before a text, or None.
        stop_ids: ids that end a text.
    """

    backend: tokenizers.Tokenizer
    start: int | None
    stop_ids: frozenset[int]

    def encode(self, text: str, *, start: bool | None = None) -> list[int]:
        """Ids of `text`, special tokens in it included.

        Args:
            text: any text; half a surrogate pair, which no encoding can hold, is read as "?".
            start: put the start id first unless it is there already; None does so where the
                checkpoint asks for it, False never.

        Raises:
            ModelError: a start was asked for and the checkpoint has none.
        """
        text = text.encode("utf-8", "replace").decode()
        ids = self.backend.encode(text, add_special_tokens=False).ids
        if start and self.start is None:
            raise ModelError("this checkpoint has no start token (bos_token_id)")
        if start is False or self.start is None or ids[:1] == [self.start]:
            return ids
        return [self.start, *ids]

    def encode_with_ends(self, text: str) -> tuple[list[int], list[int]]:
        """Ids of `text` alone, no start before it, and where each ends: characters of `text`."""
        found = self.backend.encode(
            text.encode("utf-8", "replace").decode(), add_special_tokens=False
        )
        return found.ids, [end for _, end in found.offsets]

    def decode(self, ids: Iterable[int], *, skip_special: bool = True) -> str:
        """Text of ids; bytes that are no whole character show as U+FFFD."""
        return self.backend.decode(list(ids), skip_special_tokens=skip_special)

    def id_of(self, token: str) -> int:
        """Id of a token by its own text, such as `<|bos|>`.

        Raises:
            ModelError: no such token.
        """
        found = self.backend.token_to_id(token)
        if found is None:
            raise ModelError(f"the tokenizer has no token {token!r}")
        return found

    @property
    def vocab_size(self) -> int:
        """One more than the highest id."""
        return max(self.backend.get_vocab(with_added_tokens=True).values()) + 1


def load_tokenizer(path: str | Path, *, vocab_size: int | None = None) -> Tokenizer:
    """Read tokenizer.json of a model folder (or hub name) and its ids of start and end.

    Start: `bos_token_id`, unless the config's `force_bos_token_insert` is false. End: what the
    tokenizer says ends a text; the config's `eos_token_id` counts only if that id is a special
    token, because the published 7B config names an ordinary one ("!").

    Args:
        path: the folder.
        vocab_size: of the model that will read the ids; None takes the folder's own config.

    Raises:
        ModelError: no or damaged tokenizer.json, or ids beyond the model's vocabulary.
    """
    folder = locate(path)
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise ModelError(f"{folder}: no tokenizer.json in this folder; name one that has it")
    try:
        backend = tokenizers.Tokenizer.from_file(str(file))
    except Exception as error:  # the Rust side raises bare Exception
        raise ModelError(f"{file}: not a tokenizer ({error})") from error
    config, _ = read_config(folder)
    special = {i for i, token in backend.get_added_tokens_decoder().items() if token.special}
    wanted = config.force_bos_token_insert is not False
    start = config.bos_token_id if wanted and config.bos_token_id is not None else None
    tokenizer = Tokenizer(backend, start, frozenset(_stops(folder, backend, config, special)))
    rows = config.vocab_size if vocab_size is None else vocab_size
    if tokenizer.vocab_size > rows or (start is not None and start >= rows):
        raise ModelError(
            f"{file}: ids up to {max(tokenizer.vocab_size - 1, start or 0)}, but the model's "
            f"vocabulary has {rows}; tokenizer and weights belong to different models"
        )
    return tokenizer


def _stops(
    folder: Path, backend: tokenizers.Tokenizer, config: XLSTMConfig, special: set[int]
) -> set[int]:
    found = {backend.token_to_id(name) for name in _named_ends(folder)} - {None}
    if found:
        return found
    if config.eos_token_id in special:
        return {config.eos_token_id}
    return {backend.token_to_id(name) for name in _END_NAMES} & special


def _named_ends(folder: Path) -> list[str]:
    """The end token by name, where tokenizer_config.json gives it."""
    file = folder / "tokenizer_config.json"
    if not file.is_file():
        return []
    try:
        token = json.loads(file.read_text(encoding="utf-8")).get("eos_token")
    except (ValueError, AttributeError) as error:
        raise ModelError(f"{file}: cannot be read ({error})") from error
    token = token.get("content") if isinstance(token, dict) else token
    return [token] if token else []

"""Training the reader's tokenizer: byte-level BPE with the special tokens of the prompt form first.

What is read back is `app.model.tokenizer`'s; nothing is tokenized here.
"""

import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers

from app.answer.prompt import PromptSpec, stripped

# Digits one by one: a number is read and copied digit after digit.
_SPLIT = r"'(?:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def special_tokens(spec: PromptSpec) -> list[str]:
    """Every special token of a prompt form, the end token first, each once."""
    named = [spec.tokens["end"], *spec.tokens.values(), *spec.styles.values()]
    return list(dict.fromkeys(named))


def train_tokenizer(
    texts: Iterable[str], spec: PromptSpec, size: int, *, least: int = 2
) -> tokenizers.Tokenizer:
    """A tokenizer of at most `size` ids from texts.

    Special tokens come first, then the 256 bytes, then what is learnt: any text comes back whole.

    Args:
        texts: what it learns from; what looks like a special token is taken out.
        spec: the prompt form, whose special tokens it gets.
        size: ids in all.
        least: how often a pair must occur to become a token.

    Raises:
        ValueError: the size has no room for special tokens and bytes, or for 16 bits an id.
    """
    special = special_tokens(spec)
    if not len(special) + 256 <= size <= 2**16:
        raise ValueError(f"{size} ids: from {len(special) + 256} to {2**16} are possible")
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=least,
        special_tokens=[AddedToken(token, special=True) for token in special],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(map(stripped, texts), trainer)
    return backend


def write_tokenizer(backend: tokenizers.Tokenizer, form: Path, folder: Path) -> Path:
    """A folder that `RowMaker` reads: tokenizer.json, prompt.json, and a config.json of its ids.

    Args:
        backend: as trained.
        form: folder with the prompt.json to go with it.
        folder: is made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    shutil.copyfile(form / "prompt.json", folder / "prompt.json")
    spec = PromptSpec.load(form)
    ids = {role: backend.token_to_id(spec.tokens[role]) for role in ("start", "end")}
    # Of the architecture only what the tokenizer decides; training writes the whole of it.
    config = {
        "vocab_size": backend.get_vocab_size(),
        "embedding_dim": 1,
        "num_blocks": 1,
        "num_heads": 1,
        "qk_dim_factor": 1.0,
        "bos_token_id": ids["start"],
        "eos_token_id": ids["end"],
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    return folder


def sampled(texts: Iterable[str], megabytes: float) -> Iterator[str]:
    """The first texts of so many million characters."""
    left = megabytes * 1e6
    for text in texts:
        if left <= 0:
            return
        left -= len(text)
        yield text

"""A tokenizer of single bytes: every letter beyond ASCII is spread over several tokens."""

import json
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers

SPECIAL = ("<|end|>", "<|bos|>", "<|short|>")


def write_tokenizer(folder: Path, *, special=SPECIAL, bos=1, eos=0, vocab=300, **config) -> Path:
    """tokenizer.json and a config.json of that vocabulary in `folder`; specials come first."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: n for n, token in enumerate([*special, *alphabet])}
    backend = tokenizers.Tokenizer(models.BPE(vocabulary, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(token, special=True) for token in special])
    folder.mkdir(exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    values = {"embedding_dim": 24, "num_blocks": 2, "num_heads": 3, "vocab_size": vocab}
    values |= {"bos_token_id": bos, "eos_token_id": eos, **config}
    (folder / "config.json").write_text(json.dumps(values))
    return folder

"""Start and end of a text as the checkpoint means them, and text that never shows half a letter."""

import json
import random

import pytest
import tokenizers
from tests.model.bytes_tokenizer import SPECIAL, write_tokenizer
from tokenizers import decoders, models

from app.model.errors import ModelError
from app.model.stream import TextStream, stream_text
from app.model.tokenizer import Tokenizer, load_tokenizer

TEXTS = ["", "plain", "näher — ½ … 漢字 🦉🦉", "tab\tand\nline", "a<|short|>b"]


@pytest.fixture
def tokenizer(tmp_path):
    return load_tokenizer(write_tokenizer(tmp_path))


@pytest.mark.parametrize("text", TEXTS)
def test_decode_undoes_encode(tokenizer, text):
    ids = tokenizer.encode(text, start=False)
    assert tokenizer.decode(ids, skip_special=False) == text
    assert tokenizer.decode(ids) == text.replace("<|short|>", "")


def test_the_start_is_put_first_once(tokenizer):
    plain = tokenizer.encode("hi", start=False)
    assert tokenizer.encode("hi") == tokenizer.encode("hi", start=True) == [1, *plain]
    assert tokenizer.encode("<|bos|>hi") == [1, *plain]


def test_a_config_that_says_no_start_gets_none(tmp_path):
    tokenizer = load_tokenizer(write_tokenizer(tmp_path, force_bos_token_insert=False))
    assert tokenizer.encode("hi") == tokenizer.encode("hi", start=False)
    with pytest.raises(ModelError, match="no start token"):
        tokenizer.encode("hi", start=True)


def test_the_end_is_a_special_token_and_not_an_ordinary_one(tmp_path):
    # The published 7B names id 2 as its end, which is "!" there; its tokenizer ends with id 0.
    folder = write_tokenizer(tmp_path, special=("<|endoftext|>", "<|padding|>"), bos=0, eos=2)
    assert load_tokenizer(folder).stop_ids == {0}


def test_the_end_by_config_and_by_name(tmp_path):
    folder = write_tokenizer(tmp_path)
    assert load_tokenizer(folder).stop_ids == {0}
    for token in ("<|short|>", {"content": "<|short|>", "lstrip": False}):
        (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": token}))
        assert load_tokenizer(folder).stop_ids == {2}


def test_vocabularies_that_do_not_fit_are_refused(tmp_path):
    highest = len(SPECIAL) + 256 - 1
    folder = write_tokenizer(tmp_path, vocab=200)
    with pytest.raises(ModelError, match=f"ids up to {highest}, but .* has 200"):
        load_tokenizer(folder)
    assert load_tokenizer(folder, vocab_size=highest + 1).vocab_size == highest + 1


def test_absent_and_damaged_tokenizers_are_named(tmp_path):
    with pytest.raises(ModelError, match=r"no tokenizer\.json"):
        load_tokenizer(tmp_path)
    (write_tokenizer(tmp_path) / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match=r"tokenizer\.json: not a tokenizer"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_join_to_the_text_and_never_split_a_letter(tokenizer, text):
    stream, pieces = TextStream(tokenizer), []
    for token in tokenizer.encode(text, start=False):
        pieces.append(stream.push(token))
    pieces.append(stream.flush())
    assert "".join(pieces) == text.replace("<|short|>", "")
    assert all("\ufffd" not in piece for piece in pieces)


def test_bytes_that_are_no_letter_show_and_do_not_block(tokenizer):
    owl = tokenizer.encode("🦉", start=False)
    stream = TextStream(tokenizer)
    shown = "".join(stream.push(t) for t in [*owl[:2], *tokenizer.encode("abc", start=False)])
    shown += stream.flush()
    assert shown.endswith("abc") and "\ufffd" in shown
    cut = TextStream(tokenizer)
    assert cut.push(owl[0]) == "" and cut.flush() == "\ufffd"


@pytest.mark.parametrize(
    ("text", "stop", "shown"),
    [
        ("one. two. three", ["."], "one"),
        ("one## two", ["##"], "one"),
        ("one# two", ["##"], "one# two"),
        ("ends with #", ["##"], "ends with #"),
        ("ababac", ["abac"], "ab"),
        ("first second", ["second", "first"], ""),
        ("nothing", ["", "absent"], "nothing"),
        ("näher 🦉 end", ["🦉"], "näher "),
    ],
)
def test_text_ends_before_the_first_stop_string(tokenizer, text, stop, shown):
    taken = []
    tokens = (taken.append(t) or t for t in tokenizer.encode(text, start=False))
    pieces = list(stream_text(tokenizer, tokens, stop))
    assert "".join(pieces) == shown and "" not in pieces
    if shown != text:
        assert tokenizer.decode(taken).endswith(tuple(s for s in stop if s))  # no token after it


def joined(tokenizer, ids):
    """All that a stream tells of ids, and its longest wait in tokens."""
    stream, told, wait, longest = TextStream(tokenizer), "", 0, 0
    for token in ids:
        piece = stream.push(token)
        wait = 0 if piece else wait + 1
        told, longest = told + piece, max(longest, wait)
    return told + stream.flush(), longest


def test_any_bytes_stream_to_what_they_decode_to(tokenizer):
    """Stray and cut bytes before, within and after letters; a letter is never lost to them."""
    draw = random.Random(0)
    letters = [tokenizer.encode(letter, start=False) for letter in "aé漢🦉"]
    owl = letters[-1]
    cases = [[owl[1]] * n + owl + [owl[0]] * m for n in range(9) for m in range(5)]
    for _ in range(3000):
        parts = []
        for _ in range(draw.randrange(1, 8)):
            letter = draw.choice(letters)
            cut = letter[draw.randrange(4) : draw.randrange(1, 5)]
            parts += draw.choice([letter, cut, [draw.randrange(3, 259)], [0]])
        cases.append(parts)
    for ids in cases:
        told, longest = joined(tokenizer, ids)
        assert told == tokenizer.decode(ids), ids
    told, longest = joined(tokenizer, [owl[1]] * 50)
    assert told == "\ufffd" * 50 and longest <= 3  # shown as it comes, not at the end


def test_letters_of_fallback_bytes_are_never_split():
    """Tokenizers that fall back to bytes show one U+FFFD for each byte of an unfinished letter."""
    vocabulary = {f"<0x{n:02X}>": n for n in range(256)}
    backend = tokenizers.Tokenizer(models.BPE(vocabulary, [], byte_fallback=True))
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    tokenizer = Tokenizer(backend, None, frozenset())
    for text in ("näher", "漢字", "🦉🦉 é"):
        stream = TextStream(tokenizer)
        pieces = [stream.push(byte) for byte in text.encode()]
        assert "".join(pieces) == text and all("\ufffd" not in piece for piece in pieces)


@pytest.mark.parametrize("half", ["\ud800", "\udcff", "a\ud83db", "\udd89\ud83e"])
def test_half_a_surrogate_pair_is_read_as_a_question_mark(tokenizer, half):
    shown = "".join("?" if "\ud800" <= letter <= "\udfff" else letter for letter in half)
    assert tokenizer.encode(f"x{half}é") == tokenizer.encode(f"x{shown}é")

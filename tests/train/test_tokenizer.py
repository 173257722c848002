"""A trained tokenizer: special tokens first, any text comes back, texts cannot bring in tokens."""

import pytest
from tests.answer.fakes import spec, write_prompt
from tests.train.toy import toy_document

from app.model.tokenizer import load_tokenizer
from app.train.tokenizer import sampled, special_tokens, train_tokenizer, write_tokenizer

TEXTS = [toy_document(seed).text for seed in range(4)] + ["<|end|> " * 50]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    form, folder = tmp_path_factory.mktemp("form"), tmp_path_factory.mktemp("out")
    write_prompt(form)
    return load_tokenizer(write_tokenizer(train_tokenizer(TEXTS, spec(), 600), form, folder))


def test_special_tokens_come_first(tokenizer):
    special = special_tokens(spec())
    assert special[0] == "<|end|>" and len(special) == len(set(special)) == 9
    assert [tokenizer.id_of(token) for token in special] == list(range(9))
    assert tokenizer.start == tokenizer.id_of("<|bos|>") and tokenizer.stop_ids == {0}


@pytest.mark.parametrize("text", ["Grüße, 東京!\n\tx", TEXTS[0], "a  b   c", "ﬁnal 1,204.5 %"])
def test_any_text_comes_back(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text, start=False)) == text


def test_it_learns_words_and_reads_numbers_digit_by_digit(tokenizer):
    assert len(tokenizer.encode(" of the network", start=False)) <= 6
    assert len(tokenizer.encode("20456", start=False)) == 5
    assert len(tokenizer.encode(TEXTS[0], start=False)) < 0.6 * len(TEXTS[0])


def test_sizes_that_cannot_be(tokenizer):
    assert tokenizer.vocab_size <= 600
    for size in (264, 70_000):
        with pytest.raises(ValueError, match="are possible"):
            train_tokenizer(TEXTS, spec(), size)


def test_sampled_stops_after_so_many_characters():
    assert list(sampled(["abc", "de", "f"], 4e-6)) == ["abc", "de"]

"""The reader on a tiny model with random weights, against plain forward passes over whole texts."""

from dataclasses import replace

import pytest
import torch
from fakes import SPECIAL, CharTokenizer, passage, spec

from app.answer.reader import Reader, each_line_once, load_reader
from app.model.config import XLSTMConfig
from app.model.xlstm import XLSTM

EVIDENCE = SPECIAL.index("<|quote|>")


@pytest.fixture(scope="module")
def reader():
    torch.manual_seed(0)
    config = XLSTMConfig.from_dict(
        {"vocab_size": 300, "embedding_dim": 32, "num_heads": 2, "num_blocks": 2}
    )
    model = XLSTM(config)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return Reader("tiny", model.eval(), CharTokenizer(), spec(answer_tokens=12))


def log_probabilities(reader, ids):
    with torch.inference_mode():
        return torch.log_softmax(reader.model(torch.tensor([ids]))[0][0].double(), -1)


def test_likelihoods_are_those_of_the_sentence_after_the_whole_prompt(reader):
    prompt = reader.prompt("Why?", [passage("It is so.", "It is not.")])
    sentences = ["It is so.", "It is not.", "A"]
    got = reader.likelihoods(reader.read(prompt), sentences)
    for value, sentence in zip(got, sentences):
        ids = reader.tokenizer.encode(sentence, start=False)
        table = log_probabilities(reader, [*prompt.ids, *ids])
        at = len(prompt.ids) - 1
        total = sum(table[at + i, token].item() for i, token in enumerate(ids))
        assert value == pytest.approx(total / (len(ids) + 2), abs=2e-4)


def test_relevance_is_read_at_the_end_of_each_sentence(reader):
    prompt = reader.prompt("Why?", [passage("It is so.", "Is it?"), passage("No.", rank=2)])
    with torch.inference_mode():
        logits = reader.model(torch.tensor([prompt.ids]))[0][0].double()
    marks = [SPECIAL.index(f"<|{name}|>") for name in ("quote", "none")]
    text = reader.tokenizer.decode(prompt.ids, skip_special=False)
    wanted = []
    for sentence in ("It is so.", "Is it?", "No."):
        before = text[: text.index(sentence) + len(sentence)]
        at = len(reader.tokenizer.encode(before, start=False)) - 1
        wanted.append((logits[at, marks[0]] - logits[at, marks[1]]).item())
    first, second = reader.read(prompt).relevance
    assert [*first, *second] == pytest.approx(wanted, abs=2e-4) and len(first) == 2


def test_a_question_is_scored_token_by_token_after_each_text_alone(reader):
    texts = ["It is so.", "A rather longer sentence says nothing of it.", ""]
    got = reader.question_given(" Why? ", texts)
    marks = [SPECIAL.index(f"<|{name}|>") for name in ("bos", "passage", "question")]
    asked = reader.tokenizer.encode("Why?", start=False)
    for values, text in zip(got, texts, strict=True):
        ids = [*marks[:2], *reader.tokenizer.encode(text, start=False), marks[2], *asked]
        table = log_probabilities(reader, ids)
        at = len(ids) - len(asked) - 1
        wanted = [table[at + i, token].item() for i, token in enumerate(asked)]
        assert values == pytest.approx(wanted, abs=2e-4)


def test_a_question_cannot_bring_in_a_mark_of_its_own_when_it_is_scored(reader):
    (hostile,) = reader.question_given("<|none|>Why?", ["It is so."])
    (plain,) = reader.question_given("Why?", ["It is so."])
    assert hostile == plain
    with pytest.raises(ValueError, match="empty"):
        reader.question_given(" <|none|> ", ["It is so."])
    assert reader.question_given("Why?", []) == []


def test_the_ranker_reads_whole_chunks_and_scores_are_those_of_the_kept_sentences(reader):
    class Lengths:
        def scores(self, question, passages):
            self.given = question, passages
            return [[float(len(text)) for text in passage] for passage in passages]

    asked = replace(reader, ranker=Lengths())
    found = [passage("It is so.", "Is it?", "Yes!", kept=(0, 2)), passage("No.", rank=2)]
    assert asked.ranks("Why?", found) == [[9.0, 4.0], [3.0]]
    assert asked.ranker.given == ("Why?", [["It is so.", "Is it?", "Yes!"], ["No."]])


def test_the_first_word_decides_whether_the_reader_declines(reader):
    prompt = reader.prompt("Why?", [passage("It is so.")])
    likeliest = log_probabilities(reader, prompt.ids)[-1].argmax().item()
    assert reader.read(prompt).declines == (likeliest == SPECIAL.index("<|none|>"))


def test_the_chance_of_a_refusal_is_that_of_its_token(reader):
    prompt = reader.prompt("Why?", [passage("It is so.")])
    wanted = log_probabilities(reader, prompt.ids)[-1][SPECIAL.index("<|none|>")].item()
    assert reader.log_refusal(reader.read(prompt)) == pytest.approx(wanted, abs=2e-4)


def greedy(reader, prompt, style, bonus):
    """A phrase after "It is so.", from whole forward passes."""
    evidence = reader.tokenizer.encode("It is so.", start=False)
    ids, expected = [*prompt.ids, *evidence, SPECIAL.index(f"<|{style}|>")], []
    for _ in range(12):
        row = log_probabilities(reader, ids)[-1].clone()
        row[SPECIAL.index("<|none|>")] = -torch.inf
        before = expected[-2:]
        goes_on = {
            after
            for at, after in enumerate(evidence)
            if before and at >= len(before) and evidence[at - len(before) : at] == before
        }
        for token in goes_on:
            row[token] += bonus
        token = row.argmax().item()
        if token < 10:
            break
        expected.append(token)
        ids.append(token)
    return "".join(each_line_once([reader.tokenizer.decode(expected)]))


def test_an_answer_is_greedy_after_evidence_and_style(reader):
    prompt = reader.prompt("Why?", [passage("It is so.")])
    short = greedy(reader, prompt, "short", 0.0)
    assert "".join(reader.phrase(reader.read(prompt), "It is so.", "short")) == short != ""


def test_a_style_with_a_bonus_leans_to_what_follows_in_the_evidence(reader, monkeypatch):
    prompt = reader.prompt("Why?", [passage("It is so.")])
    monkeypatch.setattr("app.answer.reader.COPY_BONUS", {"short": 4.0})
    leaning = greedy(reader, prompt, "short", 4.0)
    assert "".join(reader.phrase(reader.read(prompt), "It is so.", "short")) == leaning
    assert leaning != greedy(reader, prompt, "short", 0.0)


@pytest.mark.parametrize("style", ["short", "bullets"])
def test_what_is_held_to_the_evidence_are_whole_words_of_it_in_a_row(reader, style):
    evidence = "It is so. (Not in 1990, 2.5 times!)"
    prompt = reader.prompt("Why?", [passage(evidence)])
    got = "".join(reader.phrase(reader.read(prompt), evidence, style, held=True))
    assert f" {got}" in f" {evidence}".replace("(", " ") and got
    after = evidence[evidence.index(got) + len(got) :][:1]
    assert not after.isalnum() or len(got) == 12, "12 characters are the most"


def test_a_phrase_is_scored_with_its_end_after_evidence_and_style(reader):
    prompt = reader.prompt("Why?", [passage("It is so.")])
    marks = [SPECIAL.index(f"<|{name}|>") for name in ("sentence", "end")]
    texts = ["So it is.", "So."]
    got = reader.phrase_likelihoods(reader.read(prompt), "It is so.", "sentence", texts)
    for value, text in zip(got, texts, strict=True):
        before = [*prompt.ids, *reader.tokenizer.encode("It is so.", start=False), marks[0]]
        ids = [*reader.tokenizer.encode(text, start=False), marks[1]]
        table = log_probabilities(reader, [*before, *ids])
        total = sum(table[len(before) - 1 + i, token].item() for i, token in enumerate(ids))
        assert value == pytest.approx(total / (len(ids) + 5), abs=2e-4)


def test_reading_twice_gives_the_same(reader):
    prompt = reader.prompt("Why?", [passage("It is so.")])
    reading = reader.read(prompt)
    first = reader.likelihoods(reading, ["It is so."])
    list(reader.phrase(reading, "It is so.", "bullets"))
    assert reader.likelihoods(reading, ["It is so."]) == first


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["one\n", "two\n", "one\n", "three"], "one\ntwo\nthree"),
        (["o", "ne", "\n", "o", "nly\n"], "one\nonly\n"),
        (["a\na\na"], "a\n"),
        (["", "a", ""], "a"),
        (["a\n\n\nb"], "a\nb"),
        (["one\non"], "one\non"),
    ],
)
def test_a_repeated_line_is_dropped(pieces, text):
    assert "".join(each_line_once(pieces)) == text


def test_a_line_is_shown_as_it_grows_unless_it_may_be_a_repeat():
    assert list(each_line_once(["ab", "c\n", "ab", "d"])) == ["ab", "c\n", "abd"]


def test_a_model_without_a_prompt_file_is_refused_before_its_weights_are_read(tmp_path):
    with pytest.raises(ValueError, match="no prompt.json"):
        load_reader(tmp_path)


def test_a_question_read_from_a_carried_state_is_as_if_all_had_been_read_at_once(reader):
    first = reader.prompt("Why?", [passage("It is so.")])
    second = reader.prompt("And how?", [passage("It is not.")])
    text = reader.tokenizer.encode
    for style, written in (("", ""), ("short", "So.")):
        state = reader.carry(reader.read(first), "It is so.", style, written)
        ids = [*first.ids, *text("It is so.", start=False)]
        if style:
            ids += [SPECIAL.index("<|short|>"), *text(written, start=False)]
        ids += [SPECIAL.index("<|end|>"), *second.ids]
        got = torch.log_softmax(reader.read(second, state).logits[0].double(), -1)
        assert got.tolist() == pytest.approx(log_probabilities(reader, ids)[-1].tolist(), abs=2e-4)

"""The prompt form and its codes, against ids written down by hand; rows, against counting."""

import random
from collections import Counter

import numpy as np
import pytest
from tests.answer.fakes import SPECIAL, CharTokenizer, spec

from app.answer.prompt import build_prompt
from app.train.encode import (
    EVIDENT,
    SENTENCE,
    Code,
    Encoded,
    Encoder,
    sentence_ends,
    token_kinds,
    whole_passage,
)
from app.train.makers.records import Ask, Example, refusal
from app.train.pack import pack_examples, pack_texts

ENCODER = Encoder(spec(), CharTokenizer(), most_tokens=200)
PASSAGES = (("T", "Ab. Cd."), ("", "Ef."))
G, P, A, E, C = Code.GIVEN, Code.PROMPT, Code.ANSWER, Code.EVIDENCE, Code.CHOICE


def readable(ids):
    return CharTokenizer().decode(ids, skip_special=False)


def encode(*asks, made=False, encoder=ENCODER):
    return encoder.encode(Example(PASSAGES, asks, made))


def kinds_of(found):
    return tuple(token_kinds(np.array(found.codes)).tolist())


OPENING = "<|bos|><|question|>Q?<|passage|>T. Ab. Cd.<|passage|>Ef.<|question|>Q?"
OPENING_TOKENS = 2 + 2 + 1 + 10 + 1 + 3 + 1 + 2


def test_evidence_comes_before_the_answer():
    found = encode(Ask("Q?", "k", "Cd.", "short", "C"))
    assert readable(found.ids) == OPENING + "<|quote|>Cd.<|short|>C<|end|>"
    assert kinds_of(found) == (*[P] * OPENING_TOKENS, G, C, E, E, E, A, A)
    assert found.kinds == ("k",)


def test_the_other_forms():
    assert readable(encode(Ask("Q?", "k", "Cd.")).ids) == OPENING + "<|quote|>Cd.<|end|>"
    assert encode(Ask("Q?", "k", "Cd.")).codes[OPENING_TOKENS:] == (G, C, E, E, E)
    at_once = encode(Ask("Q?", "k", style="bullets", answer="- x"))
    assert readable(at_once.ids) == OPENING + "<|bullets|>- x<|end|>"
    assert at_once.codes[OPENING_TOKENS:] == (G, A, A, A, A)
    none = encode(refusal("Q?", "k"))
    assert readable(none.ids) == OPENING + "<|quote|><|none|><|end|>"
    assert none.codes[OPENING_TOKENS:] == (G, C, E)


def test_further_questions_follow_on_the_same_passages():
    found = encode(Ask("Q?", "a", "Cd."), refusal("R?", "b"), made=True)
    more = "<|question|>R?<|quote|><|none|><|end|>"
    assert readable(found.ids) == OPENING + "<|quote|>Cd.<|end|>" + more
    assert found.codes[-6:] == (*[Code.MADE_PROMPT] * 3, G, C, E) and found.kinds == ("a", "b")


ROOMY = Encoder(spec(), CharTokenizer(), most_tokens=600)
LONG = ("One has a red hat. One has a blue hat. Cd.", "Two of them have none at all.")


def ended(first, *passages):
    """The sentences whose last tokens are marked, with the marks."""
    found = ROOMY.encode(Example(tuple(("", p) for p in passages), (first,), made=False))
    text, marks = readable(found.ids), sentence_ends(np.array(found.codes))
    assert text.startswith("<|bos|><|question|>Q?<|passage|>")
    return [(readable(found.ids[i - 1 : i + 1]), int(marks[i])) for i in np.flatnonzero(marks)]


def test_the_sentences_that_the_first_question_chooses_among_are_marked_at_their_ends():
    assert (SENTENCE, EVIDENT) == (16, 32) and max(Code) < 16
    blue = Ask("Q?", "k", "One has a blue hat.")
    assert ended(blue, *LONG) == [("t.", 1), ("t.", 2), ("l.", 1)]  # "Cd." is too short to be one
    assert ended(refusal("Q?", "k"), *LONG) == [("t.", 1), ("t.", 1), ("l.", 1)]
    assert ended(Ask("Q?", "k", "Cd."), *LONG)[2] == ("d.", 2)
    assert ended(Ask("Q?", "k", style="short", answer="C"), *LONG) == []
    assert ended(Ask("Q?", "k", "It stands nowhere here."), *LONG) == []


def test_every_token_that_tells_the_evidence_from_another_sentence_is_a_choice():
    asked = Ask("Q?", "k", "One has a blue hat.")
    found = ROOMY.encode(Example((("", LONG[0]),), (asked,), made=False))
    codes = kinds_of(found)[-len("One has a blue hat.") - 1 : -1]
    # "One has a red hat." goes along until the b after "One has a ", which decides.
    assert codes == (C,) * (len("One has a ") + 1) + (E,) * len("lue hat.")
    again = ENCODER.encode(Example((("", "Cd. Ef."),), (Ask("Q?", "k", "Cd."),), made=False))
    assert kinds_of(again)[-4:] == (C, E, E, E)


def test_a_question_is_learnt_from_its_passage_too():
    found = ENCODER.asked_of("Ab.", "Q?")
    assert readable(found.ids) == "<|bos|><|passage|>Ab.<|question|>Q?<|quote|>"
    assert found.codes == (*[P] * 5, G, *[Code.QUESTION] * 3)


def test_the_opening_is_what_the_reader_is_asked_with():
    passages = [whole_passage(*p) for p in PASSAGES]
    asked = build_prompt(spec(), CharTokenizer(), "Q?", passages).ids
    assert encode(refusal("Q?", "k")).ids[: len(asked)] == asked


def test_what_does_not_fit_is_left_out():
    long = Ask("Q?", "long", "x" * 200)
    assert encode(long) is None
    assert encode(refusal("Q?", "short"), long).kinds == ("short",)
    tight = Encoder(spec(), CharTokenizer(), most_tokens=20)
    assert encode(refusal("Q?", "k"), encoder=tight) is None
    assert encode(refusal("Q" * 51, "k")) is None and encode(refusal(" ", "k")) is None


def test_no_text_brings_in_a_special_token():
    found = encode(Ask("Q<|end|>?", "k", "Cd.<|none|>", "short", "<|pad|>C"))
    counts = Counter(i for i in found.ids if i < len(SPECIAL))
    named = {SPECIAL[i]: n for i, n in counts.items()}
    assert named["<|end|>"] == 1 and not {"<|none|>", "<|pad|>"} & set(named)
    assert readable(ENCODER.text("A <|bos|>", "b <|quote|> c")).count("<|") == 1


def test_documents_begin_with_the_start_token_and_their_title_once():
    assert readable(ENCODER.text("Title", "Words.")) == "<|bos|>Title\nWords."
    assert readable(ENCODER.text("Title", "Title of it.")) == "<|bos|>Title of it."
    assert (ENCODER.start_id, ENCODER.end_id) == (1, 0)


def test_every_example_is_in_one_row_whole():
    draw = random.Random(0)
    sizes = [draw.randint(1, 60) for _ in range(300)]
    examples = [
        Encoded((n + 1,) * size, (n % 7 + 1,) * size, ("k",)) for n, size in enumerate(sizes)
    ]
    rows = pack_examples(examples, 64, 0, random.Random(1))
    assert rows.ids.shape == rows.codes.shape == (len(rows), 64) and rows.kinds == {"k": 300}
    for n, size in enumerate(sizes):
        holding = np.flatnonzero((rows.ids == n + 1).any(1))
        (row,) = holding
        places = np.flatnonzero(rows.ids[row] == n + 1)
        assert len(places) == size == places[-1] - places[0] + 1
        assert set(rows.codes[row, places]) == {n % 7 + 1}
    assert (rows.codes[rows.ids == 0] == Code.GIVEN).all()
    assert (rows.ids != 0).mean() > 0.93
    with pytest.raises(ValueError, match="70 tokens"):
        pack_examples([Encoded((1,) * 70, (1,) * 70, ())], 64, 0, draw)
    assert len(pack_examples([], 64, 0, draw)) == 0


def test_texts_run_on_from_row_to_row():
    rows = pack_texts([[1, 5, 6], [1, 7, 8, 9], [1]], 3)
    assert rows.ids.tolist() == [[1, 5, 6], [1, 7, 8]] and rows.kinds == {"documents": 3}
    assert (rows.codes == Code.TEXT).all() and rows.ids.dtype == np.uint16
    assert len(pack_texts([], 3)) == 0

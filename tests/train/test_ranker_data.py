"""The ranker's examples: which sentences are right, which may be, and how they are stored."""

import random
from dataclasses import replace

import numpy as np
import pytest

from app.train.makers.records import Ask, refusal
from app.train.ranker_batch import batches, held_batches
from app.train.ranker_data import Ragged, RankData, prepared, windows_of
from app.train.ranker_examples import Choice, choices, held_out, labelled
from app.train.read import Pair

GATES = "The forget gate is open. The width of the model is 768 in all. It has 768 rows."
LAKES = "A valley has seven lakes. Nobody swims there in May."
WIDE = "How wide is the model?"
EVIDENCE = "The width of the model is 768 in all."


def words(texts):
    """A word is a token, its length the id."""
    return [[len(word) for word in text.split()] for text in texts]


def test_the_evidence_is_right_and_what_holds_the_short_answer_is_open():
    ask = Ask(WIDE, "pair", EVIDENCE, "short", "768")
    found = labelled(ask, [LAKES, GATES])
    assert (found.question, found.right, found.open) == (WIDE, ((1, 1),), ((1, 2),))
    assert found.passages[1] == ("The forget gate is open.", EVIDENCE, "It has 768 rows.")
    assert labelled(replace(ask, style="sentence", answer="768 wide."), [GATES]).open == ()


def test_a_refusal_has_no_right_sentence_and_unknown_evidence_is_left_out():
    assert labelled(refusal(WIDE, "other"), [LAKES]).right == ()
    assert labelled(Ask(WIDE, "pair", style="short", answer="768"), [GATES]) is None
    assert labelled(Ask(WIDE, "pair", "No such sentence."), [GATES]) is None


def test_every_point_of_a_list_has_its_sentence():
    asked = "What is said of the valley and of swimming?"
    points = "- the valley has seven lakes\n- nobody swims there in May"
    ask = Ask(asked, "pair", "A valley has seven lakes.", "bullets", points)
    assert labelled(ask, [GATES, LAKES]).right == ((1, 0), (1, 1))


def pair(number, text, answer, document="d"):
    long = next(s for s in text.split(". ") if answer in s).rstrip(".") + "."
    passages = (("T", text),)
    return Pair(
        f"{document}{number}", f"What of {answer}?", passages, (answer,), True, 0, (0,), long,
        "", (), document,
    )  # fmt: skip


def test_choices_of_a_set_are_right_where_the_answer_stands():
    known = [pair(1, GATES, "768"), pair(2, LAKES, "seven"), pair(3, LAKES, "May")]
    made = [
        c for seed in range(20) for c in choices("squad", known, random.Random(seed), own=False)
    ]
    answered = [choice for choice in made if choice.right]
    assert len(answered) > 20 and len(answered) < len(made)
    for choice in answered:
        span = choice.question.rstrip("?").split()[-1].lower()
        for i, j in choice.right:
            assert span in choice.passages[i][j].lower()
    for choice in made:
        span = choice.question.rstrip("?").split()[-1].lower()
        if not choice.right and span in ("768", "seven"):
            assert not any(span in text.lower() for held in choice.passages for text in held)


def test_a_paper_is_held_out_whole():
    some = [pair(n, LAKES, "May", f"paper {n % 200}") for n in range(400)]
    held = {p.document for p in some if held_out(p)}
    assert 1 <= len(held) <= 15
    assert all(held_out(p) == (p.document in held) for p in some)


def made():
    texts = [tuple(f"{s}." for s in text.rstrip(".").split(". ")) for text in (GATES, LAKES)]
    one = Choice(WIDE, (texts[1], texts[0]), ((1, 1),), ((1, 2),))
    two = Choice("How many lakes?", (texts[0],), ())
    return prepared([(one, False), (two, True)], words)


def test_what_is_stored_is_read_again(tmp_path):
    data = made()
    data.save(tmp_path / "a" / "r.npz")
    read = RankData.load(tmp_path / "a" / "r.npz")
    assert len(read) == 2 and read.held.tolist() == [False, True]
    for name in RankData.__dataclass_fields__:
        one, two = getattr(data, name), getattr(read, name)
        if isinstance(one, Ragged):
            assert [row.tolist() for row in one] == [row.tolist() for row in two]
        else:
            assert np.array_equal(one, two)


def test_windows_of_an_example():
    data = made()
    first, second = windows_of(data, 0)
    assert first.question.tolist() == [3, 4, 2, 3, 6] and first.places == [0, 1]
    assert [s.tolist() for s in first.sentences] == [[1, 6, 3, 5, 6], [6, 5, 5, 2, 4]]
    # places of the second passage begin at 256
    assert second.places == [256, 257, 258] and second.length == 2 + 5 + 6 + 10 + 5
    assert data.right[0].tolist() == [257] and data.open[0].tolist() == [258]


def test_a_batch_knows_where_each_score_belongs():
    (batch,) = held_batches(made(), 1_000, 10)
    assert batch.right.tolist() == [[False, False, False]]
    batch = next(batches(made(), 1_000, 0))
    assert batch.right.tolist() == [[False, False, False, True, False]]
    scored = {int(t) for part in batch.parts for t in part.target}
    assert scored == {0, 1, 2, 3}  # 4 is open: it is neither right nor wrong
    for part in batch.parts:
        for source, target in zip(part.source, part.target):
            row, sentence = divmod(int(source), part.most)
            count = int((part.owner[row] == sentence + 1).sum())
            assert count == {0: 6, 1: 6, 2: 6, 3: 10}[int(target)]


def test_nothing_to_train_on_is_said():
    data = replace(made(), held=np.array([True, True]))
    with pytest.raises(ValueError, match="every example is held out"):
        next(batches(data, 10, 0))

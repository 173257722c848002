"""Questions with passages become examples; refusals are put only where nothing answers."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from app.train.makers import changes
from app.train.makers import pairs as maker
from app.train.read import Pair

GOLD = "The reader was trained for two hours. It read 512 tokens a row. Nothing else was done."
NEAR = "The width of the model is 768. Its blocks number twelve in all."
FAR = "A valley in the north has seven lakes. Nobody swims there in May."
PAIR = Pair(
    id="1",
    question="How long was the reader of 2024 trained?",
    passages=(("A paper", GOLD),),
    answers=("two hours", "2 h"),
    answerable=True,
    gold=0,
    needed=(0,),
    long_answer="It was trained for two hours.",
    style="",
    items=(),
    document="d1",
)
UNKNOWN = replace(PAIR, id="2", question="Who trained it?", answers=(), long_answer="", gold=None)
UNKNOWN = replace(UNKNOWN, answerable=False)
OTHER = replace(
    PAIR,
    id="3",
    question="How wide is the model?",
    passages=(("A paper", NEAR),),
    answers=("768",),
    long_answer="",
)
LAKES = replace(PAIR, id="4", question="How many lakes?", passages=(("Valleys", FAR),))
LAKES = replace(LAKES, answers=("seven",), long_answer="", document="d2")
SET = [PAIR, UNKNOWN, OTHER, LAKES]
EVIDENCE = {
    PAIR.id: "The reader was trained for two hours.",
    OTHER.id: "The width of the model is 768.",
    LAKES.id: "A valley in the north has seven lakes.",
}
SEEDS = range(60)


def test_the_carrying_sentence_holds_the_answer():
    found = maker.carrying_sentence([FAR, GOLD], PAIR.question, PAIR.long_answer, "two hours")
    assert found == EVIDENCE["1"]
    assert maker.carrying_sentence([FAR], PAIR.question, "two hours", "two hours") is None
    assert maker.carrying_sentence([NEAR], "blocks?", "The blocks are twelve") == NEAR[31:]


def test_questions_as_typed():
    seen = {maker.as_typed("What is the width of a gate?", random.Random(s), 0.3) for s in SEEDS}
    assert {"What is the width of a gate?", "what is the width of a gate"} < seen
    assert maker.as_typed("What is it?", random.Random(0), 0.0) == "What is it?"
    short = {
        maker.as_typed("What is the mean width of gates?", random.Random(s), 0.5) for s in SEEDS
    }
    assert "mean width gates" in short


@pytest.mark.parametrize("pair", [PAIR, OTHER, LAKES])
def test_an_answer_follows_its_evidence(pair):
    styles = set()
    for seed in SEEDS:
        ask = maker.ask_of(pair, [pair.gold_text], random.Random(seed), typed=0.1, long=0.5)
        assert ask.evidence in (None, EVIDENCE[pair.id]) and not ask.refuses
        assert (ask.style, ask.answer) in {
            ("short", pair.answers[0]),
            ("sentence", pair.long_answer),
            (None, None),
        }
        styles.add(ask.style)
    assert styles == ({"short", "sentence", None} if pair.long_answer else {"short", None})


def test_lists_become_bullets_and_the_unanswerable_refusals():
    listed = replace(PAIR, items=("two hours", "one night"), long_answer="")
    asks = [maker.ask_of(listed, [GOLD], random.Random(s), typed=0, long=0) for s in SEEDS]
    assert {"- two hours\n- one night", "two hours"} <= {ask.answer for ask in asks}
    ask = maker.ask_of(UNKNOWN, [GOLD], random.Random(0), typed=0, long=0)
    assert ask.refuses and ask.question == "Who trained it?"


def test_taken_away_refuses_only_where_no_answer_is_left():
    draw = random.Random(0)
    assert maker.taken_away(PAIR, [NEAR, FAR], draw, 0).refuses
    assert maker.taken_away(PAIR, [NEAR, "After TWO HOURS we left."], draw, 0) is None
    assert maker.taken_away(PAIR, [GOLD.replace("two hours", "long"), "2 h"], draw, 0) is None
    assert maker.taken_away(UNKNOWN, [FAR], draw, 0) is None
    unspanned = replace(PAIR, answers=())
    assert maker.taken_away(unspanned, [GOLD], draw, 0) is None


def test_another_number_stands_in_no_passage():
    for seed in SEEDS:
        shown = [GOLD, "In 2026 and 2029 it rained."]
        asked = changes.other_number(PAIR.question, shown, random.Random(seed))
        if asked is not None:
            assert "2024" not in asked and not {"2026", "2029"} & set(asked.split())
    assert changes.other_number(OTHER.question, [NEAR], random.Random(0)) is None


def test_another_name_is_one_that_is_shown_and_of_which_the_same_is_not_said():
    question = "Which metal did Anna Rook find in the lake?"
    shown = ["In May Anna Rook found a rare metal in the lake.", "The man from Oslo was late."]
    asked = {changes.other_name(question, shown, random.Random(seed)) for seed in SEEDS}
    assert asked - {None} == {"Which metal did Oslo find in the lake?"}
    said = [shown[0], "The man from Oslo did find metal in the lake."]
    assert changes.other_name(question, said, random.Random(0)) is None
    assert changes.other_name("Which metal did they find?", shown, random.Random(0)) is None


def test_an_opposite_is_not_said_either():
    question, shown = "What is the largest lake?", ["The largest lake is the Vell, of 3 km."]
    assert changes.opposite(question, shown, random.Random(0)) == "What is the smallest lake?"
    said = [*shown, "Its smallest lake is Orr."]
    assert changes.opposite(question, said, random.Random(0)) is None
    assert changes.opposite("Where is the Vell?", shown, random.Random(0)) is None
    assert all(changes.OPPOSITES[b] for b in changes.OPPOSITES.values())


def test_a_changed_question_is_refused_and_one_without_an_answer_is_not_changed():
    ask = changes.changed(PAIR, [GOLD], random.Random(0))
    assert ask.refuses and ask.question != PAIR.question and ask.kind.startswith("pair, o")
    assert changes.changed(UNKNOWN, [GOLD], random.Random(0)) is None


def test_examples_show_the_passage_that_answers_and_refuse_the_rest():
    kinds = Counter()
    for seed in range(300):
        for example in maker.question_examples(SET, random.Random(seed), repeats=1.5):
            texts = [text for _, text in example.passages]
            assert len(set(texts)) == len(texts) <= 4 and example.asks and not example.made
            for ask in example.asks:
                kinds[ask.kind] += 1
                if ask.evidence is not None:
                    assert any(ask.evidence in text for text in texts)
                if ask.refuses and ask.kind == "pair, taken away":
                    words = {"trained": PAIR, "model": OTHER, "lakes": LAKES}
                    source = next(p for w, p in words.items() if w in ask.question)
                    assert source.gold_text not in texts
    wanted = {"pair", "pair, none", "pair, at once", "pair, evidence alone", "pair, taken away"}
    assert wanted | {"pair, other number"} <= set(kinds)


def test_parts_share_the_passages_and_bound_sets_are_put_to_no_other():
    whole = [
        e for p in (0, 1) for e in maker.question_examples(SET, random.Random(0), part=p, parts=2)
    ]
    assert len(whole) == len(maker.grouped(SET)) == 3
    for seed in range(100):
        for example in maker.question_examples(SET, random.Random(seed), bound=True):
            assert all(ask.kind != "pair, taken away" for ask in example.asks)


def test_several_passages_of_a_pair_keep_those_that_are_needed():
    pair = replace(PAIR, passages=(("a", FAR), ("b", GOLD), ("c", NEAR)), gold=1, needed=(1, 2))
    seen = set()
    for seed in SEEDS:
        (example,) = maker.question_examples([pair], random.Random(seed))
        texts = {text for _, text in example.passages}
        assert {GOLD, NEAR} <= texts
        seen.add(len(texts))
    assert seen == {2, 3}


def test_papers_bring_their_own_distractors_and_the_count_tells_nothing():
    passages = (("T", GOLD), ("T", NEAR), ("T", "A third passage. It says little."))
    own = [
        replace(PAIR, passages=passages),
        replace(UNKNOWN, passages=passages[:1], document="d1"),
        replace(OTHER, passages=(passages[1], passages[0])),
        LAKES,
    ]
    counts, kinds = {True: Counter(), False: Counter()}, Counter()
    for seed in range(1500):
        for example in maker.paper_examples(own, random.Random(seed)):
            for ask in example.asks:
                kinds[ask.kind] += 1
                alone = len(example.asks) == 1 and "lakes" not in ask.question  # a paper of one
                if ask.kind in ("pair", "pair, none") and alone:
                    counts[ask.refuses][len(example.passages)] += 1
                if ask.kind == "pair, taken away" and "lakes" not in ask.question:
                    assert EVIDENCE["1" if "trained" in ask.question else "3"] not in {
                        text for _, text in example.passages
                    }
    assert {"pair", "pair, none", "pair, taken away"} <= set(kinds)
    shares = [counts[refuses][3] / counts[refuses].total() for refuses in (True, False)]
    assert abs(shares[0] - shares[1]) < 0.12, counts

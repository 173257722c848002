"""Each maker of asks from sentences, on sentences whose right answer can be seen."""

import random

import pytest

from app.train.makers import copying, patterns, spans
from app.train.makers.language import content_words, sentences
from app.train.makers.records import Ask

CATS = "The grey cats of Altmünster sleep beside the warm harbour ovens every winter."
DOGS = "Brown dogs from Bregenz guard the cold mountain bridges through long summers."
BIRDS = "Small birds of Traunkirchen carry seeds over the frozen northern lakes in spring."
FISH = "Silver fish near Gmunden follow the slow currents under wooden boats at night."
ANIMALS = [CATS, DOGS, BIRDS, FISH]
SEEDS = range(40)


def made(maker, *arguments):
    """What a maker makes over many seeds, without the times it makes nothing."""
    found = [maker(*arguments, random.Random(seed)) for seed in SEEDS]
    found = [x for x in found if x is not None]
    assert found
    return found


def test_an_ask_answers_or_refuses():
    with pytest.raises(ValueError, match="or it refuses"):
        Ask("q", "k")
    with pytest.raises(ValueError, match="or it refuses"):
        Ask("q", "k", evidence="e", refuses=True)
    with pytest.raises(ValueError, match="come together"):
        Ask("q", "k", evidence="e", answer="a")


def test_sentences_and_content_words():
    assert sentences("One, e.g. this. Two!\nThree") == ["One, e.g. this.", "Two!", "Three"]
    assert content_words("The Cats were in houses of a 2D grid") == ["cat", "house", "2d", "grid"]


def test_keywords_stand_in_the_evidence_and_in_no_other_sentence():
    for ask in made(copying.keywords, ANIMALS):
        assert ask.evidence in ANIMALS and ask.answer is None and ask.kind == "keywords"
        asked = set(content_words(ask.question))
        shared = {s: len(asked & set(content_words(s))) for s in ANIMALS}
        assert shared[ask.evidence] >= 2
        assert all(n == 0 for s, n in shared.items() if s != ask.evidence)
    same = [CATS, CATS.replace("grey", "white")]
    for ask in [copying.keywords(same, random.Random(seed)) for seed in SEEDS]:
        assert ask is None or {"grey", "white"} & set(content_words(ask.question))


def test_foreign_words_are_refused_and_shared_ones_not_asked():
    for ask in made(copying.foreign, [CATS], [DOGS, FISH]):
        assert ask.refuses and ask.evidence is None
        assert set(content_words(ask.question)) & set(content_words(CATS))
    assert all(copying.foreign([CATS], [CATS], random.Random(seed)) is None for seed in SEEDS)


def test_completion_begins_the_sentence_and_gives_it_or_its_rest():
    answers = set()
    for ask in made(copying.completion, ANIMALS):
        (sentence,) = [s for s in ANIMALS if " ".join(s.split()[:2]) in ask.question]
        answers.add(ask.answer is None)
        if ask.answer is None:
            assert ask.evidence == sentence
        else:
            assert sentence.endswith(" " + ask.answer) and ask.answer not in ask.question
    assert answers == {True, False}
    assert copying.completion([CATS, CATS[:-1] + "!"], random.Random(0)) is None


def test_ending_ends_the_sentence():
    for ask in made(copying.ending, ANIMALS):
        tail = " ".join(ask.evidence.split()[-2:])
        assert tail in ask.question and ask.evidence in ANIMALS


def test_nth_by_ordinal_and_passage():
    passages = [["One is a number here.", "Two is a number here."], ["Three is a number here."]]
    expected = {
        ("first", 1): passages[0][0],
        ("second", 1): passages[0][1],
        ("last", 1): passages[0][1],
        ("first", 2): passages[1][0],
        ("last", 2): passages[1][0],
    }
    seen = set()
    for ask in made(copying.nth, passages):
        (which,) = [w for w in ("first", "second", "last") if f"{w} sentence" in ask.question]
        number = 2 if "passage 2" in ask.question or "second passage" in ask.question else 1
        assert ask.evidence == expected[which, number]
        seen.add((which, number))
    assert seen == set(expected)
    assert all("passage" not in ask.question for ask in made(copying.nth, passages[:1]))


def test_following_is_the_next_of_the_same_passage():
    for ask in made(copying.following, [[CATS, DOGS], [BIRDS, FISH]]):
        assert (CATS in ask.question, ask.evidence) in {(True, DOGS), (False, FISH)}
    assert copying.following([[CATS]], random.Random(0)) is None


def test_a_recurring_span_is_blanked_and_found_elsewhere():
    again = "Nobody feeds the grey cats of Altmünster when ovens cool."
    text = [CATS, DOGS, BIRDS, FISH, again]
    for rest, ask in made(spans.recurring_span, text):
        (gone,) = set(text) - set(rest) if not ask.refuses else (None,)
        if ask.refuses:
            continue
        assert ask.question.replace(spans.BLANK, ask.answer, 1) == gone
        assert ask.answer in {CATS: again, again: CATS}[gone]
        assert ask.evidence in (None, {CATS: again, again: CATS}[gone])
    assert all(spans.recurring_span([DOGS, BIRDS], random.Random(s)) is None for s in SEEDS)


def test_a_span_is_never_a_part_of_a_number():
    text = ["They gave 2.05 mg of salt daily.", "Later 3.05 mg of salt daily was given."]
    for _, ask in made(spans.recurring_span, text):
        assert not ask.answer.startswith("05") and "2.____" not in ask.question


def test_a_span_that_is_taken_away_is_refused():
    again = "Nobody feeds the grey cats of Altmünster when ovens cool."
    found = [
        spans.recurring_span([CATS, DOGS, BIRDS, FISH, again], random.Random(s)) for s in range(400)
    ]
    refused = [(rest, ask) for rest, ask in filter(None, found) if ask.refuses]
    assert refused
    for rest, ask in refused:
        assert spans.BLANK in ask.question and {*rest} < {DOGS, BIRDS, FISH, CATS, again}
        assert CATS not in rest or again not in rest


def test_acronyms_both_ways():
    text = ["We train a recurrent state of matrices (RSM) on it.", "In the lab (LAB) we do not."]
    answers = {(ask.answer, ask.question.count("RSM")) for ask in made(spans.acronym, text)}
    assert answers == {("recurrent state of matrices", 1), ("RSM", 0)}
    assert spans.acronym(["Nothing here (at all) is one."], random.Random(0)) is None


def test_numbers_are_asked_once():
    text = ["In all we recruited 1,204 healthy adults for the study.", DOGS]
    for ask in made(spans.number, text):
        assert (ask.answer, ask.evidence) == ("1,204", text[0]) and "healthy adults" in ask.question
    assert spans.number([*text, "Later 30 healthy adults left us."], random.Random(0)) is None


def test_truth_is_yes_where_the_number_stands_and_no_where_it_does_not():
    text = ["The experiment used 40 layers in every block of it."]
    seen = set()
    for ask in made(spans.truth, text):
        assert ask.answer == ("yes" if " 40 " in ask.question else "no")
        assert ask.evidence == text[0]
        seen.add(ask.answer)
    assert seen == {"yes", "no"}


def test_definitions_reasons_and_contributions():
    lstm = "The forget gate is a sigmoid that scales the old memory."
    why = "Training of the model was stopped early because the loss no longer fell."
    ours = "We propose a new way to train gates with exponential functions."
    for ask in made(patterns.definition, [lstm, DOGS]):
        assert ask.evidence == lstm and "forget gate" in ask.question
    for ask in made(patterns.reason, [why, DOGS]):
        assert "raining of the model was stopped early" in ask.question and ask.evidence == why
        assert ask.answer in (None, "Because the loss no longer fell.")
    for ask in made(patterns.contribution, [ours, DOGS]):
        assert ask.evidence == ours and " propose" in ask.question
    assert patterns.contribution([ours, ours[:-1] + " too."], random.Random(0)) is None

"""Hidden facts, marks of extraction, and whole examples from documents."""

import random
import unicodedata
from collections import Counter

from tests.train.toy import toy_document

from app.train.makers import needles as facts
from app.train.makers import noise, windows
from app.train.makers.language import sentences
from app.train.read import Document

SENTENCE = "The final office, with flat windows (all of it), differs from the drawing."


def test_needles_hold_their_answers_and_nothing_answers_the_others():
    unanswered = 0
    for seed in range(200):
        made = facts.needles(random.Random(seed))
        assert made.sentences and len(made.asks) == len(made.sentences)
        for stated, ask in zip(made.sentences, made.asks):
            assert ask.evidence in (None, stated)
            if ask.style == "short":
                assert ask.answer in stated
        for ask in made.unanswered:
            assert ask.refuses
            assert ask.question not in {a.question for a in made.asks}
            unanswered += 1
    assert unanswered > 100


def test_needles_are_new_with_every_seed_and_the_same_with_the_same():
    first, again = facts.needles(random.Random(1)), facts.needles(random.Random(1))
    assert first == again != facts.needles(random.Random(2))


def test_hidden_facts_stand_in_the_text_once():
    text = [f"Sentence number {n}." for n in range(10)]
    hidden = facts.needles(random.Random(3))
    shown, asks = windows.hide(text, hidden, random.Random(3))
    assert [s for s in shown if s in text] == text
    assert Counter(shown) == Counter([*text, *hidden.sentences])
    assert all(ask.refuses or ask in hidden.asks for ask in asks)


def test_marks_of_extraction():
    draw = random.Random(0)
    split = noise.split_word(SENTENCE, draw)
    assert (
        split != SENTENCE
        and any(split.replace(mark, "", 1) == SENTENCE for mark in ("- ", "-", "\u00ad"))
        or split.count(" ") == SENTENCE.count(" ") + 1
    )
    assert unicodedata.normalize("NFKC", noise.ligatures(SENTENCE, draw)) == SENTENCE
    assert len(noise.ligatures(SENTENCE, draw)) == len(SENTENCE) - 3  # final, office, flat
    assert len(noise.stray(SENTENCE, draw).split()) > len(SENTENCE.split())
    assert noise.joined_words(SENTENCE, draw).replace(" ", "") == SENTENCE.replace(" ", "")
    assert noise.spaced_marks("a, b (c)", draw) == "a , b(c)"
    assert noise.split_word("a b", draw) == noise.joined_words("ab", draw).replace("ab", "a b")
    assert {noise.noisy(SENTENCE, random.Random(seed)) for seed in range(30)} - {SENTENCE}


def test_grouping_keeps_every_sentence_in_order():
    text = [f"one two three four five six seven eight nine {n}." for n in range(60)]
    groups = windows.grouped(text, random.Random(0))
    assert [s for group in groups for s in group] == text
    assert all(4 <= len(group) <= 16 for group in groups[:-1])


def test_every_evidence_stands_in_a_passage_of_its_example():
    document, other = toy_document(1), toy_document(2)
    kinds, examples = Counter(), 0
    for seed in range(60):
        for example in windows.document_examples(document, other, random.Random(seed)):
            examples += 1
            assert example.made and 1 <= len(example.asks) <= 6
            questions = [ask.question for ask in example.asks]
            assert len(set(questions)) == len(questions)
            for ask in example.asks:
                kinds[ask.kind] += 1
                if ask.evidence is not None:
                    assert any(ask.evidence in text for _, text in example.passages), ask
    assert examples > 100
    wanted = {"keywords", "completion", "ending", "nth", "following", "recurring span", "needle"}
    assert wanted | {"needle, none", "foreign", "number", "truth"} <= set(kinds)
    copied_by_cue = sum(kinds[k] for k in ("completion", "ending", "nth", "following"))
    assert copied_by_cue < 0.25 * kinds.total()


def test_share_and_seed_decide():
    document = toy_document(1)
    full = list(windows.document_examples(document, None, random.Random(5)))
    assert full == list(windows.document_examples(document, None, random.Random(5)))
    assert list(windows.document_examples(document, None, random.Random(5), share=0)) == []
    short = Document("x:0", "", "Two words. Only these.")
    assert list(windows.document_examples(short, None, random.Random(0))) == []
    assert len(sentences(document.text)) > 20

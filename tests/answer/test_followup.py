"""Follow-up questions: a table of conversations, written for this test."""

import pytest

from app.answer.followup import Followup, leans, phrases, self_contained

# (the questions in order, what must be carried into the last one, what must not)
TABLE = [
    (["What is exponential gating?", "Why is it needed?"], ["exponential gating"], []),
    (["What is exponential gating?", "And how does that compare?"], ["exponential gating"], []),
    (["How does the mLSTM store keys?", "What is their size?"], ["mLSTM", "keys"], []),
    (["Which memory does the mLSTM have?", "And the sLSTM?"], ["memory"], ["mLSTM"]),
    (["Is the sLSTM parallelizable?", "What about the mLSTM?"], ["parallelizable"], ["sLSTM"]),
    (["How fast is the sLSTM?", "Is the mLSTM faster than that?"], ["sLSTM"], []),
    (["How fast is the sLSTM?", "And compared to the mLSTM?"], ["sLSTM"], []),
    (["What is the covariance update rule?", "Why?"], ["covariance update rule"], []),
    (["What is layer normalisation?", "Who proposed this?"], ["layer normalisation"], []),
    (["What does the forget gate do?", "How large are these gates?"], ["forget"], []),
    (
        ["What is exponential gating?", "Why is it needed?", "Does it cost memory?"],
        ["exponential gating"],
        ["needed"],
    ),
    (
        ["What is the mLSTM?", "How large is its memory?", "And how is it updated?"],
        ["mLSTM", "memory"],
        [],
    ),
    (["How is xLSTM[7:1] built?", "And xLSTM[1:0]?"], ["built"], ["7:1"]),
    (["What was BERT-base trained on?", "For how long was it trained?"], ["BERT-base"], []),
    (["What's dropout's effect?", "Is that large?"], ["dropout"], []),
    (["What is memory mixing?", "Which of the two variants abandons it?"], ["memory mixing"], []),
    (["Why is recall hard?", "Does the LSTM still struggle with it?"], ["recall"], []),
    (["What is the parity task?", "Which method did best on it?"], ["parity task"], []),
    (["What is weak about storage?", "How does gating help with that?"], ["storage"], []),
]
ALONE = [
    "What batch size was used for training?",
    "Which datasets were used for the language modelling experiments?",
    "Which model that was trained on 300B tokens has the lowest perplexity?",
    "Does the paper report that perplexity falls with model size?",
    "What do the authors of this paper conclude about state tracking?",
    "How do sLSTM and mLSTM differ?",
    "Which generator was trained, and how large is it?",
    "What can the network decide with its gates?",
    "Why do adapter layers slow down inference although they are small?",
]


@pytest.mark.parametrize(("asked", "carried", "left"), TABLE, ids=lambda v: str(v[-1:]))
def test_what_a_question_leans_on_is_carried_over(asked, carried, left):
    turn = None
    for question in asked:
        turn = self_contained(question, turn)
    assert turn.asked == asked[-1] and turn.searched.startswith(asked[-1])
    told = " ".join(turn.carried)
    assert all(word in told for word in carried), told
    assert not any(word in told for word in left), told


@pytest.mark.parametrize("question", ALONE)
def test_a_question_that_stands_alone_is_left_as_it_is(question):
    before = self_contained("What is exponential gating?", None)
    assert self_contained(question, before) == Followup(question, question)


def test_the_first_question_is_left_as_it_is():
    assert self_contained(" Why is it so? ", None) == Followup("Why is it so?", "Why is it so?")


def test_nothing_is_carried_twice():
    turn = self_contained("What is the mLSTM memory?", None)
    turn = self_contained("How large is that mLSTM memory?", turn)
    assert turn.carried == ()


def test_little_is_carried_from_a_long_question():
    turn = self_contained(" ".join(f"word{n}x and" for n in range(40)), None)
    for _ in range(4):
        turn = self_contained("And why is it?", turn)
        assert 0 < len(" ".join(turn.carried).split()) <= 8


def test_phrases_are_runs_of_content_words():
    assert phrases("How does the matrix memory of mLSTM, the covariance update rule, work?") == [
        "matrix memory",
        "mLSTM",
        "covariance update rule",
    ]


@pytest.mark.parametrize("question", ["", "?!", "<script>", "漢字 それ"])
def test_odd_questions_do_no_harm(question):
    before = self_contained("What is <b>exponential gating</b>?", None)
    assert self_contained(question, before).searched.startswith(question)
    assert isinstance(leans(question), bool)

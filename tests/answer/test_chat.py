"""Conversations: what is searched for, what the reader has in its state, what is shown."""

from dataclasses import replace

import pytest
from fakes import FakeReader, FakeRetriever, passage
from html_reading import read

from app.answer.answer import Retrieved
from app.answer.calibration import Rule
from app.answer.chat import ROOM, Chat
from app.answer.records import NOT_FOUND

A = "Exponential gating is new in this network."
FIRST, SECOND = "What is exponential gating?", "And how does that compare?"
COMPLETED = "And how does that compare? (exponential gating)"


class Remembering(FakeRetriever):
    """Keeps what it was asked."""

    def __init__(self, passages, **about):
        super().__init__(passages, **about)
        self.asked = []

    def search(self, query, k=None):
        self.asked.append(query)
        return super().search(query, k)


@pytest.fixture
def retriever():
    return Remembering([passage(A, page=3)])


def test_a_follow_up_is_completed_for_the_search_and_says_so(retriever):
    chat = Chat(retriever, FakeReader())
    first, second = chat.ask(FIRST), chat.ask(SECOND)
    assert retriever.asked == [FIRST, COMPLETED]
    assert (first.searched, second.searched) == ("", COMPLETED)
    assert second.question == SECOND and second.to_dict()["searched"] == COMPLETED
    for form in (str(second), second.to_markdown(), "".join(read(second.to_html()).text)):
        shown = " ".join(form.split())
        assert f"searched for: {COMPLETED}" in shown
    assert "searched for" not in str(first) + first.to_markdown() + first.to_html()


def test_a_reader_that_continues_goes_on_from_its_state(retriever):
    reader = FakeReader(writes=["gating is new"], continues=True)
    chat = Chat(retriever, reader, mode="short")
    chat.ask(FIRST), chat.ask(SECOND)
    assert reader.states == [None, (A, "short", "gating is new")]


def test_in_quote_mode_the_state_holds_the_evidence(retriever):
    reader = FakeReader()
    chat = Chat(retriever, reader, carry=True)
    chat.ask(FIRST), chat.ask(SECOND)
    assert reader.states == [None, (A, "", "")]


def test_the_state_is_dropped_before_more_is_read_than_the_reader_was_trained_on(retriever):
    length = len(FakeReader().prompt(FIRST, retriever.passages).ids)
    reader = FakeReader(context_tokens=2 * (length + ROOM) + ROOM, continues=True)
    chat = Chat(retriever, reader)
    for _ in range(4):
        chat.ask(FIRST)
    assert [state is None for state in reader.states] == [True, False, True, False]


def test_a_reader_that_was_not_trained_to_continue_reads_each_question_afresh(retriever):
    reader = FakeReader()
    chat = Chat(retriever, reader)
    chat.ask(FIRST), chat.ask(SECOND)
    assert reader.states == [None, None] and retriever.asked[1] == COMPLETED


def test_an_answer_without_passages_leaves_the_state(retriever):
    reader = FakeReader(continues=True)
    chat = Chat(retriever, reader)
    chat.ask(FIRST)
    found, retriever.passages = retriever.passages, []
    assert chat.ask(SECOND).text == NOT_FOUND
    retriever.passages = found
    chat.ask("And why?")
    assert reader.states == [None, (A, "", "")]
    assert retriever.asked[-1] == "And why? (exponential gating)"


def test_a_declined_answer_leaves_the_state_although_its_passages_were_read(retriever):
    reader = FakeReader(continues=True)
    chat = Chat(retriever, reader)
    chat.ask(FIRST)
    never = Rule({"refusal": 0.0}, constant=-1.0, threshold=0.0)
    calibration, reader.calibration = reader.calibration, replace(reader.calibration, rule=never)
    assert chat.ask(SECOND).declined and reader.calls == 2
    reader.calibration = calibration
    assert not chat.ask("And why?").declined
    assert reader.states == [None, (A, "", ""), (A, "", "")]


def test_a_turn_that_was_not_finished_does_not_count(retriever):
    chat = Chat(retriever, FakeReader())
    chat.ask(FIRST)
    assert isinstance(next(chat.steps("What is the covariance update rule?")), Retrieved)
    with pytest.raises(ValueError, match="empty"):
        chat.ask(" ")
    chat.ask(SECOND)
    assert retriever.asked[-1] == COMPLETED and len(chat.turns) == 2


def test_the_conversation_shows_its_turns(retriever):
    chat = Chat(retriever, FakeReader())
    assert str(chat) == "no question yet"
    chat.ask(FIRST), chat.ask("And <script>alert(1)</script>?")
    page = read(chat._repr_html_())
    assert page.names.count("section") == 1 and "script" not in page.names
    for form in (str(chat), chat.to_markdown(), "".join(page.text)):
        assert FIRST in form and "exponential gating" in form


def test_a_chat_reads_like_single_questions_until_a_state_is_carried(retriever):
    from app.answer.answer import ask

    one = ask(FIRST, retriever, reader=FakeReader())
    assert Chat(retriever, FakeReader()).ask(FIRST).text == one.text

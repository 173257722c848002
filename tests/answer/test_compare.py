"""The comparison: who found what, said in words, in every form of output."""

import json

import pytest
from fakes import FakeReader, FakeRetriever, passage
from html_reading import read

from app.answer.compare import compare
from app.answer.compare_views import verdict

A = "The first passage speaks of gates."
B = "The second passage speaks of memory."
C = "The third passage speaks of speed."
D = "The fourth passage has two sentences."
E = "Only one of them is kept here."
PATHS = {"a.pdf": "data/papers/a.pdf"}
HOSTILE = "<script>x</script> | `a` $b$ ]]> & \x1b\u202e"


def left():
    found = [
        passage(A, page=1, rank=1, score=0.7, number=1),
        passage(D, E, page=2, rank=2, score=0.6, number=2),
        passage(C, page=30, rank=3, score=0.5, number=3, label="112"),
    ]
    return FakeRetriever(found, {A: 0.9}, "similarity", PATHS)


def right():
    found = [
        passage(D, E, page=2, rank=1, score=0.8, number=2, kept=(1,), retriever="compression"),
        passage(A, page=1, rank=2, score=0.7, number=1, retriever="compression"),
        passage(B, page=4, rank=3, score=0.4, number=4, retriever="compression"),
    ]
    return FakeRetriever(found, {A: 0.9}, "compression", PATHS)


@pytest.fixture
def report():
    return compare("Which?", [left(), right()], reader=FakeReader({A: -1.0}))


def test_marks_say_who_found_what(report):
    marks = [[report.mark(s) for s in answer.sources] for answer in report.answers]
    assert marks == [["found by both", "found by both", "only here"]] * 2


def test_a_passage_is_the_same_when_it_was_shortened(report):
    assert report.found_by(report.answers[0].sources[1]) == (("similarity", 2), ("compression", 1))


def test_three_columns_count(report):
    third = FakeRetriever([passage(A, page=1, number=1)], name="bm25")
    three = compare("Which?", [left(), right(), third], reader=FakeReader())
    marks = [three.mark(source) for source in three.answers[0].sources]
    assert marks == ["found by all", "found by 2 of 3", "only here"]


def test_one_column_has_no_marks_and_no_verdict():
    one = compare("Which?", [left()], reader=FakeReader())
    assert [one.mark(s) for s in one.answers[0].sources] == ["", "", ""]
    assert verdict(one) == {}
    read(one.to_html())


def test_the_differences_are_told_in_words(report):
    told = verdict(report)
    assert told["Evidence"] == "both chose the same sentence (p. 1)"
    assert told["Passages"] == ("2 of 4 found by both, 1 only by similarity, 1 only by compression")
    # similarity: 34 + 37 + 1 + 30 + 34, compression: 30 + 34 + 36
    assert told["Text to read"] == "similarity 136, compression 100 characters (26 % less)"


def test_the_same_sentences_are_counted():
    even = {A: 0.9, E: 0.9}
    one, two = left(), right()
    one.cosines = two.cosines = even
    told = verdict(compare("Which?", [one, two], reader=FakeReader(dict.fromkeys(even, -1.0))))
    assert told["Evidence"] == "both chose the same 2 sentences (p. 1, p. 2)"


def test_the_same_first_choice_with_other_seconds_is_told():
    one, two = left(), right()
    one.cosines, two.cosines = {A: 0.9, C: 0.88}, {A: 0.9, B: 0.88}
    likely = FakeReader({A: -1.0, B: -1.0, C: -1.0})
    told = verdict(compare("Which?", [one, two], reader=likely))
    assert told["Evidence"] == "both chose the same sentence first (p. 1), but not the others"


def test_different_evidence_is_told_with_its_pages():
    other = right()
    other.cosines = {B: 0.9}
    told = verdict(compare("Which?", [left(), other], reader=FakeReader()))
    assert told["Evidence"] == "different sentences: similarity from p. 1, compression from p. 4"


def test_a_retriever_that_finds_nothing_has_its_column():
    report = compare("Which?", [left(), FakeRetriever([], name="none")], reader=FakeReader())
    assert verdict(report)["Evidence"] == "different sentences: similarity from p. 1, none none"
    assert "Not found in the retrieved passages." in str(report)
    assert "no passage" in report.to_html() and "no passage" in report.to_markdown()


def test_two_of_the_same_name_are_told_apart():
    assert compare("?", [left(), left()], reader=FakeReader()).columns == (
        "similarity",
        "similarity (2)",
    )


def test_nothing_to_compare_is_an_error():
    with pytest.raises(ValueError, match="at least one retriever"):
        compare("Which?", [], reader=FakeReader())


def test_the_table_is_one_that_can_be_read_aloud(report):
    page = read(report._repr_html_())
    scopes = [value for name, value in page.attributes if name == "scope"]
    # an empty corner, two columns; answer, three passages, length, time
    assert scopes.count("col") == 3 and scopes.count("row") == 6
    assert page.names.count("table") == 1 and "caption" in page.names
    assert not {"script", "img", "link", "iframe", "object"} & set(page.names)


def test_every_form_shows_the_same_facts(report):
    said = ["Which?", "similarity", "compression", "found by both", "only here", "p. 30"]
    said += ["printed 112", "0.70", "rank 1 in compression", "1 of 2 sentences kept"]
    said += ["136 characters", "100 characters", "retrieve", "evidence", A]
    shown = " ".join("".join(read(report.to_html()).text).split())
    for form in (shown, " ".join(str(report).split()), report.to_markdown()):
        for fact in said:
            assert fact in form, fact


def test_meaning_does_not_hang_on_the_style(report):
    text = "".join(read(report.to_html()).text)
    for words in ("found by both", "only here", "★\u00a0evidence"):
        assert words in text


def test_the_json_form(report):
    got = json.loads(json.dumps(report.to_dict()))
    assert [c["name"] for c in got["columns"]] == ["similarity", "compression"]
    assert got["columns"][0]["context_characters"] == 136
    assert got["columns"][0]["sources"][0]["found_by"] == ["similarity", "compression"]
    assert got["columns"][1]["sources"][2]["found_by"] == ["compression"]


def test_links_follow_the_base(report):
    assert 'href="data/papers/a.pdf#page=30"' in report.to_html()
    assert 'href="../data/papers/a.pdf#page=30"' in report.to_html(base="notes")


def test_hostile_text_is_inert():
    evil = [passage(HOSTILE + " and more words.", title=HOSTILE, section=HOSTILE, label=HOSTILE)]
    retrievers = [FakeRetriever(evil, name=HOSTILE), FakeRetriever(evil, name="b|c")]
    report = compare(HOSTILE, retrievers, reader=FakeReader())
    assert "script" not in read(report.to_html()).names
    table = [line for line in report.to_markdown().split("\n") if line.startswith("| ")]
    assert {line.count(" | ") for line in table} == {2}
    for form in (report.to_markdown(), str(report)):
        assert not any(ord(c) < 32 and c != "\n" for c in form) and "\u202e" not in form
    assert "<script" not in report.to_markdown() and "`" not in report.to_markdown()

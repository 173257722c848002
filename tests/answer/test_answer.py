"""From question to answer, with stand-ins: steps, refusals, citations, every form of output."""

import json
import math
from dataclasses import replace

import pytest
from fakes import FakeReader, FakeRetriever, passage
from html_reading import read

from app.answer.answer import (
    EvidenceChosen,
    Retrieved,
    Text,
    answer_steps,
    ask,
    streamed,
)
from app.answer.calibration import Rule
from app.answer.cite import split_answer, with_support
from app.answer.compare import compare
from app.answer.records import NOT_FOUND, Answer
from app.papers.records import Span

GATES = "Exponential gating is new in this network."
MEMORY = "The matrix memory stores 128 values per head."
OTHER = "We thank our colleagues for their help."
QUESTION = "What is new?"
HOSTILE = (
    '<script>alert("x")</script> | `a` $b$ \\(c\\) ]]> <!-- & \x1b[31m\u202e </style></details>'
)


def two_passages(**changes):
    return [
        passage("It begins here with words.", GATES, page=3, rank=1, score=0.7, **changes),
        passage(OTHER, page=9, rank=2, score=0.5, number=1, **changes),
    ]


def setup(writes=(), found=None, cosines=None, **changes):
    paths = {"a.pdf": "data/papers/a.pdf"}
    retriever = FakeRetriever(
        two_passages() if found is None else found, cosines or {GATES: 0.9}, paths=paths
    )
    return retriever, FakeReader({GATES: -1.0}, writes, **changes)


def answer(mode=None, writes=(), **changes) -> Answer:
    retriever, reader = setup(writes, **changes)
    return ask(QUESTION, retriever, reader=reader, mode=mode)


def test_quote_is_the_default_and_gives_the_sentence_itself():
    got = answer()
    assert (got.text, got.mode, got.declined) == (GATES, "quote", False)
    assert got.sentences[0].supported and got.sentences[0].citations == (1,)
    assert got.sentences[0].pages == (3,)


def test_the_evidence_is_marked_in_its_passage_and_the_rest_was_also_read():
    got = answer()
    cited = got.cited[0]
    assert [cited.passage.text[a:b] for a, b in cited.highlights] == [GATES]
    assert [s.number for s in got.also_read] == [2]
    assert got.also_read[0].highlights == ()


def test_steps_come_in_order_and_end_with_the_answer():
    retriever, reader = setup(["Gating ", "is new."])
    steps = list(answer_steps(QUESTION, retriever, reader, mode="sentence"))
    kinds = [type(step) for step in steps]
    assert kinds == [Retrieved, EvidenceChosen, Text, Answer]
    assert steps[1].evidence[0].sentence.text == GATES


def test_a_phrased_answer_is_supported_by_matching_words():
    got = answer("bullets", ["Exponential gating is new in the network."])
    assert got.sentences[0].citations == (1,)
    cited = got.cited[0]
    assert "Exponential gating is new" in cited.passage.text[slice(*cited.highlights[0])]


def test_a_phrased_answer_that_matches_nothing_is_unsupported():
    got = answer("sentence")
    written = "Transformers were replaced by 7 convolutions of Mamba."
    sentence = with_support(written, [source.passage for source in got.sources])
    got = replace(got, sentences=(sentence,))
    assert not sentence.supported and sentence.pages == ()
    assert [sentence.text[a:b] for a, b in sentence.unknown] == ["7", "Mamba"]
    for form in (str(got), got.to_markdown(), got._repr_html_()):
        assert "not supported by the passages" in " ".join(form.split()) and "[?" in form.replace(
            "\\", ""
        )
    assert GATES in str(got), "the evidence is shown all the same"


def test_a_sentence_that_twists_its_evidence_gives_way_to_the_papers_own_words():
    tied = "However, exponential gating is new in this network (see Section 2)."
    found = [passage("It begins here with words.", tied, page=3)]
    twisted = ["This network is exponential gating."]
    got = answer("sentence", twisted, found=found, cosines={tied: 0.9})
    plain = "Exponential gating is new in this network."
    assert got.text == plain and got.mode == "sentence"
    assert got.sentences[0].quoted and got.sentences[0].citations == (1,)
    assert got.to_dict()["sentences"][0]["quoted"] is True
    for form in (str(got), got.to_markdown()):
        assert f"“{plain}”" in " ".join(form.split())
    assert f"<q>{plain}</q>" in got._repr_html_()
    for form in (str(got), got.to_markdown(), got._repr_html_()):
        assert "in the paper's words" in " ".join(form.replace("&#x27;", "'").split())
    retriever, reader = setup(twisted, found, {tied: 0.9})
    assert f"“{plain}”" in "".join(streamed(QUESTION, retriever, reader, "sentence"))


def test_the_readers_own_sentence_stands_where_it_says_the_same_and_is_likelier():
    own = "Exponential gating is new in the network."
    got = answer("sentence", [own], prefers={own: -1.0})
    assert got.text == own and not got.sentences[0].quoted and got.notes == ()
    assert f"“{own}”" not in str(got) and got.to_dict()["sentences"][0]["quoted"] is False
    assert answer("sentence", [own], prefers={GATES: -1.0}).text == GATES


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (["exponential ", "gating"], "exponential gating"),
        (["Yes"], "Yes"),
        (["a gating exponential"], "this network"),  # all its words, but not in a row
        (["7 layers"], "this network"),
    ],
)
def test_a_short_answer_stands_in_its_evidence(written, text):
    got = answer("short", written, held=["this ", "network"])
    assert got.text == text and got.mode == "short"


POINTS = ["- exponential gating\n- new in this network\n", "- new network\n- matrix memory"]


def test_bullet_points_are_those_that_stand_in_the_evidence_and_say_something_new():
    got = answer("bullets", POINTS)
    assert got.text == "exponential gating\nnew in this network"
    out = "".join(streamed(QUESTION, *setup(POINTS), "bullets"))
    assert "\n- exponential gating\n- new in this network\n" in out
    assert not any(sentence.quoted for sentence in got.sentences)


def test_where_fewer_than_two_points_are_left_the_evidence_is_quoted_point_by_point():
    lines = [f"However, {GATES[0].lower()}{GATES[1:]}", MEMORY, OTHER]
    retriever = FakeRetriever([passage(*lines)], dict(zip(lines, [0.9, 0.85, 0.1])))
    reader = FakeReader(dict.fromkeys(lines, -1.0), POINTS[1:])
    got = ask(QUESTION, retriever, reader=reader, mode="bullets")
    assert [sentence.text for sentence in got.sentences] == [GATES, MEMORY]
    assert all(sentence.quoted for sentence in got.sentences) and got.mode == "bullets"
    assert f"- “{MEMORY}” [1] p. 1" in " ".join(str(got).split())
    assert f"<li><q>{GATES}</q>" in got._repr_html_()


def test_close_sentences_are_quoted_too_and_distant_ones_are_not():
    # equal likelihoods; the cosines 0.9, 0.85, 0.1, 0.1 standardise to 1.07, 0.93, -1, -1
    lines = [GATES, MEMORY, OTHER, "It ends here with more words."]
    found = [passage(*lines)]
    got = answer(found=found, cosines=dict(zip(lines, [0.9, 0.85, 0.1, 0.1])))
    # the reader's table prefers GATES by -1 to -3: 1.73 against -0.58
    assert [s.text for s in got.sentences] == [GATES]
    even = FakeReader(dict.fromkeys(lines, -1.0))
    retriever = FakeRetriever(found, dict(zip(lines, [0.9, 0.85, 0.1, 0.1])))
    got = ask(QUESTION, retriever, reader=even)
    assert [s.text for s in got.sentences] == [GATES, MEMORY]
    assert [s.text for s in ask(QUESTION, retriever, reader=even, mode="short").sentences] == [
        GATES
    ]


def test_only_passages_that_cover_nearly_as_much_are_cited_beside_the_best():
    close = [passage(GATES), passage("The gating is exponential and new.", rank=2)]
    assert with_support("Exponential gating is new in this network.", close).citations == (1,)
    assert sorted(with_support("Exponential gating is new.", close).citations) == [1, 2]


def test_bullets_are_lines():
    assert split_answer("- one thing\n* two. More.\n\n• one thing", "bullets") == [
        "one thing",
        "two. More.",
    ]
    assert split_answer("One is red. Two is 3.5 cm. ", "sentence") == [
        "One is red.",
        "Two is 3.5 cm.",
    ]


def test_a_bullet_that_was_broken_off_is_left_out():
    assert split_answer("- memory mixing\n- The new\n- with\n- 64 heads", "bullets") == [
        "memory mixing",
        "64 heads",
    ]


def test_a_reader_that_writes_nothing_is_said_and_the_evidence_quoted():
    got = answer("short", [" \n"])
    assert got.text == GATES and got.mode == "quote"
    assert any("wrote nothing" in note for note in got.notes)


@pytest.mark.parametrize("score", [0.2499, -0.3])
def test_below_the_least_cosine_the_model_is_not_called(score):
    retriever, reader = setup(found=[passage(OTHER, score=score)])
    got = ask(QUESTION, retriever, reader=reader)
    assert got.declined and got.text == NOT_FOUND and reader.calls == 0
    assert got.sentences == () and got.evidence == () and len(got.also_read) == 1


def test_at_the_least_cosine_the_model_is_called():
    retriever, reader = setup(found=[passage(OTHER, score=0.25)])
    assert not ask(QUESTION, retriever, reader=reader).declined and reader.calls == 1


# Log-odds of an answer: the refusal's, less a half; declined below -1.
RULE = Rule({"refusal": 1.0}, constant=-0.5, threshold=-1.0)


def ruled(chance_of_refusal, mode=None):
    retriever, reader = setup(["Gating."])
    reader.refuses = math.log(chance_of_refusal)
    reader.calibration = replace(reader.calibration, rule=RULE)
    return list(answer_steps(QUESTION, retriever, reader, mode=mode))


@pytest.mark.parametrize("mode", ["quote", "sentence"])
def test_below_the_rules_threshold_the_answer_is_not_found_and_the_nearest_is_shown(mode):
    found, got = ruled(0.75, mode)  # log(1/3) - 0.5 = -1.6
    assert isinstance(found, Retrieved) and got.declined and got.text == NOT_FOUND
    assert got.answerable == pytest.approx(1 / (1 + 3 * math.exp(0.5)))
    assert got.sentences == got.evidence == () and not got.weak
    assert [item.sentence.text for item in got.nearest] == [GATES]
    assert len(got.also_read) == 2 and got.timings["evidence"] > 0
    assert got.to_dict()["nearest"][0]["text"] == GATES
    assert got.to_dict()["answerable"] == pytest.approx(0.1682, abs=1e-4)
    for form in (str(got), got.to_markdown(), got._repr_html_()):
        assert NOT_FOUND in form.replace("\\", "") and GATES in " ".join(form.split())
        assert "chance of 0.17" in " ".join(form.replace("\\", "").split())


def test_between_threshold_and_even_odds_the_evidence_is_weak():
    _, chosen, got = ruled(0.5)  # log(1) - 0.5
    assert chosen.weak and got.weak and not got.declined and got.text == GATES
    assert got.answerable == pytest.approx(1 / (1 + math.exp(0.5))) and got.nearest == ()
    *_, got = ruled(0.2)
    assert not got.weak and got.answerable == pytest.approx(4 / (4 + math.exp(0.5)))


def test_without_a_rule_the_first_word_says_whether_the_evidence_is_weak():
    got = answer(declines=True)
    assert got.weak and not got.declined and got.answerable is None


def test_without_a_passage_nothing_is_found():
    retriever, reader = setup(found=[])
    got = ask(QUESTION, retriever, reader=reader)
    assert got.text == NOT_FOUND and got.sources == () and reader.calls == 0
    for form in (str(got), got.to_markdown(), got._repr_html_()):
        assert NOT_FOUND in form and "does not say" not in form


def test_where_scores_are_no_cosines_the_best_sentence_decides():
    retriever, reader = setup(found=[passage(OTHER, score=17.0)], cosines={OTHER: 0.1})
    retriever.cosine = False
    assert ask(QUESTION, retriever, reader=reader).declined
    retriever.cosines = {OTHER: 0.3}
    assert not ask(QUESTION, retriever, reader=reader).declined


def test_a_reader_that_would_refuse_makes_the_evidence_weak():
    got = answer(declines=True)
    assert got.weak and not got.declined and got.text == GATES
    for form in (str(got), got.to_markdown(), got._repr_html_()):
        assert "Weak evidence" in form
    assert "Weak evidence" not in str(answer())


def test_what_did_not_reach_the_reader_is_said():
    found = [passage(GATES, rank=n, number=n, title="") for n in range(1, 6)]
    got = answer(found=found)
    assert any("2 of 5 passages were not given" in note for note in got.notes)
    assert "2 of 5 passages" in str(got)


@pytest.mark.parametrize("question", ["", "  \n"])
def test_an_empty_question_is_refused(question):
    retriever, reader = setup()
    with pytest.raises(ValueError, match="empty"):
        ask(question, retriever, reader=reader)


def test_an_unknown_mode_is_refused_before_anything_is_searched():
    with pytest.raises(ValueError, match="poem"):
        answer("poem")


def test_the_json_form_has_the_agreed_keys():
    got = json.loads(json.dumps(answer().to_dict()))
    assert {
        "question",
        "retriever",
        "mode",
        "answer",
        "declined",
        "sentences",
        "sources",
        "timings",
    } <= set(got)
    (sentence,) = got["sentences"]
    assert sentence == {"text": GATES, "supported": True, "citations": [1], "quoted": True}
    assert set(got["timings"]) == {"retrieve", "evidence", "answer"}
    source = got["sources"][got["sentences"][0]["citations"][0] - 1]
    expected = {"paper": "a.pdf", "page": 3, "label": "3", "section": "1 Intro", "start": 0}
    assert expected.items() <= source.items()
    assert source["end"] - source["start"] == len(source["text"])
    assert source["score"] == 0.7


def test_a_refusal_has_the_same_keys():
    retriever, reader = setup(found=[])
    got = ask(QUESTION, retriever, reader=reader).to_dict()
    assert got.keys() == answer().to_dict().keys()
    assert got["declined"] is True and got["sources"] == got["sentences"] == []


def test_a_shortened_passage_has_the_places_of_its_kept_sentences():
    whole = passage("One is here now.", GATES, OTHER, page=5, kept=(1, 2))
    source = answer(found=[whole]).to_dict()["sources"][0]
    assert (source["start"], source["end"]) == (17, 17 + len(GATES) + 1 + len(OTHER))
    assert source["spans"] == [[5, 17, 59], [5, 60, 99]]
    assert source["text"] == f"{GATES} {OTHER}"


def test_the_label_is_that_of_the_page_where_a_shortened_passage_begins():
    whole = passage(GATES, OTHER, page=5, label="ix", kept=(1,))
    chunk = whole.chunk
    second = replace(chunk.sentences[1], spans=(Span(6, 0, len(OTHER)),))
    chunk = replace(
        chunk,
        spans=(Span(5, 0, len(GATES)), *second.spans),
        sentences=(chunk.sentences[0], second),
        last_label="1",
    )
    source = answer(found=[replace(whole, chunk=chunk)]).to_dict()["sources"][0]
    assert (source["page"], source["label"]) == (6, "1")


def test_links_lead_to_the_page_relative_to_the_base():
    got = answer()
    assert 'href="data/papers/a.pdf#page=3"' in got._repr_html_()
    assert "(data/papers/a.pdf#page=3)" in got.to_markdown()
    assert 'href="papers/a.pdf#page=3"' in got.to_html(base="data")


def test_without_a_known_file_there_is_no_link():
    retriever, reader = setup()
    retriever.library.paths = {}
    assert "href" not in ask(QUESTION, retriever, reader=reader)._repr_html_()


def test_the_printed_page_number_is_shown_where_it_differs():
    got = answer(found=two_passages(label="4180"))
    for form in (str(got), got.to_markdown(), got._repr_html_()):
        assert "printed 4180" in form


@pytest.mark.parametrize("mode", ["quote", "bullets"])
def test_hostile_text_is_inert_everywhere(mode):
    evil = HOSTILE + " words to fill it up."
    found = [passage(evil, paper='a"<b>.pdf', title=HOSTILE, section=HOSTILE, label=HOSTILE)]
    retriever = FakeRetriever(found, paths={'a"<b>.pdf': 'data/"><script>.pdf'}, name=HOSTILE)
    got = ask(HOSTILE, retriever, reader=FakeReader({}, [HOSTILE, "\n", "7 Mamba"]), mode=mode)
    page = read(got._repr_html_())
    assert "script" not in page.names and "b" not in page.names
    assert {name for name, _ in page.attributes} <= {"id", "class", "aria-label", "href"}
    shown = got.to_markdown()
    assert "<script" not in shown and "<!--" not in shown and "`" not in shown
    assert not any(ord(c) < 32 and c != "\n" for c in shown + str(got))
    assert "\u202e" not in shown + str(got) + got._repr_html_()


def test_the_terminal_form_streams_the_same_facts():
    retriever, reader = setup(["Exponential gating ", "is new"])
    out = "".join(streamed(QUESTION, retriever, reader, "short"))
    assert out.index(QUESTION) < out.index(GATES) < out.index("Exponential gating is new\n")
    assert "supported by [1] p. 3" in out and "also read" in out and "retrieve" in out


def test_a_quote_streams_once():
    retriever, reader = setup()
    out = "".join(streamed(QUESTION, retriever, reader))
    assert out.count(GATES) == 1 and "[1] p. 3" in out


def test_a_refusal_streams_its_one_line():
    retriever, reader = setup(found=[])
    assert NOT_FOUND in "".join(streamed(QUESTION, retriever, reader))


@pytest.mark.parametrize("half", ["\ud800", "\udfff", "\udcff\ud800"])
def test_halves_of_surrogate_pairs_in_a_question_reach_nobody(half):
    retriever, reader = setup(["Gating ", "is new."])
    asked = []
    search = retriever.search
    retriever.search = lambda query, k=None: asked.append(query) or search(query, k)
    got = ask(f"{half} {QUESTION}", retriever, reader=reader, mode="sentence")
    *_, other = answer_steps(QUESTION, retriever, reader, searched=f"{half} {QUESTION}")
    compared = compare(f"{half} {QUESTION}", [retriever], reader=reader)
    assert got.question.endswith(QUESTION) and "\ufffd" in got.question
    written = [json.dumps(each.to_dict(), ensure_ascii=False) for each in (got, other, compared)]
    for text in (*asked, *written, got.to_html(), got.to_markdown(), str(got), compared.to_csv()):
        text.encode()


def test_figures_that_are_no_numbers_are_never_written_as_json(tmp_path):
    retriever, reader = setup()
    compared = compare(QUESTION, [retriever], reader=reader)
    (answer,) = compared.answers
    spoilt = replace(compared, answers=(replace(answer, timings={"retrieve": float("nan")}),))
    with pytest.raises(ValueError, match="JSON"):
        spoilt.save(tmp_path / "report.json")

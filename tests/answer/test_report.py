"""Several questions compared: counts by hand, gold answers, every form of output, files."""

import csv
import io
import json
from dataclasses import asdict

import pytest
from fakes import FakeReader, FakeRetriever, passage
from html_reading import read

from app.answer.compare import Comparison, compare
from app.answer.report import Gold

A = "The first passage speaks of gates."
B = "The second passage speaks of memory."
C = "The third passage speaks of speed."
PATHS = {"a.pdf": "data/papers/a.pdf"}
HOSTILE = '=cmd|"x"!A1 <script>alert(1)</script> | `a` $b$ ]]> & \x1b\u202e'
QUESTIONS = ["Which gates?", "Which memory?"]
GOLD = [{"answer": "gates", "page": 1, "kind": "what"}, Gold(page=4, paper="a.pdf")]


class ByQuestion(FakeRetriever):
    """Other passages for other questions."""

    def search(self, query, k=None):
        return self.passages[query][:k]


def retrievers():
    one = passage(A, page=1, number=1, score=0.7)
    two = passage(B, page=4, number=2, score=0.6)
    three = passage(C, page=9, number=3, rank=2, score=0.5)
    left = ByQuestion({QUESTIONS[0]: [one, three], QUESTIONS[1]: [three, two]}, name="left")
    right = ByQuestion({QUESTIONS[0]: [one], QUESTIONS[1]: [two]}, {C: 0.9}, name="right")
    left.cosines = {C: 0.2, A: 0.9, B: 0.1}
    left.library.paths = right.library.paths = PATHS
    return [left, right]


# Far enough apart that each quote is one sentence.
LIKELY = {A: -1.0, C: -3.0, B: -5.0}


@pytest.fixture
def report():
    return compare(QUESTIONS, retrievers(), reader=FakeReader(LIKELY), gold=GOLD)


def test_one_question_gives_a_comparison_and_a_list_a_report():
    made = compare(QUESTIONS[0], retrievers(), reader=FakeReader())
    assert isinstance(made, Comparison)
    assert compare(QUESTIONS[:1], retrievers(), reader=FakeReader()).questions == ("Which gates?",)


def test_pairs_count_what_both_found(report):
    # chunks 1+3 and 1; 3+2 and 2: two in common of four; first sentences A, A and C, B
    (pair,) = report.pairs()
    assert (pair.common, pair.passages, pair.same, pair.questions) == (2, 4, 1, 2)
    # the same answer, then "The third passage speaks of speed." against B: of five words each,
    # without the article, "passage speaks of" are common
    assert pair.answer_f1 == pytest.approx((1 + 3 / 5) / 2)


def test_summaries_count_pages_words_and_characters(report):
    left, right = report.summaries()
    assert (left.pages, left.page_found, left.page_first, left.page_cited) == (2, 2, 1, 1)
    assert (right.pages, right.page_found, right.page_first, right.page_cited) == (2, 2, 2, 2)
    assert left.characters == (34 + 34 + 34 + 36) / 2 and right.characters == (34 + 36) / 2
    # "gates" against five words of which it is one: 2 * 1 / (5 + 1)
    assert left.answer_f1 == pytest.approx(1 / 3) and left.answer_words == 1.0
    assert set(left.seconds) == {"retrieve", "evidence", "answer"}


def test_a_page_of_another_paper_is_not_the_gold_page():
    other = compare(
        QUESTIONS[:1], retrievers(), reader=FakeReader(), gold=[Gold(page=1, paper="b.pdf")]
    )
    assert [one.page_found for one in other.summaries()] == [0, 0]


def test_without_gold_nothing_is_called_right():
    report = compare(QUESTIONS, retrievers(), reader=FakeReader())
    for form in (report.to_html(), report.to_markdown(), str(report)):
        assert "right page" not in form.lower()
    assert report.summaries()[0].answer_f1 is None


@pytest.mark.parametrize(
    ("questions", "gold", "said"),
    [
        ([], None, "at least one question"),
        (["a"], [None, None], "2 gold answers for 1"),
        (["a"], [{"kind": "x"}], "an answer or a page"),
        ("a", [None], "list of questions"),
    ],
)
def test_what_does_not_fit_is_refused(questions, gold, said):
    with pytest.raises(ValueError, match=said):
        compare(questions, retrievers(), reader=FakeReader(), gold=gold)


def test_every_form_shows_the_same_facts(report):
    said = [*QUESTIONS, "left", "right", "2 of 4 (50 %)", "1 of 2 (50 %)", "same evidence"]
    said += ["different evidence", "✓ right page (1)", "✗ not from page 4, which is passage 2"]
    said += ["69 characters", "35 characters", "p. 9", C]
    shown = " ".join(" ".join(read(report.to_html()).text).split())
    for form in (shown, " ".join(str(report).split()), report.to_markdown()):
        for fact in said:
            assert fact in form, fact


def test_the_page_is_static_and_its_tables_can_be_read_aloud(report):
    page = read(report._repr_html_())
    # questions, summary, pairs, and one a question
    assert page.names.count("table") == page.names.count("caption") == 5
    assert not {"script", "img", "link", "iframe", "object"} & set(page.names)
    assert page.names.count("details") == 2 and page.names.count("section") == 1


def test_one_retriever_has_no_pairs():
    alone = compare(QUESTIONS, retrievers()[:1], reader=FakeReader())
    assert alone.pairs() == () and read(alone.to_html()).names.count("table") == 4
    assert "only here" not in str(alone) and "evidence)" not in str(alone)


def test_three_retrievers_are_told_by_the_most_and_the_least_alike():
    three = compare(QUESTIONS, [*retrievers(), retrievers()[1]], reader=FakeReader())
    assert len(three.pairs()) == 3
    told = "most alike right and right (2) (2 of 2 found by both), least left and right"
    assert told in " ".join(str(three).split())


def test_the_table_has_a_row_for_each_passage(report):
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert len(rows) == 2 + 1 + 2 + 1
    first, last = rows[0], rows[-1]
    assert (first["question"], first["retriever"], first["rank"]) == ("Which gates?", "left", "1")
    assert (first["found_by"], first["gold_answer"]) == ("left; right", "gates")
    assert (first["text"], first["on_gold_page"], first["characters"]) == (A, "yes", "34")
    assert (last["page"], last["gold_page"], last["evidence"]) == ("4", "4", "yes")


def test_a_retriever_that_finds_nothing_has_one_row():
    none = compare(["Which?"], [FakeRetriever([], name="none")], reader=FakeReader())
    (row,) = csv.DictReader(io.StringIO(none.to_csv()))
    assert row["declined"] == "yes" and row["text"] == row["rank"] == ""


def test_hostile_text_is_inert_everywhere():
    evil = [passage(HOSTILE + " and more words.", title=HOSTILE, section=HOSTILE, label=HOSTILE)]
    two = [FakeRetriever(evil, name=HOSTILE), FakeRetriever(evil, name="b|c")]
    report = compare(
        [HOSTILE, "Why?"], two, reader=FakeReader(), gold=[Gold(HOSTILE, 7), Gold(page=1)]
    )
    assert "script" not in read(report.to_html()).names
    for line in report.to_markdown().split("\n"):
        assert not line.startswith("| ") or line.count(" | ") == 2
    for form in (report.to_markdown(), str(report), report.to_csv()):
        assert not any(ord(c) < 32 and c != "\n" for c in form) and "\u202e" not in form
    assert "<script" not in report.to_markdown()
    for row in csv.reader(io.StringIO(report.to_csv())):
        assert not any(cell.lstrip()[:1] in ("=", "+", "-", "@") for cell in row if cell)


def test_negative_scores_stay_figures_in_the_table():
    low = FakeRetriever([passage(A, score=-0.25)], {A: 0.9})
    low.cosine = False
    (row,) = csv.DictReader(io.StringIO(compare("?", [low], reader=FakeReader()).to_csv()))
    assert row["score"] == "-0.2500"


@pytest.mark.parametrize("kind", ["report", "comparison"])
def test_files_by_their_ending_with_links_from_their_folder(report, kind, tmp_path, monkeypatch):
    what = report if kind == "report" else report.comparisons[0]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    page = what.save("out/r.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>") and 'href="../data/papers/a.pdf#page=1"' in page
    read(page)
    shown = what.save("out/r.md").read_text(encoding="utf-8")
    assert "(../data/papers/a.pdf#page=1)" in shown
    assert what.save("out/r.csv").read_text(encoding="utf-8") == what.to_csv()
    assert json.loads(what.save("out/r.json").read_text(encoding="utf-8"))
    assert what.save("out/r.txt").read_text(encoding="utf-8") == f"{what}\n"
    with pytest.raises(ValueError, match=r"\.html, \.md"):
        what.save("out/r.docx")


def test_the_json_form_holds_the_figures(report):
    got = json.loads(json.dumps(report.to_dict()))
    assert got["summaries"] == [asdict(one) for one in report.summaries()]
    assert got["gold"][1] == {"answer": "", "page": 4, "paper": "a.pdf"}
    assert [one["question"] for one in got["comparisons"]] == QUESTIONS


def test_the_drawing_says_its_figures_in_words(report):
    drawn = report.plot()
    assert "Right page found, %: left 100, right 100" in drawn.words
    assert "Text to read, characters: left 69, right 35" in drawn.words
    without = compare(QUESTIONS, retrievers(), reader=FakeReader()).plot()
    assert "Passages in common, %: left and right 50" in without.words

"""Chunks of papers written by hand: places, sizes, parts, page breaks, limits."""

import re

import pytest

from app.papers.chunk import ChunkSettings, chunk_paper
from app.papers.records import Page, Paper, Section, Span


def count_tokens(text: str) -> int:
    """A stand-in for word pieces: five letters or one sign each, and two special ones."""
    return 2 + len(re.findall(r"\w{1,5}|[^\w\s]", text))


def paper(*texts: str, sections=(), figures=()) -> Paper:
    pages = tuple(Page(n, str(n), text) for n, text in enumerate(texts, 1))
    return Paper("x.pdf", "0" * 64, "Title", None, pages, tuple(sections), (), tuple(figures))


def chunks(made: Paper, settings: ChunkSettings | None = None, max_tokens: int = 256):
    found = chunk_paper(made, settings or ChunkSettings(), count_tokens, max_tokens)
    texts = {page.number: page.text for page in made.pages}
    for chunk in found:
        assert chunk.text == " ".join(texts[p][a:b] for p, a, b in chunk.spans)
        assert count_tokens(chunk.text) <= max_tokens
        for sentence in chunk.sentences:
            assert sentence.text == chunk.text[sentence.start : sentence.end]
            assert sentence.text == " ".join(texts[p][a:b] for p, a, b in sentence.spans)
    return found


def covered(made: Paper, found) -> bool:
    """Whether every character but white space lies in exactly one chunk."""
    for page in made.pages:
        counts = [0] * len(page.text)
        for span in (span for chunk in found for span in chunk.spans if span.page == page.number):
            for i in range(span.start, span.end):
                counts[i] += 1
        if any(n != 1 for n, char in zip(counts, page.text) if not char.isspace()):
            return False
    return True


def sentence(n: int, words: int = 12) -> str:
    name = "word" + "abcdefghij"[n // 10] + "abcdefghij"[n % 10]
    return " ".join([name] * (words - 1)).capitalize() + " end."


def prose(sentences: int, words: int = 12, start: int = 0) -> str:
    return " ".join(sentence(start + n, words) for n in range(sentences))


def test_chunks_hold_about_130_words_in_whole_sentences():
    made = paper(prose(60))
    found = chunks(made, max_tokens=10_000)
    assert covered(made, found)
    assert all(110 <= len(chunk.text.split()) <= 150 for chunk in found)
    assert all(len(chunk.sentences) == len(chunk.text.split(".")) - 1 for chunk in found)


def test_ids_count_in_reading_order():
    found = chunks(paper(prose(30), prose(30, start=30)))
    assert [chunk.id for chunk in found] == [f"x.pdf:{n:04d}" for n in range(len(found))]
    assert [chunk.page for chunk in found] == sorted(chunk.page for chunk in found)


def test_the_embedder_limit_wins_over_the_aim():
    made = paper(prose(30))
    found = chunks(made, max_tokens=64)
    assert covered(made, found)
    assert max(count_tokens(chunk.text) for chunk in found) > 40


def test_an_overlong_sentence_is_cut_at_blanks():
    made = paper(" ".join(["lengthy"] * 500) + ".")
    found = chunks(made, max_tokens=100)
    assert covered(made, found)
    assert all(set(chunk.text.rstrip(".").split()) == {"lengthy"} for chunk in found)


def test_a_word_longer_than_the_limit_is_cut_too():
    made = paper("Short start. " + "x" * 3000 + " and a short end.")
    found = chunks(made, max_tokens=50)
    assert covered(made, found)


def test_an_overlong_sentence_over_a_page_break_is_cut():
    made = paper("So " + "word " * 300 + "goes", "on " + "word " * 300 + "to its end. Next one.")
    found = chunks(made, max_tokens=60)
    assert covered(made, found)


def test_a_page_break_is_crossed_to_finish_a_sentence_only():
    made = paper(
        prose(6) + " The gates of the cell are used for more than one purpose and",
        "are vectors of the same size. " + prose(6, start=6),
    )
    found = chunks(made)
    assert covered(made, found)
    crossing = [chunk for chunk in found if len(chunk.spans) > 1]
    assert len(crossing) == 1
    assert crossing[0].text.endswith("more than one purpose and are vectors of the same size.")
    assert (crossing[0].page, crossing[0].last_page) == (1, 2)
    assert (crossing[0].label_of(1), crossing[0].label_of(2)) == ("1", "2")
    assert {chunk.last_label for chunk in found if chunk not in crossing} == {""}
    assert crossing[0].spans[1] == Span(2, 0, 29)


def test_a_caption_between_the_pages_does_not_stop_the_sentence():
    made = paper(
        "The gates of the cell are used for more than one purpose and",
        "Figure 1: A picture of the whole network with all its many parts.\n"
        "are vectors of the same size. They are small in all cases that we know.",
    )
    found = chunks(made)
    assert covered(made, found)
    assert found[0].text.endswith("purpose and are vectors of the same size.")


def test_a_capital_after_the_page_break_starts_anew():
    made = paper("The gates of the cell are used for more than one", "Table text. " + prose(3))
    assert all(len(chunk.spans) == 1 for chunk in chunks(made))


def section(title: str, part: str, page: int, start: int) -> Section:
    return Section(title, part, Span(page, start, start + len(title)))


def test_sections_and_parts_divide():
    body = "1 Start\n" + prose(4) + "\n2 End\n" + prose(4, start=4)
    back = "References\nA. Writer. A title. 1999.\nA Proofs\n" + prose(4, start=8)
    sections = [
        section("1 Start", "main", 1, 0),
        section("2 End", "main", 1, body.index("2 End")),
        section("References", "references", 2, 0),
        section("A Proofs", "appendix", 2, back.index("A Proofs")),
    ]
    made = paper(body, back, sections=sections)
    found = chunks(made)
    assert covered(made, found)
    assert [(chunk.section, chunk.part) for chunk in found] == [
        ("1 Start", "main"),
        ("2 End", "main"),
        ("References", "references"),
        ("A Proofs", "appendix"),
    ]


def test_headings_without_text_join_the_next_section():
    body = "2 Method\n2.1 Cells\n" + prose(3)
    sections = [section("2 Method", "main", 1, 0), section("2.1 Cells", "main", 1, 9)]
    found = chunks(paper(body, sections=sections))
    assert len(found) == 1
    assert found[0].text == body
    assert found[0].section == "2.1 Cells"


def test_figure_runs_are_chunks_of_their_own():
    body = prose(2) + "\n0.1 0.2 0.3 0.4 0.5\n" + prose(2, start=2)
    start = body.index("0.1")
    made = paper(body, figures=[Span(1, start, start + 19)])
    found = chunks(made)
    assert covered(made, found)
    assert [chunk.part for chunk in found] == ["main", "figure", "main"]


@pytest.mark.parametrize("text", ["", " ", "\n"])
def test_an_empty_page_gives_no_chunk(text):
    assert chunks(paper(text)) == []


def test_overlap_repeats_one_sentence():
    made = paper(prose(40))
    found = chunks(made, ChunkSettings(overlap=1))
    assert len(found) > 2
    for before, after in zip(found, found[1:]):
        assert before.sentences[-1].text == after.sentences[0].text


@pytest.mark.parametrize("wrong", [{"words": 0}, {"words": 200}, {"overlap": 2}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="must"):
        ChunkSettings(**wrong)

"""Text made to be slow: four times as much takes about four times as long, in the parent process.

Runs of everything that some pattern repeats; each also followed by what lets no pattern match.
"""

import time
from collections import Counter

import pytest

from app.papers import clean, layout, read, sentences, structure
from app.papers.chunk import ChunkSettings, chunk_paper
from app.papers.records import Page, Paper, Section, Span

RUNS = [
    "x",
    "5",
    " ",
    "-",
    ".",
    "x-",
    "x ",
    "5 ",
    "A. ",
    "´x",
    "no one ",
    "The cat sat. ",
    "é",
    ")",
]
RUNS += ["Ab. C", "•", "x\t", "1.1 ", "(a. ", "x'"]
USUAL = layout.Measures(10.0, 12.0)


def lines(text: str) -> list[clean.Line]:
    return [clean.Line(text, 72, 700, 10), clean.Line("the end of it", 72, 688, 10)]


STEPS = {
    "mend": lambda text: clean.mend_characters(text, clean.FontFaults(True, True)),
    "faults": clean.find_font_faults,
    "vocabulary": lambda text: clean.vocabulary(lines(text)),
    "join": lambda text: clean.join_lines(text, text, Counter()),
    "furniture": lambda text: clean.drop_page_furniture([lines(text)] * 3),
    "blocks": lambda text: layout.page_blocks(lines(text), {}, USUAL, Counter(), True),
    "table row": layout.is_table_row,
    "headings": lambda text: structure.find_headings([lines(text)], [], USUAL, ("a", 1)),
    "title": lambda text: structure.find_title([lines(text)], text, "a"),
    "sentences": sentences.split_sentences,
    "garbled": read.is_garbled,
}


def grows_evenly(work, text: str) -> bool:
    """Whether the whole text takes less than ten times as long as a quarter of it."""

    def seconds(part: str) -> float:
        started = time.perf_counter()
        work(part)
        return time.perf_counter() - started

    for _ in range(3):  # the machine may be busy with something else
        whole = seconds(text)
        if whole < 0.1 or whole < 10 * seconds(text[: len(text) // 4]):
            return True
    return False


@pytest.mark.parametrize("step", STEPS)
def test_no_step_is_worse_than_linear(step):
    for run in RUNS:
        for end in ("", "!", "x"):
            text = run * (20_000 // len(run)) + end
            assert grows_evenly(STEPS[step], text), (run, end)


@pytest.mark.parametrize("run", ["x", " ", "5", "-", ".", "x ", "5 ", "A. "])
def test_a_line_of_200_000_characters_is_laid_out_and_cut(run):
    counted = []

    def count_tokens(text: str) -> int:
        counted.append(len(text))
        return len(text) // 4 + 2

    raw = [[clean.Line("The title of this work", 72, 740, 16), *lines(run * (200_000 // len(run)))]]
    header = {"title": "", "labels": ["1"], "outline": []}
    paper = read.build_paper("x.pdf", "0" * 64, header, raw, ())
    chunks = chunk_paper(paper, ChunkSettings(), count_tokens, 256)
    assert sum(counted) < 60 * 200_000  # each character is counted a few times, not once a chunk
    kept = "".join("".join(chunk.text.split()) for chunk in chunks)
    assert len(kept) >= len("".join(paper.pages[0].text.split()))


def test_a_pdf_with_one_endless_word_is_read(make_pdf, prose):
    path = make_pdf([[*prose, (72, 500, 10, "x" * 200_000), (72, 480, 10, "the end.")]])
    paper = read.read_paper(path)
    assert "x" * 200_000 in paper.pages[0].text and not paper.skipped


def test_many_sentences_and_sections_on_one_page_are_cut_in_bounded_work():
    def work(text: str) -> None:
        sections = [
            Section(f"{n}", "main", Span(1, at, at))
            for n, at in enumerate(range(0, len(text), 40))
            if text[at - 1 : at] == "\n" or not at
        ]
        paper = Paper("x.pdf", "0", "T", None, (Page(1, "1", text),), tuple(sections))
        chunk_paper(paper, ChunkSettings(), lambda part: len(part) // 4 + 2, 256)

    for unit in (
        "Gates keep the memory of cells for long.",
        "Gates keep the memory of cells for lon.\n",
    ):
        assert grows_evenly(work, unit * 4000)


def test_many_lines_of_one_paragraph_are_joined_as_two_are():
    texts = ["the gates of the net-", "work keep a mem-", "ory and"] * 400
    joined = layout.join_all(texts, Counter())
    expected = texts[0]
    for text in texts[1:]:
        expected = clean.join_lines(expected, text, Counter())
    assert joined == expected == " ".join(["the gates of the network keep a memory and"] * 400)
    assert grows_evenly(lambda text: layout.join_all(text.split("|"), Counter()), "word-|" * 20_000)


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("xLSTM 1.3B 12.5", True),
        ("GPT 3 -4.2%", True),
        ("1 GPT 3", False),
        ("a 3", False),
        ("of 3", True),
        ("of3", False),
        ("name 3.x", False),
        ("name 12,000 ", False),
        ("", False),
    ],
)
def test_a_table_row_is_a_name_and_a_number_at_the_end(text, row):
    assert layout.is_table_row(text) is row

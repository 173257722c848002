"""Tables of rows: means, paired differences, two models, the figures of a model card."""

import pytest

from app.evaluate import reader_table
from app.evaluate.reader import BEST_SENTENCE, LIKELIEST, WRITTEN, Row
from app.evaluate.reader_table import compared, paired, summary, table


def row(id, mode, f1, declined=False, hit=None, answerable=True, set="s", **more):
    f1 = f1 if answerable else None
    values = {"there": True, "cited": None, "refusal": None, "verbatim": True} | more
    return Row(
        set=set,
        id=id,
        mode=mode,
        answerable=answerable,
        exact=None if f1 is None else f1 == 1.0,
        f1=f1,
        hit=hit,
        declined=declined,
        answer="a",
        evidence="e",
        seconds=0.5,
        **values,
    )


ROWS = [
    row("1", "short", 1.0, hit=True),
    row("2", "short", 0.5, hit=False, declined=True, there=False),
    row("3", "short", None, declined=True, answerable=False),
    row("1", BEST_SENTENCE, 0.25),
    row("2", BEST_SENTENCE, 0.25),
    row("3", BEST_SENTENCE, None, answerable=False),
]


def test_the_summary_and_its_paired_differences():
    short, nearest = summary(ROWS)
    assert (short["n"], short["n unanswerable"], short["exact"]) == (2, 1, 0.5)
    assert (short["f1"], short["evidence hit"], short["cited right"]) == (0.75, 0.5, None)
    assert short["hit of those there"] == 1.0
    assert (short["declined answerable"], short["declined unanswerable"]) == (0.5, 1.0)
    assert short["over best sentence"] == 0.5  # 0.75 and 0.25
    low, high = short["over best sentence interval"]
    assert (low, high) == (0.25, 0.75)
    assert "over best sentence" not in nearest and nearest["mode"] == BEST_SENTENCE
    assert paired(ROWS[:2], ROWS[4:5], lambda r: r.f1) == [0.25]
    line = table([short, nearest]).split("\n")[2]
    assert "| 2 + 1 | 50.0 | 75.0 (50.0 to 100.0) | +50.0 (+25.0 to +75.0) |" in line


def test_refusals_that_tell_questions_apart():
    chances = [("1", 0.2, True), ("2", 0.6, True), ("3", 0.5, False), ("4", 0.9, False)]
    rows = [row(id, "quote", 0.0, refusal=c, answerable=a) for id, c, a in chances]
    assert summary(rows)[0]["told apart"] == 0.75  # of four pairs one is the wrong way round
    assert summary(rows[:2])[0]["told apart"] is None


def test_the_same_id_in_two_sets_is_two_questions():
    others = [row("1", "short", 0.0, set="t"), row("1", "short", 0.25)]
    assert paired([row("1", "short", 1.0)], others, lambda r: r.f1) == [0.75]


def test_two_models_question_by_question():
    second = [
        row("1", "short", 1.0, hit=True),
        row("2", "short", 1.0, hit=True),
        row("3", "short", None, answerable=False),
        row("9", "short", 0.0),
        row("1", "short", 0.0, set="only here"),
    ]
    lines = compared(ROWS, second).split("\n")
    assert len(lines) == 4 and "| all sets | short | 3 |" in lines[3]
    cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
    # 0.75 and 1.0; differences 0 and 0.5; question 9 is in one file only
    assert cells[:5] == ["s", "short", "3", "75.0", "100.0"]
    assert cells[5] == "+25.0 (+0.0 to +50.0)"
    assert cells[7] == "+50.0 (+0.0 to +100.0)"
    assert cells[8] == "-50.0 (-100.0 to +0.0)" and cells[9] == "-100.0 (-100.0 to -100.0)"
    with pytest.raises(ValueError, match="no question in common"):
        compared(ROWS, [row("1", "short", 1.0, set="t")])


def test_the_card_gets_its_figures_between_the_marks(tmp_path):
    card = tmp_path / "README.md"
    card.write_text("# R\n<!-- figures -->\nstale\n<!-- /figures -->\n## Data\n")
    rows = [*ROWS, row("1", "quote", 0.5, hit=True), row("1", WRITTEN, 0.1, verbatim=False)]
    rows.append(row("1", LIKELIEST, 0.1, hit=False))
    reader_table.write_card(card, rows, "data/rows.jsonl")
    text = card.read_text()
    assert text.startswith("# R\n<!-- figures -->\n") and text.endswith("figures -->\n## Data\n")
    assert "stale" not in text and "evaluate reader --from data/rows.jsonl --card" in text
    # short 75, no sentence and no bullets, quote 50, best sentence 25, no first sentence
    assert "| s | 2 + 1 | 75.0 |  |  | 50.0 | 25.0 |  | short +50.0 (+25.0 to +75.0) |" in text
    # evidence: quote all, likeliest none, not word for word; what nothing is known of has no column
    assert "| set | shown first | of those there | likeliest | word for word |" in text
    assert "| s | 100.0 | 100.0 | 0.0 | 0.0 |" in text
    reader_table.write_card(card, rows, "data/rows.jsonl")
    assert card.read_text() == text
    card.write_text("# R\n")
    with pytest.raises(ValueError, match="figures"):
        reader_table.write_card(card, rows, "x")

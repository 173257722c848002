"""Lines as the child process measures them, from pieces such as pypdf hands over."""

import json

from app.papers.extract import LineBuilder, emit

UNIT = [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]


def at(x: float, y: float, scale: float = 1.0) -> list[float]:
    return [scale, 0.0, 0.0, scale, x, y]


def lines_of(*pieces) -> list:
    builder = LineBuilder()
    for text, tm, font, size in pieces:
        builder.add(text, UNIT, tm, {"/BaseFont": font}, size)
    builder.end_line()
    return builder.lines


def test_a_line_has_the_place_of_its_first_piece_and_the_size_of_most_of_it():
    found = lines_of(
        ("The state c", at(72, 700), "/Times-Roman", 10.0),
        ("t", at(120, 698), "/CMMI7", 7.0),
        (" is a scalar.\n", at(124, 700), "/Times-Roman", 10.0),
        ("Next", at(72, 688), "/Times-Bold", 10.0),
    )
    assert found == [
        ["The state ct is a scalar.", 72, 700, 10.0, False, False],
        ["Next", 72, 688, 10.0, True, False],
    ]


def test_the_matrix_scales_the_size_and_tells_turned_text():
    found = lines_of(("Up", [0.0, 2.0, -2.0, 0.0, 20.0, 300.0], "/Times-Roman", 9.0))
    assert found == [["Up", 20.0, 300.0, 18.0, False, True]]


def test_tex_brackets_are_read_and_blanks_stay_blank():
    found = lines_of(("\x10 ct \x11 \x12x\x13", at(72, 700), "/ABCDEF+CMEX10", 10.0))
    assert found[0][0] == "( ct ) (x)"


def test_control_codes_of_other_fonts_stay_for_the_cleaning():
    assert lines_of(("\x13", at(72, 700), "/Dingbats", 10.0))[0][0] == "\x13"


def test_form_feeds_and_separators_do_not_end_a_line():
    assert len(lines_of(("a\x0cb\x1cc\x85d\u2028e", at(72, 700), "/Times-Roman", 10.0))) == 1


def test_titles_and_labels_of_broken_utf_16_leave_the_child_as_text(capfdbinary):
    emit({"title": "a\ud800 T\u00e9", "labels": ["\udfff", "\u2028\r\n"]})
    (line,) = capfdbinary.readouterr().out.decode().split("\n")[:-1]
    assert json.loads(line) == {"title": "a? Té", "labels": ["?", "\u2028\r\n"]}

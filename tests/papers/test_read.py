"""PDFs that the test writes itself: what is broken, what is slow, what is laid out oddly."""

import dataclasses
import importlib.util
import json
import logging
import os
import warnings

import pytest
from pypdf import PdfWriter
from pypdf._encryption import AlgV4
from pypdf.generic import NameObject

from app.papers.read import read_paper
from app.papers.records import PaperError

NO_AES = importlib.util.find_spec("cryptography") is None
needs_no_aes = pytest.mark.skipif(not NO_AES, reason="cryptography is installed: AES can be read")


def reason_of(path) -> str:
    """The one error of a file; it names the file and says what to do."""
    with pytest.raises(PaperError) as caught:
        read_paper(path)
    message = str(caught.value)
    assert path.name in message
    assert caught.value.reason and caught.value.remedy
    assert "\n" not in message
    return message


def test_a_sound_file_reads_without_a_word(make_pdf, prose, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        paper = read_paper(make_pdf([prose, prose]))
    assert [page.number for page in paper.pages] == [1, 2]
    assert paper.skipped == ()
    assert paper.pages[0].text.startswith("The memory cell of the network is a scalar")
    assert len(paper.sha256) == 64
    assert capfd.readouterr() == ("", "")


def test_the_log_of_pypdf_is_left_as_it_was(make_pdf, prose):
    before = logging.getLogger("pypdf").level
    read_paper(make_pdf([prose]))
    assert logging.getLogger("pypdf").level == before


def test_no_such_file(tmp_path):
    assert "no such file" in reason_of(tmp_path / "gone.pdf")


def test_a_folder_is_no_paper(tmp_path):
    assert "folder" in reason_of(tmp_path)


def test_an_empty_file(tmp_path):
    (tmp_path / "empty.pdf").write_bytes(b"")
    assert "empty" in reason_of(tmp_path / "empty.pdf")


def test_a_web_page_named_pdf(tmp_path):
    (tmp_path / "page.pdf").write_text("<html>Please log in</html>")
    assert "not a PDF" in reason_of(tmp_path / "page.pdf")


def test_a_truncated_file(make_pdf, prose):
    path = make_pdf([prose] * 3)
    path.write_bytes(path.read_bytes()[:-400])
    assert "cut off" in reason_of(path)


def test_a_file_damaged_inside(make_pdf, prose):
    path = make_pdf([prose])
    path.write_bytes(path.read_bytes()[:400] + b"\n%%EOF\n")
    assert "damaged" in reason_of(path)


def test_a_file_without_pages(make_pdf):
    assert "no pages" in reason_of(make_pdf([]))


def test_images_only(make_pdf):
    message = reason_of(make_pdf([b"0 0 m 9 9 l S"] * 3))
    assert "no text layer: 3 pages" in message
    assert "OCR" in message


def test_garbled_fonts(make_pdf):
    line = "\xa6\xa7\xa8 \xb0\xb1%$#@ \xa6\xb6\xb8 qzx \xa6\xa7\xa8\xb0 jkq"
    page = [(72, 700 - 12 * i, 10, line) for i in range(40)]
    assert "no readable text" in reason_of(make_pdf([page]))


def test_a_password(make_pdf, prose, tmp_path):
    writer = PdfWriter(clone_from=make_pdf([prose]))
    writer.encrypt("secret", algorithm="RC4-128")
    with (tmp_path / "locked.pdf").open("wb") as file:
        writer.write(file)
    assert "password" in reason_of(tmp_path / "locked.pdf")


def test_permissions_alone_lock_nobody_out(make_pdf, prose, tmp_path):
    writer = PdfWriter(clone_from=make_pdf([prose]))
    writer.encrypt("", "owner", algorithm="RC4-128")
    with (tmp_path / "rights.pdf").open("wb") as file:
        writer.write(file)
    assert "memory cell" in read_paper(tmp_path / "rights.pdf").pages[0].text


def aes_128() -> str:
    """An encryption entry with an empty user password, as permission-only files have it."""
    owner = AlgV4.compute_O_value(AlgV4.compute_O_value_key(b"owner", 4, 128), b"", 4)
    key = AlgV4.compute_key(b"", 4, 128, owner, (-44) & 0xFFFFFFFF, b"\0", True)
    user = AlgV4.compute_U_value(key, 4, b"\0")
    return (
        f"<< /Filter /Standard /V 4 /R 4 /Length 128 /P -44 /O <{owner.hex()}> /U <{user.hex()}> "
        "/CF << /StdCF << /CFM /AESV2 /Length 16 >> >> /StmF /StdCF /StrF /StdCF >>"
    )


def aes_256() -> str:
    long, short = "00" * 48, "00" * 32
    return (
        f"<< /Filter /Standard /V 5 /R 6 /Length 256 /P -44 /O <{long}> /U <{long}> /OE <{short}> "
        f"/UE <{short}> /Perms <{'00' * 16}> /CF << /StdCF << /CFM /AESV3 /Length 32 >> >> "
        "/StmF /StdCF /StrF /StdCF >>"
    )


@needs_no_aes
@pytest.mark.parametrize("entry", [aes_128, aes_256])
def test_aes_asks_for_the_package(make_pdf, prose, entry):
    path = make_pdf([prose], extra={"Encrypt": entry(), "ID": "[<00><00>]"})
    assert "pip install cryptography" in reason_of(path)


def test_a_page_that_takes_too_long_is_skipped_and_named(make_pdf, prose):
    path = make_pdf([prose, b"0 0 m 1 1 l S\n" * 1_500_000, prose])
    with pytest.warns(UserWarning, match=r"paper\.pdf: page 2 skipped: took longer than 4 s"):
        paper = read_paper(path, seconds_per_page=4)
    assert [number for number, _ in paper.skipped] == [2]
    assert [bool(page.text) for page in paper.pages] == [True, False, True]


def test_a_page_that_raises_is_skipped_and_named(make_pdf, prose):
    path = make_pdf([prose, prose, prose])
    writer = PdfWriter(clone_from=path)
    contents = writer.pages[1]["/Contents"]
    contents[NameObject("/Filter")] = NameObject("/Nonsense")
    with path.open("wb") as file:
        writer.write(file)
    with pytest.warns(UserWarning, match="page 2 skipped: NotImplementedError"):
        paper = read_paper(path)
    assert [bool(page.text) for page in paper.pages] == [True, False, True]


def test_printed_labels_stand_beside_physical_numbers(make_pdf, prose):
    path = make_pdf([prose] * 4)
    writer = PdfWriter(clone_from=path)
    writer.set_page_label(0, 1, style="/r")
    writer.set_page_label(2, 3, style="/D", start=101)
    with path.open("wb") as file:
        writer.write(file)
    pages = read_paper(path).pages
    assert [(page.number, page.label) for page in pages] == [
        (1, "i"),
        (2, "ii"),
        (3, "101"),
        (4, "102"),
    ]


def test_the_title_is_the_largest_type_above_the_abstract(make_pdf, prose):
    page = [
        (72, 750, 17, "A Title of Two Lines with a Broken Hyphen-"),
        (72, 730, 17, "ation in It"),
        (72, 710, 11, "A. Writer"),
        (72, 690, 12, "Abstract"),
        *[(x, y - 40, size, text) for x, y, size, text in prose],
        (72, 200, 30, "FIGURE"),
    ]
    paper = read_paper(make_pdf([page], extra={"Info": "<< /Title (nc.dvi) >>"}))
    assert paper.title == "A Title of Two Lines with a Broken Hyphenation in It"


def test_paragraphs_columns_and_footnotes(make_pdf):
    page = [
        (72, 700, 10, "The first paragraph of the left column has two lines of text and it"),
        (72, 688, 10, "ends here with a full stop."),
        (84, 676, 10, "The second paragraph is set in by a little and goes on to the foot of the"),
        (72, 664, 10, "column where a note of the authors cuts the sentence into two parts that"),
        (72, 640, 7, "1A note in small type that stands at the foot of the column."),
        (320, 700, 10, "belong together for every reader of the paper."),
        (332, 688, 10, "The third paragraph stands in the right column and is set in as well to"),
        (320, 676, 10, "show that it is new."),
    ]
    text = read_paper(make_pdf([page])).pages[0].text
    assert text.split("\n") == [
        "The first paragraph of the left column has two lines of text and it ends here with a full "
        "stop.",
        "The second paragraph is set in by a little and goes on to the foot of the column where a "
        "note of the authors cuts the sentence into two parts that belong together for every "
        "reader of the paper.",
        "1A note in small type that stands at the foot of the column.",
        "The third paragraph stands in the right column and is set in as well to show that it is "
        "new.",
    ]


def test_axis_labels_are_figure_text(make_pdf, prose):
    ticks = [(300 + i, 500 - 9 * i, 7, f"0.{i}") for i in range(12)]
    paper = read_paper(make_pdf([[*prose, *ticks]]))
    assert [paper.pages[s.page - 1].text[s.start : s.end] for s in paper.figures] == [
        " ".join(f"0.{i}" for i in range(12))
    ]


def test_references_begin_inside_the_page_and_the_appendix_after_them(make_pdf, prose):
    low = [(x, y - 150, size, text) for x, y, size, text in prose]
    refs = [
        (72, 480, 14, "References"),
        (72, 460, 10, "A. Writer. The title of the book of the writer. Journal of Books, 1999."),
    ]
    first = [(72, 760, 20, "The Title of the Paper"), (72, 730, 14, "1 Introduction"), *prose]
    first += [*low, *refs]
    second = [(72, 730, 14, "A Proofs of the Theorems"), *prose]
    paper = read_paper(make_pdf([first, second]))
    assert [(s.title, s.part, s.span.page) for s in paper.sections] == [
        ("1 Introduction", "main", 1),
        ("References", "references", 1),
        ("A Proofs of the Theorems", "appendix", 2),
    ]
    assert [page.part for page in paper.pages] == ["main", "appendix"]


def test_a_name_that_is_not_utf_8_becomes_text(make_pdf, prose):
    name = os.fsdecode(b"bad\xff.pdf")
    paper = read_paper(make_pdf([prose], name=name))
    assert paper.file == "bad\ufffd.pdf"
    json.dumps(dataclasses.asdict(paper), ensure_ascii=False).encode()

"""Opening papers: what is indexed when, what is said about it, and what is left alone."""

import errno
import html
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app.papers.chunk import ChunkSettings
from app.papers.records import PaperError
from app.retrieve import index as disk
from app.retrieve.library import Library
from app.show.html import page_href

ONE = ["1|main|1 Start|Gates keep memory.|Rain fell.", "2|references|References|Gates. 1997."]
TWO = ["1|main|1 Start|Attention is quadratic.|Keys meet queries."]
SENTENCES = {"Gates keep memory.", "Rain fell.", "Gates. 1997."}


@pytest.fixture
def open_library(tmp_path, embedder):
    def opened(*paths, **settings):
        embedder.encoded.clear()
        settings = {"progress": False, "embedder": embedder, **settings}
        return Library.open(paths, index=tmp_path / "index", **settings)

    return opened


def folders(tmp_path):
    return sorted(path.name for path in (tmp_path / "index").iterdir())


def test_a_paper_is_embedded_once_and_then_read(pdfs, open_library, embedder):
    path = pdfs("one.pdf", *ONE)
    first = open_library(path)
    assert sorted(embedder.encoded) == sorted(SENTENCES)
    second = open_library(path)
    assert embedder.encoded == [] and second.messages == []
    assert second.papers == first.papers and second.chunks == first.chunks
    for chunk in first.chunks:
        assert np.array_equal(first.vector(chunk.id), second.vector(chunk.id))
        sentences = second.sentence_vectors(chunk.id)
        assert np.array_equal(first.sentence_vectors(chunk.id), sentences)
        assert np.array_equal(sentences, embedder.encode([s.text for s in chunk.sentences]))


def test_adding_a_paper_embeds_only_that_paper(pdfs, open_library, embedder):
    one, two = pdfs("one.pdf", *ONE), pdfs("two.pdf", *TWO)
    open_library(one)
    library = open_library(one, two)
    assert embedder.encoded == ["Attention is quadratic.", "Keys meet queries."]
    assert [paper.file for paper in library.papers] == ["one.pdf", "two.pdf"]
    assert library.messages == []


def test_progress_says_which_of_how_many_papers(pdfs, open_library, embedder):
    paths = [pdfs("one.pdf", *ONE), pdfs("two.pdf", *TWO)]
    open_library(paths[0], progress=True)
    open_library(*paths, progress=True)
    assert embedder.labels == ["one.pdf", "2/2 two.pdf"]


def test_what_was_done_before_an_interruption_is_kept(pdfs, open_library, embedder, monkeypatch):
    paths = [pdfs("one.pdf", *ONE), pdfs("two.pdf", *TWO)]
    encode = embedder.encode

    def interrupted(texts, progress=None):
        if embedder.encoded:
            raise KeyboardInterrupt
        return encode(texts, progress)

    monkeypatch.setattr(embedder, "encode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        open_library(*paths)
    monkeypatch.setattr(embedder, "encode", encode)
    library = open_library(*paths)
    assert embedder.encoded == ["Attention is quadratic.", "Keys meet queries."]
    assert len(library.papers) == 2 and library.messages == []


def test_a_changed_paper_is_indexed_anew_and_only_itself(pdfs, open_library, embedder):
    one, two = pdfs("one.pdf", *ONE), pdfs("two.pdf", *TWO)
    open_library(one, two)
    pdfs("two.pdf", "1|main|1 Start|Attention is linear.")
    library = open_library(one, two)
    assert embedder.encoded == ["Attention is linear."]
    assert library.messages == ["two.pdf: index made anew (the PDF changed)"]
    assert [c.text for c in library.chunks if c.paper == "two.pdf"] == ["Attention is linear."]


def test_stale_settings_are_said_and_not_used(pdfs, open_library, embedder, monkeypatch):
    path = pdfs("one.pdf", *ONE)
    open_library(path)
    library = open_library(path, settings=ChunkSettings(words=50))
    assert library.messages == ["one.pdf: index made anew (other chunk settings)"]
    assert embedder.encoded
    library = open_library(path, vectors="whole")
    assert "vectors of chunks made another way" in library.messages[0]
    monkeypatch.setattr(disk, "_version", lambda package: "99")
    assert "pypdf, another version of fonttools" in open_library(path).messages[0]
    embedder.fingerprint = "3" * 64
    assert "another embedder" in open_library(path).messages[0]


def test_three_ways_to_a_chunks_vector(pdfs, open_library, embedder):
    path = pdfs("one.pdf", "1|main|1 Start|One two three four.|Five.", "1|main|1 Start|Alone.")
    library = open_library(path)
    one, five, alone = embedder.encode(["One two three four.", "Five.", "Alone."])
    mean = 2 * one + five  # roots of four words and of one
    assert np.allclose(library.vector("one.pdf:0000"), mean / np.linalg.norm(mean), atol=1e-6)
    assert np.allclose(library.vector("one.pdf:0001"), alone, atol=1e-6)
    library = open_library(path, vectors="whole")
    assert sorted(embedder.encoded) == [
        "Alone.",  # chunk and sentence alike: embedded once
        "Five.",
        "One two three four.",
        "One two three four. Five.",
    ]
    assert np.array_equal(
        library.vector("one.pdf:0000"), embedder.encode(["One two three four. Five."])[0]
    )
    library = open_library(path, vectors="titled")
    titled = embedder.encode(["A Title. 1 Start. One two three four. Five."])[0]
    assert np.array_equal(library.vector("one.pdf:0000"), titled)
    assert library.chunks[0].text == "One two three four. Five."


def test_going_back_to_earlier_settings_costs_nothing(pdfs, open_library, embedder):
    path = pdfs("one.pdf", *ONE)
    open_library(path)
    open_library(path, vectors="whole")
    assert open_library(path).messages == [] and embedder.encoded == []


@pytest.mark.parametrize("name", ["index.faiss", "sentences.npy", "paper.json", "manifest.json"])
@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_a_damaged_index_is_made_anew_with_a_message(
    pdfs, open_library, embedder, tmp_path, name, harm
):
    path = pdfs("one.pdf", *ONE)
    expected = open_library(path)
    file = next((tmp_path / "index").glob(f"one-*/{name}"))
    data = file.read_bytes()
    middle = len(data) // 2
    if harm == "remove":
        file.unlink()
    elif harm == "cut":
        file.write_bytes(data[:middle])
    else:
        file.write_bytes(data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :])
    before = folders(tmp_path)
    library = open_library(path)
    assert len(library.messages) == 1 and "one.pdf: index made anew, for " in library.messages[0]
    assert len(embedder.encoded) == 3 and library.chunks == expected.chunks
    assert folders(tmp_path) == before
    assert open_library(path).messages == [] and embedder.encoded == []


def test_the_same_paper_twice_counts_once(pdfs, open_library):
    one, copy = pdfs("one.pdf", *ONE), pdfs("copy.pdf", *ONE)
    assert open_library(one, one, str(one)).messages == []
    library = open_library(one, copy, one)
    assert [paper.file for paper in library.papers] == ["one.pdf"]
    assert library.messages == [f"{copy}: the same paper as {one}, used once"]
    assert len(library.store) == len(library.chunks) == 2


def test_two_papers_of_one_name_are_not_mixed_up(pdfs, open_library, tmp_path):
    one = pdfs("one.pdf", *ONE)
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "one.pdf"
    other.write_text(TWO[0])
    library = open_library(one, other)
    assert len(library.papers) == 1
    assert "same file name; rename" in str(library.failures[0])


def test_one_bad_paper_does_not_stop_the_others(open_library, pdfs, monkeypatch):
    import app.retrieve.library as home

    good, read = pdfs("one.pdf", *ONE), home.read_paper

    def refuse(path):
        if "bad" in Path(path).name:
            raise PaperError(Path(path).name, "is a scan", "run OCR")
        return read(path)

    monkeypatch.setattr(home, "read_paper", refuse)
    bad, worse = pdfs("bad.pdf", "x"), pdfs("bad2.pdf", "y")
    missing = bad.with_name("missing.pdf")
    library = open_library(bad, good, missing)
    assert [failure.file for failure in library.failures] == ["bad.pdf", str(missing)]
    assert "not read: bad.pdf: is a scan; run OCR" in str(library)
    with pytest.raises(PaperError, match="is a scan; run OCR"):
        open_library(bad)
    with pytest.raises(PaperError, match=r"2 papers: bad\.pdf: is a scan; bad2\.pdf: is a scan"):
        open_library(bad, worse)
    with pytest.raises(PaperError, match="none was named"):
        open_library()


def test_skipped_pages_are_said_every_time(open_library, pdfs, monkeypatch):
    import dataclasses

    import app.retrieve.library as home

    read = home.read_paper
    skipped = ((3, "took too long"),)
    monkeypatch.setattr(
        home, "read_paper", lambda path: dataclasses.replace(read(path), skipped=skipped)
    )
    path = pdfs("one.pdf", *ONE)
    for _ in range(2):
        assert open_library(path).messages == ["one.pdf: page 3 skipped: took too long"]


def test_leftovers_of_dead_writers_go(open_library, pdfs, tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / "index" / f".writing-{dead.pid}-0a-{disk._host()}").mkdir(parents=True)
    open_library(pdfs("one.pdf", *ONE))
    assert len(folders(tmp_path)) == 1


def test_papers_are_known_by_several_names(library):
    assert library.file_of("a.pdf") == library.file_of("A") == "a.pdf"


def test_a_library_shows_itself_as_inert_html(library):
    shown = library._repr_html_()
    assert "a.pdf" in shown and "2 papers to ask" in shown
    library.messages.append("<script>alert(1)</script>")
    assert "<script" not in library._repr_html_()
    assert html.escape("<script>") in library._repr_html_()
    assert str(library).startswith("Library(2 papers, 8 chunks)")


def test_the_exact_name_goes_before_one_that_differs_in_case(pdfs, open_library):
    names = ["paper.pdf", "Paper.pdf", "Other.pdf", "Other.pdf.pdf"]
    texts = ["1|main|1 Start|" + word for word in ("One.", "Two.", "Three.", "Four.")]
    for order in (1, -1):
        library = open_library(*[pdfs(n, t) for n, t in zip(names, texts)][::order])
        for name in names:
            assert library.file_of(name) == name
        assert library.file_of("Paper") == "Paper.pdf" and library.file_of("paper") == "paper.pdf"
        assert library.file_of("OTHER") == "Other.pdf"
        with pytest.raises(ValueError, match="may mean any of .*aper.pdf, .*aper.pdf"):
            library.file_of("PAPER.pdf")
        with pytest.raises(ValueError, match="no paper 'none'; there are"):
            library.file_of("none")


def test_a_name_that_is_not_utf_8_is_shown_as_text_and_linked_as_it_is(pdfs, open_library):
    path = pdfs(os.fsdecode(b"bad\xff.pdf"), *ONE)
    library = open_library(path)
    assert list(library.paths) == ["bad\ufffd.pdf"] and library.paths["bad\ufffd.pdf"] == str(path)
    assert "bad%FF.pdf#page=1" in page_href(library.paths["bad\ufffd.pdf"], 1)
    same = open_library(path, pdfs(os.fsdecode(b"bad\xfe.pdf"), *TWO))
    assert "same file name; rename" in str(same.failures[0])


@pytest.mark.parametrize("what", ["a file", "a dangling link", "below a file", "read-only", "full"])
def test_an_index_that_cannot_be_written_is_named_with_the_way_out(
    pdfs, embedder, tmp_path, monkeypatch, what
):
    place = tmp_path / "place"
    if what in ("a file", "below a file"):
        place.write_text("x")
        place = place / "index" if what == "below a file" else place
    elif what == "a dangling link":
        place.symlink_to("nowhere")
    elif what == "read-only":
        place.mkdir()
        monkeypatch.setattr(os, "access", lambda path, mode: False)
    else:
        monkeypatch.setattr(disk, "_write_file", full_disk)
    with pytest.raises(disk.UnusableFolder) as caught:
        Library.open(pdfs("one.pdf", *ONE), index=place, embedder=embedder, progress=False)
    said = str(caught.value)
    assert (
        str(place) in said and "--index FOLDER" in said and "\n" not in said and "Errno" not in said
    )
    assert what == "full" or embedder.encoded == []  # said before a paper is embedded in vain
    assert not list(tmp_path.glob("**/.writing-*"))


def full_disk(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_whole_index_in_a_read_only_folder_is_used(pdfs, open_library, tmp_path, monkeypatch):
    path = pdfs("one.pdf", *ONE)
    expected = open_library(path)
    for number in range(disk.KEPT_PER_PAPER + 1):
        (tmp_path / "index" / f"one-{number:012x}").mkdir()
    (tmp_path / "index" / ".writing-1-0a-elsewhere").mkdir()

    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for name in ("utime", "rmdir", "unlink", "rename", "mkdir"):
        monkeypatch.setattr(os, name, refuse)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    library = open_library(path)
    assert library.chunks == expected.chunks and library.messages == []


def test_a_pipe_is_no_paper_and_not_waited_for(pdfs, open_library, tmp_path):
    os.mkfifo(tmp_path / "pipe.pdf")
    library = open_library(pdfs("one.pdf", *ONE), tmp_path / "pipe.pdf")
    assert "is no regular file" in str(library.failures[0])

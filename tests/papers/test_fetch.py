"""What a user may name, and downloads from a stand-in for arXiv: no test reaches the network."""

import io
import subprocess
import sys
from email.message import Message
from urllib.error import URLError

import pytest

from app.papers import fetch
from app.papers.fetch import find_papers, find_papers_or
from app.papers.records import PaperError


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise URLError("no network")

    monkeypatch.setattr(fetch, "urlopen", refuse)


def serve(monkeypatch, body: bytes, length: int | None = None) -> list[str]:
    """Let every download give `body`; the list collects the addresses asked for."""
    asked = []

    def answer(request, timeout):
        asked.append(request.full_url)
        response = io.BytesIO(body)
        response.headers = Message()
        response.headers["Content-Length"] = str(len(body) if length is None else length)
        return response

    monkeypatch.setattr(fetch, "urlopen", answer)
    return asked


def test_a_folder_gives_its_papers_by_name(tmp_path):
    for name in ("b.pdf", "a.PDF", "c.txt", "10.pdf"):
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in find_papers(tmp_path)] == ["10.pdf", "a.PDF", "b.pdf"]


def test_each_paper_comes_once_in_the_order_given(tmp_path):
    for name in ("a.pdf", "b.pdf"):
        (tmp_path / name).write_bytes(b"x")
    found = find_papers(tmp_path / "b.pdf", tmp_path)
    assert [path.name for path in found] == ["b.pdf", "a.pdf"]


@pytest.mark.parametrize(
    ("spec", "reason"),
    [("gone.pdf", "no such file"), ("arxiv:nonsense", "not an arXiv id"), (".", "no PDF in it")],
)
def test_what_leads_nowhere_is_named(tmp_path, monkeypatch, spec, reason):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PaperError, match=reason) as caught:
        find_papers(spec)
    assert caught.value.file == spec


@pytest.mark.parametrize("spec", ["arxiv:2405.04517v1", "2405.04517v1", "arXiv:2405.04517"])
def test_a_local_file_with_the_id_is_taken_without_network(tmp_path, no_network, spec):
    for name in ("xlstm-2405.04517v1.pdf", "other-2405.04518v1.pdf", "2405.04517v1.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in find_papers(spec, folder=tmp_path)] == ["xlstm-2405.04517v1.pdf"]


def test_version_10_is_not_version_1(tmp_path, no_network):
    (tmp_path / "2405.04517v10.pdf").write_bytes(b"x")
    with pytest.raises(PaperError):
        find_papers("arxiv:2405.04517v1", folder=tmp_path)


def test_without_a_version_the_error_asks_for_one(tmp_path, no_network):
    with pytest.raises(PaperError, match=r"names no version; write it like arxiv:2405.04517v1"):
        find_papers("arxiv:2405.04517", folder=tmp_path)


def test_without_network_the_error_says_where_to_put_the_file(tmp_path, no_network):
    with pytest.raises(PaperError) as caught:
        find_papers("arxiv:2405.04517v1", folder=tmp_path)
    assert str(tmp_path / "2405.04517v1.pdf") in str(caught.value)
    assert "no network" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_downloaded_unless_asked(tmp_path, monkeypatch):
    asked = serve(monkeypatch, b"%PDF-1.5 text")
    with pytest.raises(PaperError, match="put its PDF at"):
        find_papers("arxiv:2405.04517v1", folder=tmp_path, download=False)
    assert asked == []


def test_a_download_appears_whole_under_its_id(tmp_path, monkeypatch, capsys):
    asked = serve(monkeypatch, b"%PDF-1.5" + b"x" * 200_000)
    found = find_papers("arxiv:2405.04517v1", folder=tmp_path / "new")
    assert found == [tmp_path / "new" / "2405.04517v1.pdf"]
    assert asked == ["https://arxiv.org/pdf/2405.04517v1"]
    assert found[0].stat().st_size == 200_008
    assert "arxiv:2405.04517v1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("body", "length", "reason"),
    [(b"<html>no</html>", None, "not a PDF"), (b"%PDF-1.5 half", 999, "only in part")],
)
def test_a_bad_download_leaves_nothing(tmp_path, monkeypatch, body, length, reason):
    serve(monkeypatch, body, length)
    with pytest.raises(PaperError, match=reason):
        find_papers("arxiv:2405.04517v1", folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_fallback_says_plainly_what_is_read(tmp_path, no_network):
    note = tmp_path / "note.pdf"
    note.write_bytes(b"x")
    paths, notice = find_papers_or("arxiv:2405.04517v1", note, folder=tmp_path)
    assert paths == [note]
    assert "note.pdf instead of arxiv:2405.04517v1" in notice
    assert "put its PDF at" in notice


def test_no_notice_where_the_paper_is_found(tmp_path, no_network):
    paper = tmp_path / "2405.04517v1.pdf"
    paper.write_bytes(b"x")
    assert find_papers_or("arxiv:2405.04517v1", "gone.pdf", folder=tmp_path) == ([paper], "")


def test_importing_is_quick_and_pulls_in_nothing_heavy():
    code = (
        "import sys; import app.papers.fetch, app.papers.read, app.papers.chunk; "
        "heavy = {'torch', 'pypdf', 'tqdm', 'numpy', 'langchain_core'} & set(sys.modules); "
        "print(sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""From what a user names (a file, a folder, an arXiv id) to the paths of PDF files.

It reaches the network only for an arXiv id that is not in the folder, and never reads the text.
"""

import os
import re
import tempfile
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from app.papers.records import PaperError

ARXIV_ID = re.compile(
    r"(?:arxiv:)?((?:\d{4}\.\d{4,5}|[a-z-]+(?:\.[A-Z]{2})?/\d{7}))(v\d+)?", re.IGNORECASE
)
ARXIV_PDF = "https://arxiv.org/pdf/{id}"
TIMEOUT_SECONDS = 30
BLOCK_BYTES = 1 << 16


def find_papers(
    *specs: str | Path, folder: str | Path = "data/papers", download: bool = True
) -> list[Path]:
    """Paths of the papers that `specs` name, each once, in the order given.

    A spec is a PDF file, a folder (all its PDFs by name) or `arxiv:ID` with a version; the last is
    taken from `folder` where a file name there contains the id, and downloaded to it otherwise.
    Raises PaperError for a spec that leads nowhere.
    """
    paths: dict[Path, None] = {}
    for spec in specs:
        for path in _find(str(spec), Path(folder), download):
            paths.setdefault(path)
    return list(paths)


def find_papers_or(
    spec: str | Path,
    fallback: str | Path,
    *,
    folder: str | Path = "data/papers",
    download: bool = True,
) -> tuple[list[Path], str]:
    """Papers of `spec`, or `fallback` where they are not to be had; and a notice for the reader.

    The notice is empty when `spec` was found, and says plainly what is read instead otherwise.
    """
    try:
        return find_papers(spec, folder=folder, download=download), ""
    except PaperError as problem:
        paths = find_papers(fallback, folder=folder, download=False)
        names = ", ".join(path.name for path in paths)
        return paths, f"Reading {names} instead of {spec}. {problem}."


def _find(spec: str, folder: Path, download: bool) -> list[Path]:
    path = Path(spec).expanduser()
    if path.is_dir():
        found = sorted(
            each for each in path.iterdir() if each.suffix.lower() == ".pdf" and each.is_file()
        )
        if not found:
            raise PaperError(spec, "has no PDF in it", "put papers there or name another folder")
        return found
    if path.is_file():
        return [path]
    match = ARXIV_ID.fullmatch(spec)
    if match:
        return [_find_arxiv(match[1].lower(), (match[2] or "").lower(), folder, download)]
    if spec.lower().startswith("arxiv:"):
        raise PaperError(spec, "is not an arXiv id", "write it like arxiv:2405.04517v1")
    raise PaperError(spec, "no such file or folder", "check the path, or write arxiv:ID for arXiv")


def _find_arxiv(number: str, version: str, folder: Path, download: bool) -> Path:
    """The local file whose name contains the id, else the downloaded one."""
    name = re.escape((number + version).replace("/", "_"))
    wanted = re.compile(rf"(?<!\d){name}(?!\d)", re.IGNORECASE)
    files = sorted(folder.glob("*")) if folder.is_dir() else []
    local = [each for each in files if each.suffix.lower() == ".pdf" and wanted.search(each.name)]
    name = f"arxiv:{number}{version}"
    if len(local) > 1:
        names = ", ".join(each.name for each in local)
        raise PaperError(name, f"several files in {folder} bear this id ({names})", "name the file")
    if local:
        return local[0]
    if not version:
        raise PaperError(name, "names no version", f"write it like arxiv:{number}v1")
    target = folder / f"{number.replace('/', '_')}{version}.pdf"
    if not download:
        raise PaperError(name, f"is not in {folder}", f"put its PDF at {target}")
    return _download(name, ARXIV_PDF.format(id=number + version), target)


def _download(name: str, url: str, target: Path) -> Path:
    """Fetch a PDF with a progress bar; the file appears under its name only when whole."""
    from tqdm.auto import tqdm  # only a download draws a bar

    remedy = f"put its PDF at {target} by hand"
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=target.parent, prefix=".download-", suffix=".part")
    try:
        request = Request(url, headers={"User-Agent": "paper-notebook"})
        with urlopen(request, timeout=TIMEOUT_SECONDS) as answer, os.fdopen(handle, "wb") as out:
            size = int(answer.headers.get("Content-Length") or 0)
            with tqdm(total=size or None, unit="B", unit_scale=True, desc=name) as bar:
                while block := answer.read(BLOCK_BYTES):
                    out.write(block)
                    bar.update(len(block))
            got = out.tell()
            out.flush()
            os.fsync(out.fileno())
        _check_download(name, Path(part), got, size, url, remedy)
        os.replace(part, target)
    except (URLError, OSError) as problem:
        reason = getattr(problem, "reason", None) or problem
        raise PaperError(name, f"could not be downloaded from {url} ({reason})", remedy) from None
    finally:
        Path(part).unlink(missing_ok=True)
    return target


def _check_download(name: str, part: Path, got: int, size: int, url: str, remedy: str) -> None:
    if size and got != size:
        raise PaperError(
            name, f"came only in part ({got} of {size} bytes)", f"try again, or {remedy}"
        )
    with part.open("rb") as file:
        if b"%PDF-" not in file.read(1024):
            raise PaperError(name, f"{url} gave something that is not a PDF", remedy)

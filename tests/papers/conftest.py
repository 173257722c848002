"""PDFs made by program: a page is a list of (x, y, size, text), or raw drawing orders."""

from collections.abc import Callable
from pathlib import Path

import pytest

Page = list[tuple[float, float, float, str]] | bytes


def page_stream(page: Page) -> bytes:
    if isinstance(page, bytes):
        return page
    parts = []
    for x, y, size, text in page:
        escaped = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        parts.append(f"BT /F1 {size} Tf 1 0 0 1 {x} {y} Tm ({escaped}) Tj ET")
    return "\n".join(parts).encode("latin-1")


def pdf_bytes(pages: list[Page], extra: dict[str, str] | None = None, stream: str = "") -> bytes:
    """A PDF by hand; `extra` holds trailer entries, `stream` more entries of the streams."""
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for i, page in enumerate(pages):
        content = page_stream(page)
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * i} 0 R "
            f"/Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        head = f"<< /Length {len(content)} {stream} >>\nstream\n".encode()
        objects.append(head + content + b"\nendstream")
    out, offsets = b"%PDF-1.6\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{offset:010d} 00000 n \n".encode() for offset in offsets)
    entries = " ".join(f"/{key} {value}" for key, value in (extra or {}).items())
    out += f"trailer << /Size {len(objects) + 1} /Root 1 0 R {entries} >>\n".encode()
    return out + f"startxref\n{start}\n%%EOF\n".encode()


@pytest.fixture
def make_pdf(tmp_path: Path) -> Callable[..., Path]:
    """`make_pdf(pages, name="paper.pdf", extra=None, stream="")` writes a PDF, gives its path."""

    def make(pages: list[Page], name: str = "paper.pdf", **more) -> Path:
        path = tmp_path / name
        path.write_bytes(pdf_bytes(pages, **more))
        return path

    return make


@pytest.fixture
def prose() -> list[tuple[float, float, float, str]]:
    """A page of plain sentences."""
    lines = [
        "The memory cell of the network is a scalar and the gates of the network are vectors.",
        "It is known that the model of the first part reads the words in the order of the text.",
        "We test the model on the data of the second part and find that it is better than before.",
    ]
    return [(72, 700 - 12 * i, 10, line) for i, line in enumerate(lines)]

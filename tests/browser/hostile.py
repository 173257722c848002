"""A PDF whose title and text are full of what a page, a notebook or a renderer might obey."""

from pathlib import Path

SCRIPT = "<script>window.taken=1;alert(1)</script>"
TITLE = f'{SCRIPT}<img src=x onerror="window.taken=2"> ]]> --> $\\alpha$ `code` </title>'
LINES = (
    "1 Introduction",
    f"The hostile network begins with {SCRIPT} and keeps its memory in a matrix.",
    'Its gate is exponential <img src=x onerror="window.taken=3;alert(3)"> and never saturates.',
    "</section></style></details></table><svg onload=alert(4)> The forget gate closes the cell.",
    '"><iframe src="javascript:alert(5)"></iframe> The memory of the network has 64 rows.',
    "A formula such as $\\href{javascript:alert(6)}{x}$ or \\(y\\) is only text in this network.",
    "[a link](javascript:alert(7)) and `code` and **bold** and | a | table | are text as well.",
    "The end of a cell %%javascript alert(8) or a null escape \\u0000 changes nothing here.",
)


def write(path: Path) -> Path:
    """One page in Helvetica with the title in large type and the lines below it."""
    shown = [f"/F1 15 Tf 50 790 Td {literal(TITLE)} Tj", "/F1 9 Tf"]
    for line in LINES:
        shown.append(f"0 -22 Td {literal(line)} Tj")
    stream = ("BT " + " ".join(shown) + " ET").encode("latin-1")
    bodies = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 900 842] /Contents 5 0 R "
        b"/Resources << /Font << /F1 4 0 R >> >> >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Title %s >>" % literal(TITLE).encode("latin-1"),
    ]
    out, offsets = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(bodies, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(bodies) + 1, table)
    out += b"trailer << /Size %d /Root 1 0 R /Info 6 0 R >>\n" % (len(bodies) + 1)
    out += b"startxref\n%d\n%%%%EOF\n" % start
    path.write_bytes(bytes(out))
    return path


def literal(text: str) -> str:
    """A PDF string."""
    return "(" + text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)") + ")"

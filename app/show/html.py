"""HTML from strings, numbers and spans: no script, nothing from outside, every value escaped.

It never sees a record; the order and the words carry the meaning, the style only adds to it.
"""

import hashlib
import html
import itertools
import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from urllib.parse import quote

from app.show.text import Spans, pieces, plain

_MATH = re.compile(r"[$\\]")
_VOID = frozenset({"br", "wbr", "hr", "meta", "img"})
_numbers = itertools.count(1)


def escape(text: str) -> str:
    """Text that a page shows exactly; MathJax leaves `$` and backslash alone in their spans."""
    return _MATH.sub(lambda m: f"<span>{m[0]}</span>", html.escape(plain(text), quote=True))


def tag(name: str, /, *content: str, **attributes: str | int | bool | None) -> str:
    """An element around content that is HTML already.

    Attribute values are escaped; `class_` is written `class`, `_` becomes `-`, None and False are
    left out, True stands without a value.
    """
    written = [name]
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            written.append(key)
        elif value is not None and value is not False:
            written.append(f'{key}="{html.escape(plain(str(value)), quote=True)}"')
    opening = f"<{' '.join(written)}>"
    return opening if name in _VOID else f"{opening}{''.join(content)}</{name}>"


def marked(text: str, spans: Spans, class_: str | None = None) -> str:
    """Escaped text with a `<mark>` around each span (start, end; those that touch become one)."""
    return "".join(
        tag("mark", escape(piece), class_=class_) if inside else escape(piece)
        for piece, inside in pieces(text, spans)
    )


def details(summary: str, *content: str, opened: bool = False) -> str:
    """A part that is folded away until it is clicked; needs no script."""
    return tag("details", tag("summary", summary), *content, open=opened)


def link(href: str | None, text: str) -> str:
    """Escaped text that leads to a relative place, or alone where there is none."""
    return escape(text) if href is None else tag("a", escape(text), href=href)


def page_href(path: str | Path, page: int, *, base: str | Path = ".") -> str:
    """Relative, quoted address of a page of a PDF: `data/papers/X.pdf#page=3`.

    Args:
        path: The PDF, absolute or relative to the working folder.
        page: Physical page, from 1.
        base: The folder that the address is relative to.
    """
    # quoted as bytes, as a name need not be UTF-8
    relative = Path(os.path.relpath(path, base)).as_posix()
    # a first part such as "a:b" would read as a scheme; quoting leaves no colon
    return f"{quote(os.fsencode(relative))}#page={int(page)}"


def bar(value: float, largest: float) -> str:
    """A bar as long as the value's share of the largest; the figure itself stands beside it."""
    share = 0.0 if largest <= 0 else max(0.0, min(1.0, value / largest))
    return tag(
        "span", tag("span", style=f"width:{100 * share:.1f}%"), class_="bar", aria_hidden="true"
    )


def table(
    caption: str, head: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]], class_: str = ""
) -> str:
    """A table with a head row and a head column; all cells are HTML already."""
    top = "".join(tag("th", cell, scope="col") for cell in head)
    body = "".join(
        tag("tr", tag("th", name, scope="row"), *(tag("td", cell) for cell in cells))
        for name, cells in rows
    )
    return tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", top)),
        tag("tbody", body),
        class_=class_ or None,
    )


@cache
def style() -> str:
    """The style sheet, read once."""
    return Path(__file__).with_name("style.css").read_text(encoding="utf-8")


def container(*content: str, label: str) -> str:
    """The outermost element: its own id, its style, and a name for screen readers.

    The id is made from the content and a counter, so that two outputs never share one, in one
    session or in a notebook saved by several.
    """
    body = "".join(content)
    digest = hashlib.sha256(body.encode("utf-8", "replace")).hexdigest()[:8]
    return tag(
        "section",
        tag("style", style()),
        body,
        id=f"xqa-{digest}-{next(_numbers)}",
        class_="xqa tex2jax_ignore mathjax_ignore",
        aria_label=label,
    )


def document(title: str, body: str) -> str:
    """A whole page around HTML, to be written to a file."""
    head = tag("meta", charset="utf-8") + tag("title", html.escape(plain(title)))
    head += tag("meta", name="color-scheme", content="light dark")
    return f"<!DOCTYPE html>\n{tag('html', tag('head', head), tag('body', body), lang='en')}\n"

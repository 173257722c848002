"""How an answer looks as HTML, and the words that every form of it shares.

It never decides what an answer says, and every string in it goes through `app.show`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.show import html, text

if TYPE_CHECKING:
    from app.answer.records import Answer, AnswerSentence, Evidence, Source

WEAK = "Weak evidence: these passages more likely hold no answer than one."
UNKNOWN = "[?] marks a number or name that stands in none of the passages."
UNSUPPORTED = "not supported by the passages"


def answer_html(answer: "Answer", base: str = ".") -> str:
    """The answer in a container of its own."""
    return html.container(answer_parts(answer, base), label="Answer")


def chat_html(turns: Sequence["Answer"], base: str = ".") -> str:
    """Answers one below the other in one container."""
    parts = (html.tag("div", answer_parts(turn, base), class_="turn") for turn in turns)
    return html.container(*parts, label="Conversation")


def answer_parts(answer: "Answer", base: str = ".") -> str:
    """Question, what was searched for in its place, answer, passages, and how it came about."""
    shown = [
        html.tag("p", html.tag("strong", html.escape(answer.question)), class_="question"),
        html.tag("p", html.escape(searched(answer)), class_="meta") if answer.searched else "",
        answer_body(answer, base),
        html.tag("ul", *(source_item(s, answer, base) for s in answer.cited), class_="sources")
        if answer.cited
        else "",
        also_read(answer, base),
        html.tag("p", html.escape(meta_line(answer)), class_="meta"),
    ]
    return "".join(shown)


def searched(answer: "Answer") -> str:
    """What was searched for, where that is not the question itself."""
    return f"searched for: {answer.searched}" if answer.searched else ""


def answer_body(answer: "Answer", base: str = ".") -> str:
    """The sentences with their citations, and the remarks that a reader must not miss."""
    quoted = answer.mode == "quote"
    lines = [sentence_html(s, answer, base) for s in answer.sentences]
    if answer.mode == "bullets" and lines:
        body = html.tag("ul", *(html.tag("li", line) for line in lines))
    elif lines:
        written = "".join(html.tag("p", line) for line in lines)
        body = html.tag("blockquote", written) if quoted else written
    else:
        body = html.tag("p", html.tag("strong", html.escape(answer.text)))
    if any(s.unknown for s in answer.sentences):
        body += html.tag("p", html.tag("small", UNKNOWN))
    if answer.nearest:
        items = (evidence_html(item, answer, base) for item in answer.nearest)
        body += html.tag("p", html.escape(nearest(answer))) + html.tag("blockquote", *items)
    if not quoted and answer.evidence:
        items = (evidence_html(item, answer, base) for item in answer.evidence)
        body += html.tag("p", html.tag("strong", "Evidence")) + html.tag("blockquote", *items)
    return body + (html.tag("p", html.escape(WEAK), class_="weak") if answer.weak else "")


def nearest(answer: "Answer") -> str:
    """What stands before the nearest sentences of a declined answer."""
    return f"Nearest to it, with a chance of {answer.answerable:.2f} of an answer in the passages:"


def evidence_html(item: "Evidence", answer: "Answer", base: str) -> str:
    """The evidence below a phrased answer, or what is nearest to one."""
    cite = html.link(href(answer, item.source, item.page, base), cited(item.source, item.page))
    return html.tag("p", html.tag("q", html.escape(item.sentence.text)), " ", cite)


def sentence_html(sentence: "AnswerSentence", answer: "Answer", base: str) -> str:
    """A sentence, its doubtful words marked, and links to what supports it."""
    words = "".join(
        html.escape(piece) + (html.tag("strong", " [?]", class_="only") if inside else "")
        for piece, inside in text.pieces(sentence.text, sentence.unknown)
    )
    if sentence.quoted:
        words = html.tag("q", words)
    if not sentence.supported:
        return f"{words} {html.tag('em', f'({UNSUPPORTED})', class_='only')}"
    cites = (
        html.link(href(answer, number, page, base), cited(number, page))
        for number, page in zip(sentence.citations, sentence.pages)
    )
    return f"{words} {', '.join(cites)}"


def cited(number: int, page: int) -> str:
    """A citation: number of the passage, page of the words."""
    return f"[{number}] p. {page}"


def href(answer: "Answer", number: int, page: int, base: str) -> str | None:
    """Relative address of a page of the paper of passage `number`; None without a known file."""
    path = answer.paths.get(answer.sources[number - 1].passage.chunk.paper)
    return None if path is None else html.page_href(path, page, base=base)


def source_item(source: "Source", answer: "Answer", base: str = ".") -> str:
    """A passage in a list: number, paper, page, section, score, and its text with marks."""
    return html.tag(
        "li",
        source_head(source, answer, base),
        html.tag("br"),
        html.tag("span", html.marked(source.passage.text, source.highlights), class_="passage"),
    )


def source_head(source: "Source", answer: "Answer", base: str = ".") -> str:
    """The line above a passage."""
    place = text.pages(source.page, source.last_page, source.label)
    linked = html.link(href(answer, source.number, source.page, base), place)
    rest = f" {title(source)}{section(source)} · {score(source)}"
    return f"{html.tag('strong', f'[{source.number}]')} {linked} · {html.escape(rest.strip())}"


def also_read(answer: "Answer", base: str = ".") -> str:
    """The passages that support nothing, folded."""
    if not answer.also_read:
        return ""
    summary = f"also read: {text.count(len(answer.also_read), 'passage')}"
    items = (source_item(source, answer, base) for source in answer.also_read)
    return html.details(summary, html.tag("ul", *items, class_="sources"))


def title(source: "Source") -> str:
    """The paper's title, or its file name where the title is not known."""
    chunk = source.passage.chunk
    return shortened(chunk.title or chunk.paper, 90)


def section(source: "Source") -> str:
    """The section's heading with a separator before it; nothing where there is none."""
    name = source.passage.chunk.section
    return f" · {shortened(name, 60)}" if name else ""


def score(source: "Source") -> str:
    """The retriever's score with its name."""
    return f"score {source.passage.score:.2f}"


def shortened(words: str, limit: int) -> str:
    """At most `limit` characters, the last an ellipsis where something is missing."""
    return words if len(words) <= limit else words[: limit - 1].rstrip() + "…"


def meta_line(answer: "Answer") -> str:
    """How the answer came about: retriever, mode, model, seconds by stage, what was left out."""
    times = ", ".join(f"{stage} {text.seconds(s)}" for stage, s in answer.timings.items())
    parts = (f"{answer.retriever} · {answer.mode} · {answer.model}", times, *answer.notes)
    return " · ".join(part for part in parts if part)

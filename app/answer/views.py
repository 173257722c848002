"""How an answer looks as HTML, as Markdown and in a terminal: the same parts in the same order.

It never decides what an answer says, and every string in it goes through `app.show`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.show import html, text

if TYPE_CHECKING:
    from app.answer.records import Answer, AnswerSentence, Evidence, Source

WEAK = "Weak evidence: the reader would rather not answer from these passages."
UNKNOWN = "[?] marks a number or name that stands in none of the passages."
UNSUPPORTED = "not supported by the passages"


def answer_html(answer: "Answer", base: str = ".") -> str:
    """The answer in a container of its own."""
    return html.container(
        html.tag("p", html.tag("strong", html.escape(answer.question)), class_="question"),
        answer_body(answer, base),
        html.tag("ul", *(source_item(s, answer, base) for s in answer.cited), class_="sources")
        if answer.cited
        else "",
        also_read(answer, base),
        html.tag("p", html.escape(meta_line(answer)), class_="meta"),
        label="Answer",
    )


def answer_body(answer: "Answer", base: str = ".") -> str:
    """The sentences with their citations, and the remarks that a reader must not miss."""
    quoted = answer.mode == "quote"
    lines = [sentence_html(s, answer, base, quoted=quoted) for s in answer.sentences]
    if answer.mode == "bullets" and lines:
        body = html.tag("ul", *(html.tag("li", line) for line in lines))
    elif lines:
        body = html.tag("blockquote", *(html.tag("p", line) for line in lines))
    else:
        body = html.tag("p", html.tag("strong", html.escape(answer.text)))
    if any(s.unknown for s in answer.sentences):
        body += html.tag("p", html.tag("small", UNKNOWN))
    if not quoted:
        body += "".join(evidence_html(item, answer, base) for item in answer.evidence)
    return body + (html.tag("p", html.escape(WEAK), class_="weak") if answer.weak else "")


def evidence_html(item: "Evidence", answer: "Answer", base: str) -> str:
    """The evidence below a phrased answer."""
    cite = html.link(href(answer, item.source, item.page, base), cited(item.source, item.page))
    return html.tag("p", "Evidence: ", html.tag("q", html.escape(item.sentence.text)), " ", cite)


def sentence_html(sentence: "AnswerSentence", answer: "Answer", base: str, *, quoted: bool) -> str:
    """A sentence, its doubtful words marked, and links to what supports it."""
    words = "".join(
        html.escape(piece) + (html.tag("strong", " [?]", class_="only") if inside else "")
        for piece, inside in text.pieces(sentence.text, sentence.unknown)
    )
    if quoted:
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


def answer_markdown(answer: "Answer", base: str = ".") -> str:
    """The answer as Markdown."""
    parts = [f"**{text.markdown(answer.question)}**", markdown_body(answer, base)]
    for source in answer.cited:
        parts.append(markdown_source(source, answer, base))
    if answer.also_read:
        items = "\n\n".join(markdown_source(s, answer, base) for s in answer.also_read)
        summary = f"also read: {text.count(len(answer.also_read), 'passage')}"
        parts.append(f"<details><summary>{summary}</summary>\n\n{items}\n\n</details>")
    parts.append(f"<small>{text.markdown(meta_line(answer))}</small>")
    return "\n\n".join(parts) + "\n"


def markdown_body(answer: "Answer", base: str = ".", *, joint: str = "\n>\n> ") -> str:
    """Sentences, citations and remarks; `joint` stands between sentences."""
    lines = [markdown_sentence(s, answer, base) for s in answer.sentences]
    if answer.mode == "bullets":
        lines = [f"• {line}" for line in lines]
    if not lines:
        lines = [f"**{text.markdown(answer.text)}**"]
    if any(s.unknown for s in answer.sentences):
        lines.append(text.markdown(UNKNOWN))
    if answer.mode != "quote":
        lines += [markdown_evidence(item, answer, base) for item in answer.evidence]
    if answer.weak:
        lines.append(f"**{WEAK}**")
    return ("> " if joint.endswith("> ") else "") + joint.join(lines)


def markdown_evidence(item: "Evidence", answer: "Answer", base: str) -> str:
    """The evidence below a phrased answer."""
    cite = markdown_link(href(answer, item.source, item.page, base), cited(item.source, item.page))
    return f"Evidence: “{text.markdown(item.sentence.text)}” {cite}"


def markdown_sentence(sentence: "AnswerSentence", answer: "Answer", base: str) -> str:
    """A sentence with its citations as links."""
    words = "".join(
        text.markdown(piece) + (" **\\[?\\]**" if inside else "")
        for piece, inside in text.pieces(sentence.text, sentence.unknown)
    )
    if answer.mode == "quote":
        words = f"“{words}”"
    if not sentence.supported:
        return f"{words} *({UNSUPPORTED})*"
    cites = [
        markdown_link(href(answer, number, page, base), cited(number, page))
        for number, page in zip(sentence.citations, sentence.pages)
    ]
    return f"{words} {', '.join(cites)}"


def markdown_link(address: str | None, words: str) -> str:
    """A link, or its words alone where there is no address."""
    shown = text.markdown(words)
    return shown if address is None else f"[{shown}]({address})"


def markdown_source(source: "Source", answer: "Answer", base: str = ".") -> str:
    """A passage as one paragraph."""
    place = text.pages(source.page, source.last_page, source.label)
    linked = markdown_link(href(answer, source.number, source.page, base), place)
    rest = text.markdown(f"{title(source)}{section(source)} · {score(source)}")
    passage = text.markdown_marked(source.passage.text, source.highlights)
    return f"**\\[{source.number}\\]** {linked} · {rest}<br>{passage}"


def answer_text(answer: "Answer") -> str:
    """The answer for a terminal."""
    return f"{text_asked(answer.question)}{text_body(answer)}\n\n{text_sources(answer)}"


def text_asked(question: str) -> str:
    """The question above an answer."""
    return text.wrapped(question) + "\n\n"


def text_body(answer: "Answer") -> str:
    """Sentences with citations, evidence and remarks."""
    lines = [
        text.wrapped(text_sentence(s, answer), first=bullet(answer), indent="  ")
        for s in answer.sentences
    ]
    if not answer.sentences:
        lines.append(text.wrapped(answer.text, indent="  "))
    if answer.mode != "quote" and answer.evidence:
        lines += ["", text_evidence(answer.evidence)]
    remarks = text_remarks(answer)
    return "\n".join([*lines, "", remarks] if remarks else lines)


def bullet(answer: "Answer") -> str:
    """What stands before a sentence in a terminal."""
    return "- " if answer.mode == "bullets" else "  "


def text_sentence(sentence: "AnswerSentence", answer: "Answer") -> str:
    """A sentence with its citations in brackets."""
    words = "".join(
        piece + (" [?]" if inside else "")
        for piece, inside in text.pieces(sentence.text, sentence.unknown)
    )
    if answer.mode == "quote":
        words = f"“{words}”"
    if not sentence.supported:
        return f"{words} ({UNSUPPORTED})"
    return f"{words} {text_cites(sentence)}"


def text_cites(sentence: "AnswerSentence") -> str:
    """The citations of a sentence."""
    places = zip(sentence.citations, sentence.pages)
    return ", ".join(cited(number, page) for number, page in places)


def text_evidence(chosen: Sequence["Evidence"]) -> str:
    """The evidence, one sentence a paragraph."""
    return "\n".join(
        text.wrapped(f"“{e.sentence.text}” {cited(e.source, e.page)}", first="> ", indent="> ")
        for e in chosen
    )


def text_remarks(answer: "Answer") -> str:
    """What a reader must not miss, a line each; empty where there is nothing of the kind."""
    lines = [WEAK] if answer.weak else []
    if any(s.unknown for s in answer.sentences):
        lines.append(UNKNOWN)
    return "\n".join(text.wrapped(line, first="! ", indent="  ") for line in lines)


def text_after(answer: "Answer") -> str:
    """What follows in a terminal when evidence and text were shown already."""
    if not answer.evidence:
        return f"{text_body(answer)}\n\n{text_sources(answer)}\n"
    told = []
    for s in answer.sentences if answer.mode != "quote" else ():
        state = f"supported by {text_cites(s)}" if s.supported else UNSUPPORTED
        told.append(text.wrapped(f"“{s.text}”: {state}", first="- ", indent="  "))
    parts = ("\n" if told else "", "\n".join(told), text_remarks(answer), text_sources(answer))
    return "\n\n".join(part for part in parts if part) + "\n"


def text_sources(answer: "Answer") -> str:
    """The passages that count, one line on those that do not, and how it all came about."""
    lines = []
    for source in answer.cited:
        place = text.pages(source.page, source.last_page, source.label)
        head = f"[{source.number}] {place}, {title(source)}{section(source)} · {score(source)}"
        lines.append(text.wrapped(head, indent="    ", first=""))
    if answer.also_read:
        pages = ", ".join(
            f"[{s.number}] {text.pages(s.page, s.last_page, s.label)}" for s in answer.also_read
        )
        lines.append(
            text.wrapped(f"also read, supporting nothing: {pages}", indent="    ", first="")
        )
    lines.append(text.wrapped(meta_line(answer), indent="    ", first=""))
    return "\n".join(lines)

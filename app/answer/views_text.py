"""How an answer looks as Markdown and in a terminal: the same parts in the same order as in HTML.

It never decides what an answer says, and every string in it goes through `app.show`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.answer import views
from app.show import text

if TYPE_CHECKING:
    from app.answer.records import Answer, AnswerSentence, Evidence, Source


def answer_markdown(answer: "Answer", base: str = ".") -> str:
    """The answer as Markdown."""
    parts = [f"**{text.markdown(answer.question)}**"]
    if answer.searched:
        parts.append(f"<small>{text.markdown(views.searched(answer))}</small>")
    parts.append(markdown_body(answer, base))
    for source in answer.cited:
        parts.append(markdown_source(source, answer, base))
    if answer.also_read:
        items = "\n\n".join(markdown_source(s, answer, base) for s in answer.also_read)
        summary = f"also read: {text.count(len(answer.also_read), 'passage')}"
        parts.append(f"<details><summary>{summary}</summary>\n\n{items}\n\n</details>")
    parts.append(f"<small>{text.markdown(views.meta_line(answer))}</small>")
    return "\n\n".join(parts) + "\n"


def markdown_body(answer: "Answer", base: str = ".", *, joint: str = "\n>\n> ") -> str:
    """Sentences, citations and remarks; `joint` stands between sentences."""
    lines = [markdown_sentence(s, answer, base) for s in answer.sentences]
    if answer.mode == "bullets":
        lines = [f"• {line}" for line in lines]
    if not lines:
        lines = [f"**{text.markdown(answer.text)}**"]
    if any(s.unknown for s in answer.sentences):
        lines.append(text.markdown(views.UNKNOWN))
    if answer.nearest:
        lines.append(text.markdown(views.nearest(answer)))
        lines += [markdown_quote(item, answer, base) for item in answer.nearest]
    if answer.mode != "quote":
        lines += [f"Evidence: {markdown_quote(item, answer, base)}" for item in answer.evidence]
    if answer.weak:
        lines.append(f"**{views.WEAK}**")
    return ("> " if joint.endswith("> ") else "") + joint.join(lines)


def markdown_quote(item: "Evidence", answer: "Answer", base: str) -> str:
    """A sentence of a passage with its citation."""
    address = views.href(answer, item.source, item.page, base)
    cite = markdown_link(address, views.cited(item.source, item.page))
    return f"“{text.markdown(item.sentence.text)}” {cite}"


def markdown_sentence(sentence: "AnswerSentence", answer: "Answer", base: str) -> str:
    """A sentence with its citations as links."""
    words = "".join(
        text.markdown(piece) + (" **\\[?\\]**" if inside else "")
        for piece, inside in text.pieces(sentence.text, sentence.unknown)
    )
    if sentence.quoted:
        words = f"“{words}”"
    if not sentence.supported:
        return f"{words} *({views.UNSUPPORTED})*"
    cites = [
        markdown_link(views.href(answer, number, page, base), views.cited(number, page))
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
    linked = markdown_link(views.href(answer, source.number, source.page, base), place)
    rest = text.markdown(f"{views.title(source)}{views.section(source)} · {views.score(source)}")
    passage = text.markdown_marked(source.passage.text, source.highlights)
    return f"**\\[{source.number}\\]** {linked} · {rest}<br>{passage}"


def answer_text(answer: "Answer") -> str:
    """The answer for a terminal."""
    told = text.wrapped(views.searched(answer), indent="    ", first="  ")
    lead = f"{told}\n\n" if answer.searched else ""
    return f"{asked(answer.question)}{lead}{body(answer)}\n\n{source_lines(answer)}"


def asked(question: str) -> str:
    """The question above an answer."""
    return text.wrapped(question) + "\n\n"


def body(answer: "Answer") -> str:
    """Sentences with citations, evidence and remarks."""
    lines = [
        text.wrapped(sentence_line(s, answer), first=bullet(answer), indent="  ")
        for s in answer.sentences
    ]
    if not answer.sentences:
        lines.append(text.wrapped(answer.text, indent="  "))
    if answer.nearest:
        lines += ["", text.wrapped(views.nearest(answer), indent="  ", first="  ")]
        lines.append(evidence(answer.nearest))
    if answer.mode != "quote" and answer.evidence:
        lines += ["", evidence(answer.evidence)]
    said = remarks(answer)
    return "\n".join([*lines, "", said] if said else lines)


def bullet(answer: "Answer") -> str:
    """What stands before a sentence in a terminal."""
    return "- " if answer.mode == "bullets" else "  "


def said(sentences: Sequence["AnswerSentence"], mode: str) -> str:
    """Sentences alone, one a line, with quotation marks around the paper's own."""
    lines = [f"“{s.text}”" if s.quoted else s.text for s in sentences]
    return "\n".join(f"- {line}" if mode == "bullets" else line for line in lines)


def sentence_line(sentence: "AnswerSentence", answer: "Answer") -> str:
    """A sentence with its citations in brackets."""
    words = "".join(
        piece + (" [?]" if inside else "")
        for piece, inside in text.pieces(sentence.text, sentence.unknown)
    )
    if sentence.quoted:
        words = f"“{words}”"
    if not sentence.supported:
        return f"{words} ({views.UNSUPPORTED})"
    return f"{words} {cites(sentence)}"


def cites(sentence: "AnswerSentence") -> str:
    """The citations of a sentence."""
    places = zip(sentence.citations, sentence.pages)
    return ", ".join(views.cited(number, page) for number, page in places)


def evidence(chosen: Sequence["Evidence"]) -> str:
    """The evidence, one sentence a paragraph."""
    return "\n".join(
        text.wrapped(
            f"“{e.sentence.text}” {views.cited(e.source, e.page)}", first="> ", indent="> "
        )
        for e in chosen
    )


def remarks(answer: "Answer") -> str:
    """What a reader must not miss, a line each; empty where there is nothing of the kind."""
    lines = [views.WEAK] if answer.weak else []
    if any(s.unknown for s in answer.sentences):
        lines.append(views.UNKNOWN)
    return "\n".join(text.wrapped(line, first="! ", indent="  ") for line in lines)


def after(answer: "Answer") -> str:
    """What follows in a terminal when evidence and text were shown already."""
    if not answer.evidence:
        return f"{body(answer)}\n\n{source_lines(answer)}\n"
    told = []
    for place, s in enumerate(answer.sentences if answer.mode != "quote" else (), 1):
        state = f"supported by {cites(s)}" if s.supported else views.UNSUPPORTED
        told.append(f"{place}. {state}" if len(answer.sentences) > 1 else state)
    parts = ("\n".join(told), remarks(answer), source_lines(answer))
    lead = "\n\n" if told else ""  # the text that was written has no line end
    return lead + "\n\n".join(part for part in parts if part) + "\n"


def source_lines(answer: "Answer") -> str:
    """The passages that count, one line on those that do not, and how it all came about."""
    lines = []
    for source in answer.cited:
        place = text.pages(source.page, source.last_page, source.label)
        named = f"{views.title(source)}{views.section(source)} · {views.score(source)}"
        head = f"[{source.number}] {place}, {named}"
        lines.append(text.wrapped(head, indent="    ", first=""))
    if answer.also_read:
        pages = ", ".join(
            f"[{s.number}] {text.pages(s.page, s.last_page, s.label)}" for s in answer.also_read
        )
        lines.append(
            text.wrapped(f"also read, supporting nothing: {pages}", indent="    ", first="")
        )
    lines.append(text.wrapped(views.meta_line(answer), indent="    ", first=""))
    return "\n".join(lines)

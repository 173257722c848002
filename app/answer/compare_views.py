"""How a comparison looks as HTML, Markdown and plain text: first where the retrievers differ.

Colour, shape and length only repeat what the words and figures say.
"""

from collections.abc import Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING

from app.answer import views, views_text
from app.show import html, text

if TYPE_CHECKING:
    from app.answer.compare import Comparison
    from app.answer.records import Answer, Source

EXCERPT = 170  # characters of a passage that are shown before it is unfolded
_SHAPES = {"only here": "◆", "found by both": "●", "found by all": "●"}


def verdict(comparison: "Comparison") -> dict[str, str]:
    """The differences under three headings; none where there is one column."""
    if len(comparison.columns) < 2:
        return {}
    told = {"Evidence": evidence_verdict(comparison)} if comparison.complete else {}
    return told | {
        "Passages": passage_verdict(comparison),
        "Text to read": length_verdict(comparison),
    }


def evidence_verdict(comparison: "Comparison") -> str:
    """Who answers with which sentences."""
    chosen = [frozenset(e.sentence.text for e in a.evidence) for a in comparison.answers]
    if not any(chosen):
        return f"{both(comparison)} found nothing"
    if len(set(chosen)) == 1:
        first = comparison.answers[0].evidence
        places = ", ".join(dict.fromkeys(f"p. {item.page}" for item in first))
        what = "sentence" if len(first) == 1 else f"{len(first)} sentences"
        return f"{both(comparison)} chose the same {what} ({places})"
    groups: dict[str, list[str]] = {}
    for name, answer in zip(comparison.columns, comparison.answers):
        first = answer.evidence[0] if answer.evidence else None
        groups.setdefault(first.sentence.text if first else "", []).append(name)
    if len(groups) == 1:
        page = comparison.answers[0].evidence[0].page
        return f"{both(comparison)} chose the same sentence first (p. {page}), but not the others"
    told = [_first_choice(comparison, names) for names in groups.values()]
    return f"different sentences: {', '.join(told)}"


def _first_choice(comparison: "Comparison", names: list[str]) -> str:
    """Columns that chose one sentence, and its page."""
    chosen = comparison.answers[comparison.columns.index(names[0])].evidence
    return f"{joined(names)} {f'from p. {chosen[0].page}' if chosen else 'none'}"


def passage_verdict(comparison: "Comparison") -> str:
    """How many passages are common, and who alone found some."""
    chunks: dict[str, set[str]] = {}
    for answer in comparison.answers:
        for source in answer.sources:
            names = {name for name, _ in comparison.found_by(source)}
            chunks[source.passage.chunk.id] = names
    common = sum(len(names) == len(comparison.columns) for names in chunks.values())
    if common == len(chunks):
        return f"the same {len(chunks)} for {both(comparison)}"
    alone = [
        f"{count} only by {name}"
        for name in comparison.columns
        if (count := sum(names == {name} for names in chunks.values()))
    ]
    return ", ".join([f"{common} of {len(chunks)} found by {both(comparison)}", *alone])


def length_verdict(comparison: "Comparison") -> str:
    """How much text each hands to the reader."""
    lengths = comparison.context_characters()
    told = ", ".join(f"{name} {n:,}" for name, n in zip(comparison.columns, lengths))
    least, most = min(lengths), max(lengths)
    saved = f" ({100 * (most - least) / most:.0f} % less)" if most > least else ""
    return f"{told} characters{saved}"


def both(comparison: "Comparison") -> str:
    """How all columns together are called."""
    return "both" if len(comparison.columns) == 2 else f"all {len(comparison.columns)}"


def joined(names: list[str]) -> str:
    """Names with commas and an `and`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def comparison_html(comparison: "Comparison", base: str = ".") -> str:
    """One table in a container of its own."""
    return html.container(
        html.tag("p", html.tag("strong", html.escape(comparison.question)), class_="question"),
        comparison_body(comparison, base),
        label="Comparison of retrievers",
    )


def comparison_body(comparison: "Comparison", base: str = ".") -> str:
    """The differences and the table, without the question and the container."""
    told = [
        html.tag("li", html.tag("strong", html.escape(about)), ": ", html.escape(line))
        for about, line in verdict(comparison).items()
    ]
    table = html.table(
        html.escape(caption(comparison)),
        ["", *(html.escape(name) for name in comparison.columns)],
        list(html_rows(comparison, base)),
    )
    return (html.tag("div", html.tag("ul", *told), class_="verdict") if told else "") + table


def caption(comparison: "Comparison") -> str:
    """What the table shows, and with what."""
    first = comparison.answers[0]
    return (
        f"One column per retriever, read by {first.model} in mode {first.mode}. [n] is a passage's "
        "rank, p. the page of the PDF; the marked words are the evidence. The question is embedded "
        "once, in the first column's time."
    )


def html_rows(comparison: "Comparison", base: str) -> Iterator[tuple[str, list[str]]]:
    """Answer, passages by rank, length, and seconds: a cell for each column."""
    answers = comparison.answers
    yield "Answer", [views.answer_body(answer, base) for answer in answers]
    for rank, row in enumerate(zip_longest(*(answer.sources for answer in answers)), 1):
        cells = [
            html_passage(comparison, answer, source, base) if source else "no passage"
            for answer, source in zip(answers, row)
        ]
        yield f"Passage {rank}", cells
    lengths = comparison.context_characters()
    yield "Text to read", [f"{n:,} characters{html.bar(n, max(lengths))}" for n in lengths]
    slowest = max((s for a in answers for s in a.timings.values()), default=0.0)
    yield "Time", [html_times(answer, slowest) for answer in answers]


def html_times(answer: "Answer", slowest: float) -> str:
    """Seconds of each stage with a bar."""
    total = f"{text.seconds(sum(answer.timings.values()))} in all"
    stages = (
        html.tag(
            "div",
            html.tag("span", f"{html.escape(stage)} {text.seconds(value)}"),
            html.bar(value, slowest),
            class_="stage",
        )
        for stage, value in answer.timings.items()
    )
    return html.tag("strong", total) + "".join(stages)


def html_passage(comparison: "Comparison", answer: "Answer", source: "Source", base: str) -> str:
    """Rank, page, score and who else found it; the part that counts; the whole, folded."""
    place = text.pages(source.page, source.last_page, source.label)
    head = (
        html.tag("strong", f"[{source.number}]"),
        html.link(views.href(answer, source.number, source.page, base), place),
        f"· {views.score(source)}",
    )
    words = source.passage.text
    start, end = text.excerpt(words, source.highlights, EXCERPT)
    inner = [(a - start, b - start) for a, b in source.highlights]
    shown = html.marked(words[start:end], inner)
    shown = f"{'… ' if start else ''}{shown}{' …' if end < len(words) else ''}"
    whole = ""
    if (start, end) != (0, len(words)):
        whole = html.details(
            f"whole passage, {len(words):,} characters",
            html.tag("p", html.escape(views.title(source) + views.section(source))),
            html.tag("p", html.marked(words, source.highlights), class_="passage"),
        )
    mark = html_mark(comparison, source)
    return f"{' '.join(head)}<br>{mark}{html.tag('p', shown, class_='passage')}{whole}"


def html_mark(comparison: "Comparison", source: "Source") -> str:
    """The remarks on a passage; who found it also as a shape."""
    mark = comparison.mark(source)
    notes = [html.tag("small", html.escape(note)) for note in remarks(comparison, source)]
    if mark:
        kind = "only" if mark == "only here" else "both"
        notes[0] = html.tag("span", html.escape(f"{_SHAPES.get(mark, '◐')} {mark}"), class_=kind)
    return " · ".join(notes)


def elsewhere(comparison: "Comparison", source: "Source") -> str:
    """Its rank in the other columns, where it is another one."""
    return ", ".join(
        f"rank {number} in {name}"
        for name, number in comparison.found_by(source)
        if number != source.number
    )


def evidence(source: "Source") -> str:
    """Whether the answer rests on it."""
    return "★\u00a0evidence" if source.cited else ""


def kept(source: "Source") -> str:
    """How much of a chunk a compressing retriever kept."""
    passage = source.passage
    if passage.kept is None:
        return ""
    return f"{len(passage.kept)} of {len(passage.chunk.sentences)} sentences kept"


def remarks(comparison: "Comparison", source: "Source") -> list[str]:
    """Who found it, where else, how much of it was kept, and whether it is the evidence."""
    notes = (
        comparison.mark(source),
        elsewhere(comparison, source),
        kept(source),
        evidence(source),
    )
    return [note for note in notes if note]


def comparison_markdown(comparison: "Comparison", base: str = ".") -> str:
    """The same as a pipe table."""
    answers, lengths = comparison.answers, comparison.context_characters()
    rows = [["**Answer**", *(markdown_answer(a, base) for a in answers)]]
    for rank, row in enumerate(zip_longest(*(a.sources for a in answers)), 1):
        cells = (
            markdown_passage(comparison, answer, source, base) if source else "no passage"
            for answer, source in zip(answers, row)
        )
        rows.append([f"**Passage {rank}**", *cells])
    rows.append(["**Text to read**", *(f"{n:,} characters" for n in lengths)])
    rows.append(["**Time**", *(times(answer, "<br>") for answer in answers)])
    told = "\n".join(
        f"- **{about}**: {text.markdown(line)}" for about, line in verdict(comparison).items()
    )
    head = ["", *(text.markdown(name) for name in comparison.columns)]
    parts = (
        f"**{text.markdown(comparison.question)}**",
        told,
        text.markdown_table(head, rows),
        text.markdown(caption(comparison)),
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def markdown_answer(answer: "Answer", base: str) -> str:
    """An answer in a cell."""
    return views_text.markdown_body(answer, base, joint="<br>")


def times(answer: "Answer", joint: str) -> str:
    """Seconds of each stage."""
    return joint.join(f"{stage} {text.seconds(value)}" for stage, value in answer.timings.items())


def markdown_passage(
    comparison: "Comparison", answer: "Answer", source: "Source", base: str
) -> str:
    """A passage in a cell: where, who else found it, and the part that counts."""
    words = source.passage.text
    start, end = text.excerpt(words, source.highlights, EXCERPT)
    inner = [(a - start, b - start) for a, b in source.highlights]
    shown = text.markdown_marked(words[start:end], inner)
    place = text.pages(source.page, source.last_page, source.label)
    link = views_text.markdown_link(views.href(answer, source.number, source.page, base), place)
    head = f"**\\[{source.number}\\]** {link} · {views.score(source)}"
    told = text.markdown(" · ".join(remarks(comparison, source)))
    cut = f"{'… ' if start else ''}{shown}{' …' if end < len(words) else ''}"
    return "<br>".join(part for part in (head, told, cut) if part)


def comparison_text(comparison: "Comparison") -> str:
    """The same for a terminal: the differences, then one retriever after another."""
    parts = [text.wrapped(comparison.question), ""]
    for about, line in verdict(comparison).items():
        parts.append(text.wrapped(f"{about}: {line}", indent="    ", first="  - "))
    lengths = comparison.context_characters()
    for name, answer, length in zip(comparison.columns, comparison.answers, lengths):
        parts += ["", f"── {text.plain(name)} " + "─" * max(3, 70 - len(name)), ""]
        parts.append(views_text.body(answer))
        parts.append("")
        for source in answer.sources:
            place = text.pages(source.page, source.last_page, source.label)
            told = " · ".join((views.score(source), *remarks(comparison, source)))
            parts.append(
                text.wrapped(f"[{source.number}] {place} · {told}", indent="      ", first="  ")
            )
        longest = text.bar(length, max(lengths))
        parts.append(f"  text to read: {length:,} characters {longest}")
        parts.append(f"  time: {times(answer, ', ')}")
    return "\n".join(parts)

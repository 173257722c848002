"""How a report looks as HTML, Markdown, plain text and drawn: the differences, then the details.

Colour, shape and length only repeat what the words and figures say.
"""

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from app.answer import compare_views, views, views_text
from app.show import html, plots, text

if TYPE_CHECKING:
    from app.answer.records import Answer
    from app.answer.report import Gold, Pair, Report, Summary
    from app.show.plots import Plot

QUOTE = 110  # characters of a chosen sentence in the table of questions
HOW = {
    "questions": "What each retriever's passages came to: the sentence that was chosen first.",
    "summary": "Each retriever over all questions; means are over questions.",
    "pairs": "Every two retrievers: passages that both found, and whether they led to the same.",
}


def verdict(report: "Report") -> dict[str, str]:
    """The differences in words, under headings; what cannot be told is left out."""
    told, summaries = {}, report.summaries()
    if len(report.columns) > 1:
        chosen = [first_choices(one.answers) for one in report.comparisons]
        same = sum(len(set(row)) == 1 for row in chosen)
        told["Evidence"] = f"the same sentence first in {same} of {len(chosen)} questions"
        found = [(pair.common, pair.passages, pair.names) for pair in report.pairs()]
        if len(found) == 1:
            told["Passages"] = f"{found[0][0]} of {found[0][1]} found by both"
        else:
            most, least = max(found, key=_share), min(found, key=_share)
            told["Passages"] = f"most alike {_alike(most)}, least {_alike(least)}"
        lengths = ", ".join(f"{one.name} {one.characters:,.0f}" for one in summaries)
        told["Text to read"] = f"{lengths} characters a question"
    if summaries[0].pages:
        right = ", ".join(f"{one.name} {one.page_found} of {one.pages}" for one in summaries)
        told["Right page among the passages"] = right
    return told


def _share(found: tuple[int, int, tuple[str, str]]) -> float:
    return found[0] / found[1] if found[1] else 0.0


def _alike(found: tuple[int, int, tuple[str, str]]) -> str:
    return f"{' and '.join(found[2])} ({found[0]} of {found[1]} found by both)"


def first_choices(answers: tuple["Answer", ...]) -> list[str]:
    """The sentence that each chose first; empty where nothing was found."""
    return [a.evidence[0].sentence.text if a.evidence else "" for a in answers]


def report_html(report: "Report", base: str = ".") -> str:
    """A summary, and below it each question's comparison, the first one unfolded."""
    told = [
        html.tag("li", html.tag("strong", html.escape(about)), ": ", html.escape(line))
        for about, line in verdict(report).items()
    ]
    names = [html.escape(name) for name in report.columns]
    parts = [
        html.tag("p", html.tag("strong", html.escape(report.title)), class_="question"),
        html.tag("div", html.tag("ul", *told), class_="verdict") if told else "",
        html.table(HOW["questions"], ["", *names], list(question_rows(report, base)), "wide"),
        html.table(HOW["summary"], ["", *names], list(summary_rows(report)), "wide"),
    ]
    if len(names) > 1:
        parts.append(html.table(HOW["pairs"], ["", *names], list(pair_rows(report)), "wide"))
    each = (
        html.details(
            html.escape(f"{number}. {one.question}"),
            compare_views.comparison_body(one, base),
            opened=number == 1,
        )
        for number, one in enumerate(report.comparisons, 1)
    )
    parts.append(html.tag("div", *each, class_="each"))
    return html.container(*parts, label="Comparison of retrievers over questions")


def question_rows(report: "Report", base: str) -> Iterator[tuple[str, list[str]]]:
    """For each question what each chose first, with its page, and whether that is the gold one."""
    for number, (one, gold) in enumerate(zip(report.comparisons, report.gold), 1):
        chosen = first_choices(one.answers)
        mark = html.tag("small", html.escape(same_mark(chosen))) if len(chosen) > 1 else ""
        head = f"{number}. {html.escape(one.question)}"
        cells = []
        for answer in one.answers:
            lines = [html.escape(first_line(answer))]
            if answer.evidence:
                item = answer.evidence[0]
                address = views.href(answer, item.source, item.page, base)
                lines.append(html.link(address, views.cited(item.source, item.page)))
            if told := gold_mark(answer, gold):
                kind = "both" if told.startswith("✓") else "only"
                lines.append(html.tag("span", html.escape(told), class_=kind))
            cells.append("<br>".join(lines))
        yield f"{head}<br>{mark}" if mark else head, cells


def same_mark(chosen: list[str]) -> str:
    """Whether all chose the same, as shape and words."""
    return "● same evidence" if len(set(chosen)) == 1 else "◆ different evidence"


def first_line(answer: "Answer") -> str:
    """The sentence chosen first, shortened; what is said where nothing was found."""
    if not answer.evidence:
        return answer.text
    return f"“{views.shortened(answer.evidence[0].sentence.text, QUOTE)}”"


def gold_mark(answer: "Answer", gold: "Gold | None") -> str:
    """Whether the evidence stands on the gold page; empty where there is none."""
    if gold is None or gold.page is None:
        return ""
    if place := gold.cited(answer):
        return f"✓ right page ({gold.page})" + (f", by sentence {place}" if place > 1 else "")
    rank = gold.rank(answer)
    among = f", which is passage {rank}" if rank else ", which was not found"
    return f"✗ not from page {gold.page}{among}"


def measures(summary: "Summary") -> dict[str, tuple[str, float | None, float | None]]:
    """What the summary shows of a retriever, by name: in words, length of the bar, full length.

    Without a length there is no bar; without a full one the longest of its row is full.
    """
    told: dict[str, tuple[str, float | None, float | None]] = {}
    if summary.pages:
        for name, count in (
            ("Right page among the passages", summary.page_found),
            ("Right page in the first passage", summary.page_first),
            ("Evidence from the right page", summary.page_cited),
        ):
            told[name] = (portion(count, summary.pages), count, summary.pages)
    if summary.answer_f1 is not None:
        words = summary.answer_words or 0.0
        told["Gold answer's words in the passages"] = (f"{100 * words:.0f} %", words, 1.0)
        told["Answer against gold answer (F1)"] = (f"{summary.answer_f1:.2f}", summary.answer_f1, 1)
    told["Declined"] = (f"{summary.declined} of {summary.questions}", None, None)
    told["Passages"] = (f"{summary.passages:.1f}", None, None)
    told["Text to read"] = (f"{summary.characters:,.0f} characters", summary.characters, None)
    slowest = max(summary.seconds.values(), default=0.0)
    for stage, value in summary.seconds.items():
        told[f"Time: {stage}"] = (text.seconds(value), value, slowest)
    return told


def portion(count: int, of: int) -> str:
    """A count with its share: `3 of 4 (75 %)`."""
    return f"{count} of {of} ({100 * count / of:.0f} %)" if of else "none"


def summary_rows(report: "Report") -> Iterator[tuple[str, list[str]]]:
    """A row a measure, with bars."""
    every = [measures(one) for one in report.summaries()]
    for name in every[0]:
        row = [told[name] for told in every]
        full = max((most or length or 0.0 for _, length, most in row), default=0.0)
        cells = [
            html.escape(words) + ("" if length is None else html.bar(length, full))
            for words, length, _ in row
        ]
        yield html.escape(name), cells


def pair_lines(pair: "Pair") -> list[str]:
    """What two retrievers have in common, in words."""
    return [
        f"passages: {portion(pair.common, pair.passages)}",
        f"same evidence: {portion(pair.same, pair.questions)}",
        f"words of the answers: {100 * pair.answer_f1:.0f} %",
    ]


def pair_rows(report: "Report") -> Iterator[tuple[str, list[str]]]:
    """Every two retrievers, with a bar for the passages in common; of only two, one row."""
    known = {frozenset(pair.names): pair for pair in report.pairs()}
    for row in report.columns[:1] if len(known) == 1 else report.columns:
        cells = []
        for column in report.columns:
            pair = known.get(frozenset((row, column)))
            cells.append(
                html.bar(pair.common, pair.passages)
                + "<br>".join(map(html.escape, pair_lines(pair)))
                if pair
                else "itself"
            )
        yield html.escape(row), cells


def report_dict(report: "Report") -> dict[str, Any]:
    """Plain values for JSON."""
    return {
        "title": report.title,
        "differences": verdict(report),
        "summaries": [asdict(one) for one in report.summaries()],
        "pairs": [asdict(one) for one in report.pairs()],
        "gold": [asdict(one) if one else None for one in report.gold],
        "comparisons": [one.to_dict() for one in report.comparisons],
    }


def report_markdown(report: "Report", base: str = ".") -> str:
    """The summary as pipe tables, then each question's comparison."""
    head = ["", *(text.markdown(name) for name in report.columns)]
    parts = [f"# {text.markdown(report.title)}"]
    if told := verdict(report):
        parts.append("\n".join(f"- **{a}**: {text.markdown(line)}" for a, line in told.items()))
    parts.append(text.markdown_table(head, markdown_questions(report, base)))
    every = [measures(one) for one in report.summaries()]
    rows = [[f"**{name}**", *(told[name][0] for told in every)] for name in every[0]]
    parts.append(text.markdown_table(head, rows))
    if len(report.columns) > 1:
        known = {frozenset(pair.names): pair for pair in report.pairs()}
        rows = []
        for name in report.columns[:1] if len(known) == 1 else report.columns:
            found = [known.get(frozenset((name, other))) for other in report.columns]
            cells = ["<br>".join(pair_lines(pair)) if pair else "itself" for pair in found]
            rows.append([f"**{text.markdown(name)}**", *cells])
        parts.append(text.markdown_table(head, rows))
    parts += [one.to_markdown(base) for one in report.comparisons]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def markdown_questions(report: "Report", base: str) -> Iterator[list[str]]:
    """The rows of the table of questions."""
    for number, (one, gold) in enumerate(zip(report.comparisons, report.gold), 1):
        cells = [f"{number}\\. {text.markdown(one.question)}"]
        if len(one.answers) > 1:
            cells[0] += f"<br>{same_mark(first_choices(one.answers))}"
        for answer in one.answers:
            lines = [text.markdown(first_line(answer))]
            if answer.evidence:
                item = answer.evidence[0]
                address = views.href(answer, item.source, item.page, base)
                lines.append(views_text.markdown_link(address, views.cited(item.source, item.page)))
            lines.append(gold_mark(answer, gold))
            cells.append("<br>".join(line for line in lines if line))
        yield cells


def report_text(report: "Report") -> str:
    """The same for a terminal, without the comparisons, which print by themselves."""
    lines = [report.title, ""]
    lines += [
        text.wrapped(f"{about}: {line}", indent="    ", first="  - ")
        for about, line in verdict(report).items()
    ]
    for number, (one, gold) in enumerate(zip(report.comparisons, report.gold), 1):
        mark = f" ({same_mark(first_choices(one.answers))})" if len(one.answers) > 1 else ""
        lines += ["", text.wrapped(f"{number}. {one.question}{mark}", indent="   ")]
        for name, answer in zip(one.columns, one.answers):
            cite = [views.cited(e.source, e.page) for e in answer.evidence[:1]]
            told = (f"{name}: {first_line(answer)}", *cite, gold_mark(answer, gold))
            lines.append(text.wrapped(" ".join(filter(None, told)), indent="     ", first="   "))
    for one in report.summaries():
        lines += ["", f"── {text.plain(one.name)} " + "─" * max(3, 70 - len(one.name))]
        lines += [f"  {name}: {words}" for name, (words, *_) in measures(one).items()]
    for pair in report.pairs():
        lines += ["", text.plain(" and ".join(pair.names))]
        lines += [f"  {line}" for line in pair_lines(pair)]
    return "\n".join(lines)


def report_plot(report: "Report") -> "Plot":
    """Panels of bars: right pages (or passages in common), text to read, seconds by stage."""
    summaries = report.summaries()
    names = [one.name for one in summaries]
    panels = []
    if summaries[0].pages:
        shares = [100 * one.page_found / one.pages for one in summaries]
        panels.append(plots.Panel("Right page found, %", names, {"": shares}, most=100.0))
    elif len(names) > 1:
        pairs = report.pairs()
        shares = [100 * pair.common / max(1, pair.passages) for pair in pairs]
        labels = [" and ".join(pair.names) for pair in pairs]
        panels.append(plots.Panel("Passages in common, %", labels, {"": shares}, most=100.0))
    lengths = [one.characters for one in summaries]
    panels.append(plots.Panel("Text to read, characters", names, {"": lengths}))
    stages = {s: [one.seconds[s] for one in summaries] for s in summaries[0].seconds}
    panels.append(plots.Panel("Seconds a question", names, stages))
    return plots.plot(report.title, panels)

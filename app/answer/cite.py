"""Citations: which passages support each sentence of an answer, and which words in them do.

It decides by matching text only; no model is asked.
"""

import re
from collections.abc import Sequence

from app.answer import support
from app.answer.records import AnswerSentence, Evidence, Source
from app.papers.records import Passage
from app.show import text

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[^\W\d_a-z]|[\d\"“(])")
SAME = 0.1  # a passage is cited beside the best one when it covers nearly as much of a sentence


def quoted(chosen: Sequence[Evidence]) -> tuple[AnswerSentence, ...]:
    """The evidence as the sentences of an answer: each supports itself."""
    return tuple(quotation(e, e.sentence.text) for e in chosen)


def quotation(evidence: Evidence, text: str) -> AnswerSentence:
    """A text in the words of its evidence, which supports it."""
    return AnswerSentence(text, (evidence.source,), (evidence.page,), quoted=True)


def split_answer(written: str, mode: str) -> list[str]:
    """The sentences of what a reader wrote; in bullets, its lines."""
    lines = [line.strip().lstrip("-*•").strip() for line in written.split("\n")]
    if mode == "bullets":  # a line that was broken off says nothing: "The new"
        lines = [line for line in lines if says_something(line)]
    else:
        lines = [part for line in lines for part in _SENTENCE_END.split(line)]
    return [line for line in dict.fromkeys(lines) if line]


def says_something(line: str) -> bool:
    """Whether a bullet point has two content words, or a number."""
    found = support.words(line)
    return len(found) > 1 or any(word.is_number for word in found)


def with_support(line: str, passages: Sequence[Passage]) -> AnswerSentence:
    """A written sentence with the passages that support it, best first."""
    found = []
    for number, passage in enumerate(passages, 1):
        best = support.best_match(line, passage.text, support.offsets(passage))
        if best is not None and best.supports:
            found.append((best.coverage, best.run, -number, support.page_of(passage, best.spans)))
    found.sort(key=lambda item: item[:3], reverse=True)
    found = [item for item in found if item[0] >= found[0][0] - SAME]
    return AnswerSentence(
        text=line,
        citations=tuple(-item[2] for item in found),
        pages=tuple(item[3] for item in found),
        unknown=support.unknown_terms(line, [passage.text for passage in passages]),
    )


def sources(
    passages: Sequence[Passage], sentences: Sequence[AnswerSentence], chosen: Sequence[Evidence]
) -> tuple[Source, ...]:
    """The passages with their numbers; marked in them: the evidence, and words that support."""
    out = []
    for number, passage in enumerate(passages, 1):
        places = support.offsets(passage)
        own = [item.sentence for item in chosen if item.source == number]
        spans = [place for place, s in zip(places, passage.sentences) if s in own]
        lines = [s.text for s in sentences if number in s.citations]
        for line in lines:
            best = support.best_match(line, passage.text, places)
            spans += best.spans if best else ()
        out.append(
            Source(
                number, passage, bool(own or lines), tuple(text.merged(spans, len(passage.text)))
            )
        )
    return tuple(out)

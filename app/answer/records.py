"""The records of an answer: evidence, sources, sentences with citations, and the answer itself.

Citations are numbers of passages, from 1 in the order in which the retriever gave them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.answer import views, views_text
from app.papers.records import Passage, Sentence, Span

NOT_FOUND = "Not found in the retrieved passages."
STAGES = ("retrieve", "evidence", "answer")


@dataclass(frozen=True, slots=True)
class Evidence:
    """A sentence of a passage that the reader chose.

    `source` is the passage's number; `score` the weighted sum of the standardised signals, whose
    differences are log-odds; `signals` are those that were looked at, by name, as they are
    (`signals.OF_SENTENCE` says what each is).
    """

    source: int
    sentence: Sentence
    score: float
    signals: Mapping[str, float]

    @property
    def page(self) -> int:
        """Physical page on which the sentence begins."""
        return self.sentence.spans[0].page


@dataclass(frozen=True, slots=True)
class AnswerSentence:
    """A sentence of an answer with the numbers of the passages that support it, best first.

    `pages` are the physical pages of the supporting words, one a citation; `unknown` the numbers
    and names in the text, (start, end), that stand in no passage. `quoted` says that the words are
    the paper's own, in their order; pieces may be left out.
    """

    text: str
    citations: tuple[int, ...] = ()
    pages: tuple[int, ...] = ()
    unknown: tuple[tuple[int, int], ...] = ()
    quoted: bool = False

    @property
    def supported(self) -> bool:
        """Whether some passage supports it."""
        return bool(self.citations)


@dataclass(frozen=True, slots=True)
class Source:
    """A retrieved passage under its number; `highlights` are the supporting words in its text."""

    number: int
    passage: Passage
    cited: bool = False
    highlights: tuple[tuple[int, int], ...] = ()

    @property
    def spans(self) -> tuple[Span, ...]:
        """Where the passage's text stands: of a shortened passage, each kept sentence's place."""
        if self.passage.kept is None:
            return self.passage.chunk.spans
        return tuple(span for sentence in self.passage.sentences for span in sentence.spans)

    @property
    def page(self) -> int:
        """Physical page on which the passage begins."""
        return self.spans[0].page

    @property
    def last_page(self) -> int:
        """Physical page on which it ends."""
        return self.spans[-1].page

    @property
    def label(self) -> str:
        """The number printed on the page where the passage begins."""
        return self.passage.chunk.label_of(self.page)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; `start` and `end` are characters of the cleaned text of `page`."""
        chunk, spans = self.passage.chunk, self.spans
        return {
            "paper": chunk.paper,
            "page": self.page,
            "label": self.label,
            "section": chunk.section,
            "start": spans[0].start,
            "end": max(span.end for span in spans if span.page == self.page),
            "score": float(self.passage.score),
            "text": self.passage.text,
            "last_page": self.last_page,
            "title": chunk.title,
            "rank": self.passage.rank,
            "cited": self.cited,
            "spans": [list(span) for span in spans],
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with everything it rests on.

    `sources` are all retrieved passages in order, so that `[n]` in a sentence is the n-th of them;
    `declined` says that nothing was found; `weak` that an answer is less likely here than none;
    `answerable` is the chance that the passages answer, None where it is not known; `nearest` are
    the sentences that would have been the evidence of a declined answer;
    `timings` are seconds by stage (retrieve, evidence, answer); `notes` are remarks on what was
    left out; `paths` leads from a paper's name to its file, for links; `searched` is what was
    searched for where that is not the question itself.
    """

    question: str
    text: str
    mode: str
    retriever: str
    model: str
    sentences: tuple[AnswerSentence, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    sources: tuple[Source, ...] = ()
    declined: bool = False
    weak: bool = False
    answerable: float | None = None
    nearest: tuple[Evidence, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    paths: Mapping[str, str] = field(default_factory=dict)
    searched: str = ""

    @property
    def cited(self) -> tuple[Source, ...]:
        """The passages that support a sentence of the answer."""
        return tuple(source for source in self.sources if source.cited)

    @property
    def also_read(self) -> tuple[Source, ...]:
        """The passages that were retrieved and support nothing."""
        return tuple(source for source in self.sources if not source.cited)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; citations count from 1 into `sources`."""
        return {
            "question": self.question,
            "searched": self.searched or self.question,
            "retriever": self.retriever,
            "mode": self.mode,
            "answer": self.text,
            "declined": self.declined,
            "sentences": [
                {
                    "text": s.text,
                    "supported": s.supported,
                    "citations": list(s.citations),
                    "quoted": s.quoted,
                }
                for s in self.sentences
            ],
            "sources": [source.to_dict() for source in self.sources],
            "timings": {stage: round(self.timings.get(stage, 0.0), 4) for stage in STAGES},
            "weak": self.weak,
            "answerable": None if self.answerable is None else round(self.answerable, 4),
            "evidence": [_evidence_dict(item) for item in self.evidence],
            "nearest": [_evidence_dict(item) for item in self.nearest],
            "notes": list(self.notes),
            "model": self.model,
        }

    def to_html(self, base: str = ".") -> str:
        """The answer as HTML; page links are relative to the folder `base`."""
        return views.answer_html(self, base)

    def to_markdown(self, base: str = ".") -> str:
        """The answer as Markdown; page links are relative to the folder `base`."""
        return views_text.answer_markdown(self, base)

    def _repr_html_(self) -> str:
        return self.to_html()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))  # what a notebook keeps beside the HTML

    def __str__(self) -> str:
        return views_text.answer_text(self)


def _evidence_dict(item: Evidence) -> dict[str, Any]:
    span = item.sentence.spans[0]
    return {
        "source": item.source,
        "page": span.page,
        "start": span.start,
        "end": span.end,
        "text": item.sentence.text,
        "score": round(item.score, 4),
        "signals": {name: round(value, 4) for name, value in item.signals.items()},
    }

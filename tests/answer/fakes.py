"""Stand-ins for retriever, reader and tokenizer: small, exact, without weights."""

import itertools
import json
import re
from pathlib import Path
from types import SimpleNamespace

from app.answer.calibration import Calibration
from app.answer.prompt import PromptSpec, build_prompt
from app.papers.records import Chunk, Passage, Sentence, Span

PROMPT = {
    "format": 1,
    "tokens": {
        "start": "<|bos|>",
        "question": "<|question|>",
        "passage": "<|passage|>",
        "evidence": "<|quote|>",
        "refusal": "<|none|>",
        "end": "<|end|>",
    },
    "styles": {"short": "<|short|>", "sentence": "<|sentence|>", "bullets": "<|bullets|>"},
    "template": ["start", "question", "{question}", "{passages}", "question", "{question}"],
    "passage_template": ["passage", "{title}", "{text}"],
    "title_separator": ". ",
    "title_characters": 120,
    "banned": ["<|none|>"],
    "stop_below_id": 10,
    "context_tokens": 2048,
    "most_passages": 3,
    "answer_tokens": 60,
    "modes": ["quote", "sentence", "bullets", "short"],
    "default_mode": "quote",
    "evidence_length_offset": 2,
}
# The likelihood and the cosine in equal parts, of every sentence.
BOTH = Calibration({"likelihood": 1.0, "similarity": 1.0}, shortlist=100)
SPECIAL = ["<|end|>", "<|bos|>", "<|question|>", "<|passage|>", "<|short|>", "<|sentence|>"]
SPECIAL += ["<|quote|>", "<|bullets|>", "<|none|>", "<|pad|>"]


class CharTokenizer:
    """A character is a token; the special tokens have ids 0 to 9 and are found in text, as real."""

    def encode(self, text, *, start=None):
        assert start is False
        parts = re.split("(" + "|".join(map(re.escape, SPECIAL)) + ")", text)
        ids = []
        for part in parts:
            ids += [SPECIAL.index(part)] if part in SPECIAL else [10 + ord(c) for c in part]
        return ids

    def encode_with_ends(self, text):
        ids = self.encode(text, start=False)
        lengths = (len(SPECIAL[i]) if i < 10 else 1 for i in ids)
        return ids, list(itertools.accumulate(lengths))

    def id_of(self, token):
        return SPECIAL.index(token)

    def decode(self, ids, *, skip_special=True):
        return "".join(
            SPECIAL[i] if i < 10 else chr(i - 10) for i in ids if i >= 10 or not skip_special
        )


def spec(**changes) -> PromptSpec:
    return PromptSpec.from_dict({**PROMPT, **changes})


def passage(
    *sentences,
    page=1,
    rank=1,
    score=0.6,
    number=0,
    paper="a.pdf",
    title="A Paper",
    section="1 Intro",
    kept=None,
    retriever="similarity",
    label=None,
) -> Passage:
    """A passage whose sentences stand one after another on a page that begins with it."""
    made, at = [], 0
    for text in sentences:
        end = at + len(text)
        made.append(Sentence(text, at, end, (Span(page, at, end),)))
        at = end + 1
    text = " ".join(sentences)
    chunk = Chunk(
        id=f"{paper}:{number:04d}",
        paper=paper,
        title=title,
        section=section,
        part="main",
        label=str(page) if label is None else label,
        text=text,
        spans=(Span(page, 0, len(text)),),
        sentences=tuple(made),
    )
    return Passage(chunk, score, rank, retriever, kept)


class FakeRetriever:
    """Gives the passages it was made with; a sentence's cosine is looked up by its text."""

    def __init__(self, passages, cosines=None, name="similarity", paths=None):
        self.passages, self.cosines, self.name = passages, cosines or {}, name
        self.library = SimpleNamespace(paths=paths or {})

    def search(self, query, k=None):
        return self.passages[:k]

    def sentence_scores(self, question, passage):
        return [self.cosines.get(s.text, 0.3) for s in passage.sentences]


class FakeReader:
    """Signals by text, and a phrased answer given beforehand; counts how often it is called.

    `refuses` is the log-probability of the refusal, `odds` the ranker's log-odds of a sentence,
    `relevant` the reader's own at its end, `prefers` the likelihood of
    a phrased answer, `held` what is written when held to the evidence's words.
    """

    name = "fake"

    def __init__(
        self,
        likelihoods=None,
        writes=(),
        declines=False,
        *,
        calibration=BOTH,
        refuses=-1.0,
        odds=None,
        relevant=None,
        prefers=None,
        held=(),
        **changes,
    ):
        self.spec, self.table, self.writes = spec(**changes), likelihoods or {}, writes
        self.declines, self.calls, self.states = declines, 0, []
        self.calibration, self.refuses = calibration, refuses
        self.odds, self.relevant, self.scored = odds or {}, relevant or {}, []
        self.ranked = []
        self.prefers, self.held = prefers or {}, held

    def prompt(self, question, passages):
        self.given = passages
        return build_prompt(self.spec, CharTokenizer(), question, passages)

    def read(self, prompt, state=None):
        self.calls += 1
        self.states.append(state)
        relevance = [
            [self.relevant.get(each.sentences[i].text, -3.0) for i in read]
            for each, read in zip(self.given, prompt.sentences)
        ]
        return SimpleNamespace(declines=self.declines, relevance=relevance)

    def carry(self, reading, evidence, style="", text=""):
        return (evidence, style, text)

    def likelihoods(self, reading, sentences):
        self.scored.append(list(sentences))
        return [self.table.get(text, -3.0) for text in sentences]

    def ranks(self, question, passages):
        self.ranked.append((question, len(passages)))
        return [[self.odds.get(s.text, -4.0) for s in each.sentences] for each in passages]

    def log_refusal(self, reading):
        return self.refuses

    def phrase(self, reading, evidence, style, *, held=False):
        yield from (self.held if held else self.writes)

    def phrase_likelihoods(self, reading, evidence, style, texts):
        return [self.prefers.get(text, -3.0) for text in texts]


def write_prompt(folder: Path, **changes) -> Path:
    (folder / "prompt.json").write_text(json.dumps({**PROMPT, **changes}), encoding="utf-8")
    return folder

"""Hand-made papers and an embedder without a model, which counts what it is given."""

import hashlib
import zlib
from pathlib import Path

import numpy as np
import pytest

from app.papers.records import Chunk, Page, Paper, Section, Sentence, Span, shown_name
from app.retrieve.contents import PaperIndex


class WordEmbedder:
    """Each word is a fixed random direction; a text is the sum of its words', at length 1."""

    name, fingerprint, width, max_tokens, dtype = "words", "0" * 64, 48, 60, "float32"

    def __init__(self):
        self.encoded, self.labels = [], []

    def warm_up(self):
        pass

    def count_tokens(self, text):
        return len(text.split()) + 2

    def encode(self, texts, progress=None):
        self.encoded += texts
        self.labels.append(progress)
        return np.stack([self._vector(text) for text in texts])

    def encode_question(self, question):
        return self._vector(question)

    def _vector(self, text):
        words = "".join(c if c.isalnum() else " " for c in text.lower()).split() or ["nothing"]
        total = sum(
            np.random.default_rng(zlib.crc32(word.encode())).standard_normal(self.width)
            for word in words
        )
        return (total / np.linalg.norm(total)).astype(np.float32)


class WordReader:
    """Finds each word of a question likely, 0 nats, where a text has it, and else gives -2."""

    def __init__(self):
        self.read = []

    def question_given(self, question, texts):
        self.read.append([*texts])
        words = question.rstrip("?").split()
        return [[0.0 if word in text else -2.0 for word in words] for text in texts]


def make_paper(file, blocks, sha256=None, skipped=()):
    """A paper and its chunks: `blocks` are (page, part, section, sentences), one chunk each."""
    texts, chunks, sections = {}, [], []
    for page, part, section, sentences in blocks:
        before = texts.get(page, "")
        offset = len(before) + 1 if before else 0
        text = " ".join(sentences)
        texts[page] = f"{before}\n{text}" if before else text
        records, at = [], 0
        for sentence in sentences:
            span = Span(page, offset + at, offset + at + len(sentence))
            records.append(Sentence(sentence, at, at + len(sentence), (span,)))
            at += len(sentence) + 1
        span = Span(page, offset, offset + len(text))
        sections.append(Section(section, part, Span(page, offset, offset)))
        id = f"{file}:{len(chunks):04d}"
        chunks.append(
            Chunk(id, file, "A Title", section, part, str(page), text, (span,), tuple(records))
        )
    pages = tuple(Page(n, str(n), texts.get(n, "")) for n in range(1, max(texts) + 1))
    sha256 = sha256 or hashlib.sha256(repr(blocks).encode()).hexdigest()
    return Paper(file, sha256, "A Title", None, pages, tuple(sections), skipped), tuple(chunks)


def make_index(file, blocks, embedder):
    paper, chunks = make_paper(file, blocks)
    sentences = [sentence.text for chunk in chunks for sentence in chunk.sentences]
    return PaperIndex(
        paper,
        chunks,
        embedder.encode([chunk.text for chunk in chunks]),
        embedder.encode(sentences),
    )


BLOCKS = [
    (1, "main", "1 Introduction", ["Gates decide what a memory keeps.", "The sky is blue today."]),
    (1, "main", "1 Introduction", ["A matrix memory stores keys and values.", "Cats sleep a lot."]),
    (2, "main", "2 Method", ["Exponential gates revise stored values.", "Water boils when hot."]),
    (3, "references", "References", ["Gates and memory. A. Author. 1997.", "Matrix memory. 2001."]),
    (
        4,
        "appendix",
        "A Proofs",
        ["The matrix memory proof is long.", "Gates are exponential here."],
    ),
    (4, "figure", "A Proofs", ["0.1 0.2 gates 0.3"]),
]


@pytest.fixture
def blocks():
    return [*BLOCKS]


@pytest.fixture
def embedder():
    return WordEmbedder()


@pytest.fixture
def reader():
    return WordReader()


@pytest.fixture
def paper_of():
    return make_paper


@pytest.fixture
def index_of(embedder):
    return lambda file, blocks: make_index(file, blocks, embedder)


@pytest.fixture
def library(embedder):
    """Two hand-made papers."""
    from app.retrieve.library import Library

    second = [
        (1, "main", "1 Start", ["Attention compares every pair of tokens.", "Rain fell."]),
        (7, "main", "5 Results", ["Attention costs quadratic time.", "Gates cost little."]),
    ]
    embedder_ = embedder
    indexes = [make_index("a.pdf", BLOCKS, embedder_), make_index("b.pdf", second, embedder_)]
    return Library(indexes, embedder)


@pytest.fixture
def pdfs(tmp_path, monkeypatch):
    """Writes files that stand for PDFs: each line `page|part|section|sentence|sentence...`."""
    import app.retrieve.library as home

    def read(path):
        lines = Path(path).read_text().split("\n")
        blocks = [line.split("|") for line in lines if line]
        blocks = [(int(page), part, section, rest) for page, part, section, *rest in blocks]
        sha256 = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        return make_paper(shown_name(Path(path)), blocks, sha256)[0]

    def chunk(paper, settings, count_tokens, max_tokens):
        read_again = next(p for p in folder.iterdir() if shown_name(p) == paper.file)
        lines = [line.split("|") for line in read_again.read_text().split("\n") if line]
        blocks = [(int(page), part, section, rest) for page, part, section, *rest in lines]
        return list(make_paper(paper.file, blocks)[1])

    folder = tmp_path / "papers"
    folder.mkdir()
    monkeypatch.setattr(home, "read_paper", read)
    monkeypatch.setattr(home, "chunk_paper", chunk)

    def write(name, *lines):
        path = folder / name
        path.write_text("\n".join(lines))
        return path

    return write

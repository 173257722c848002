"""Papers ready to be searched: opened from their indexes, of which missing ones are made first.

It cuts no text and ranks nothing itself: that is app.papers' and the retrievers' work.
"""

import dataclasses
import hashlib
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from app.papers.chunk import ChunkSettings, chunk_paper
from app.papers.read import read_paper
from app.papers.records import Chunk, Paper, PaperError, shown_name
from app.retrieve import index as disk
from app.retrieve.base import Retriever, chunk_document
from app.retrieve.contents import PaperIndex, pooled
from app.retrieve.embed import Embedder, load_embedder
from app.retrieve.registry import make_retriever
from app.retrieve.store import CosineStore, EmbedderForLangChain
from app.retrieve.words import WordIndex
from app.show import html
from app.show.text import count, plain

# How chunks get their vectors. Embedding them whole costs twice the time and found no more; title
# and section before the text found less: see data/experiments/retrieval.md.
ChunkVectors = Literal["sentences", "whole", "titled"]
TITLE_TOKENS = 48


class Library:
    """Papers, their chunks and their vectors, in memory.

    Attributes:
        papers: The papers, in the order given.
        failures: The papers that could not be read, with reason and way out.
        messages: What else deserves to be known: indexes made anew and why, skipped pages.
        chunks: All chunks, in the order of the papers.
        embedder: What embeds the questions.
        store: A langchain-core vector store of all chunks; scores are cosines.
        paths: Where each paper was opened, by its file name; what page links lead to.
    """

    def __init__(
        self,
        indexes: Sequence[PaperIndex],
        embedder: Embedder,
        failures: Sequence[PaperError] = (),
        messages: Sequence[str] = (),
        paths: Mapping[str, str] | None = None,
    ) -> None:
        self.embedder, self.failures, self.messages = embedder, list(failures), list(messages)
        self.paths = dict(paths or {})
        self.papers: list[Paper] = [each.paper for each in indexes]
        self.chunks: list[Chunk] = [chunk for each in indexes for chunk in each.chunks]
        self.store = CosineStore(EmbedderForLangChain(embedder))
        self._chunks: dict[str, Chunk] = {}
        self._vectors: dict[str, np.ndarray] = {}
        self._sentences = np.concatenate([each.sentence_vectors for each in indexes])
        self._places: dict[str, slice] = {}  # a chunk's rows in it
        start = 0
        for each in indexes:
            start = self._add(each, start)
        self.store.prepare()

    def _add(self, index: PaperIndex, start: int) -> int:
        """Add a paper whose first sentence's vector is row `start`; returns the next row."""
        for row, chunk in enumerate(index.chunks):
            stop = start + len(chunk.sentences)
            self._chunks[chunk.id] = chunk
            self._vectors[chunk.id] = index.vectors[row]
            self._places[chunk.id] = slice(start, stop)
            start = stop
        self.store.add_vectors(index.vectors, [chunk_document(chunk) for chunk in index.chunks])
        return start

    @classmethod
    def open(
        cls,
        paths: str | Path | Iterable[str | Path],
        index: str | Path = "data/index",
        embedder: Embedder | None = None,
        settings: ChunkSettings | None = None,
        *,
        vectors: ChunkVectors = "sentences",
        progress: bool = True,
    ) -> "Library":
        """Open papers; those without a current index are read, cut and embedded first.

        Args:
            paths: PDF files; the same file given twice counts once.
            index: Folder of the indexes.
            embedder: None for the default one.
            settings: How papers are cut.
            vectors: What a chunk's vector is made of: "sentences" for the mean of its sentences'
                vectors, each weighted by the root of its words; "whole" for the text embedded as
                one; "titled" for "title. section. text" embedded as one.
            progress: Whether embedding shows a bar, "3/19 NAME" for the third of 19 files.

        Raises:
            PaperError: not one paper could be read.
            UnusableFolder: an index is to be written and its folder cannot be.
        """
        paths = [paths] if isinstance(paths, (str, Path)) else list(paths)
        opener = _Opener(
            Path(index), embedder or load_embedder(), settings or ChunkSettings(), vectors, progress
        )
        for number, path in enumerate(paths, start=1):
            opener.place = f"{number}/{len(paths)} " if len(paths) > 1 else ""
            opener.open(Path(path))
        if not opener.indexes:
            raise _nothing_to_read(opener.failures)
        return cls(opener.indexes, opener.embedder, opener.failures, opener.messages, opener.paths)

    def retriever(self, name: str = "similarity", k: int = 3, **settings: Any) -> Retriever:
        """A retriever by name, with its filters and settings; see `registry.make_retriever`."""
        return make_retriever(name, self, k=k, **settings)

    def chunk(self, id: str) -> Chunk:
        """The chunk with this id; KeyError where there is none."""
        return self._chunks[id]

    def vector(self, id: str) -> np.ndarray:
        """Vector (width,) float32 of length 1 of the chunk with this id."""
        return self._vectors[id]

    def sentence_vectors(self, id: str) -> np.ndarray:
        """Vectors (sentences, width) float32 of length 1 of a chunk's sentences, as stored."""
        return self._sentences[self._places[id]]

    def best_sentence_cosines(self, question: str) -> np.ndarray:
        """Cosine (chunks,) float32 of a question and the nearest sentence of each chunk."""
        cosines = self._sentences @ self.embedder.encode_question(question)
        starts = [self._places[chunk.id].start for chunk in self.chunks]
        return np.maximum.reduceat(cosines, starts)

    @cached_property
    def words(self) -> WordIndex:
        """The BM25 index of all chunks, built when it is first needed."""
        return WordIndex([chunk.text for chunk in self.chunks])

    def file_of(self, paper: str) -> str:
        """File name of the paper that a file name, its stem or an arXiv id means.

        Raises:
            ValueError: none does, or several do; the message lists them.
        """
        if any(each.file == paper for each in self.papers):
            return paper
        wanted = paper[6:] if paper.lower().startswith("arxiv:") else paper
        for same in (str, str.casefold):  # exactly first, as names may differ in case alone
            found = [p.file for p in self.papers if same(wanted) in map(same, _names(p))]
            if len(found) == 1:
                return found[0]
            if found:
                raise ValueError(f"{paper!r} may mean any of {', '.join(found)}")
        raise ValueError(f"no paper {paper!r}; there are {', '.join(p.file for p in self.papers)}")

    def __repr__(self) -> str:
        return f"Library({count(len(self.papers), 'paper')}, {count(len(self.chunks), 'chunk')})"

    def __str__(self) -> str:
        lines = [repr(self)]
        for file, title, pages, chunks in self._rows():
            lines.append(f"  {file}: {title} ({pages} pages, {chunks} chunks)")
        lines += [f"  not read: {failure}" for failure in self.failures]
        return "\n".join(plain(line) for line in lines)

    def _rows(self) -> list[tuple[str, str, int, int]]:
        sizes = {paper.file: 0 for paper in self.papers}
        for chunk in self.chunks:
            sizes[chunk.paper] += 1
        return [(p.file, p.title, len(p.pages), sizes[p.file]) for p in self.papers]

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))  # what a notebook keeps beside the HTML

    def _repr_html_(self) -> str:
        rows = [
            (html.escape(file), [html.escape(title), str(pages), str(chunks)])
            for file, title, pages, chunks in self._rows()
        ]
        notes = [html.tag("p", html.escape(str(note))) for note in (*self.messages, *self.failures)]
        caption = f"{count(len(self.papers), 'paper')} to ask"
        table = html.table(caption, ("file", "title", "pages", "chunks"), rows, "wide")
        return html.container(table, *notes, label="library of papers")


class _Opener:
    """Opens one paper after another and collects what comes of it."""

    def __init__(
        self,
        root: Path,
        embedder: Embedder,
        settings: ChunkSettings,
        vectors: ChunkVectors,
        progress: bool,
    ) -> None:
        self.root, self.embedder, self.settings = root, embedder, settings
        self.vectors, self.progress, self.place = vectors, progress, ""
        self.indexes: list[PaperIndex] = []
        self.failures: list[PaperError] = []
        self.messages: list[str] = []
        self.paths: dict[str, str] = {}
        self._seen: dict[str, Path] = {}
        disk.remove_leftovers(root)

    def open(self, path: Path) -> None:
        """Open a paper, or note why not."""
        try:
            sha256 = _sha256(path)
            first = self._seen.setdefault(sha256, path)
            if first is path:
                self._refuse_same_name(path)
                self.indexes.append(self._index(path, sha256))
                self.paths[shown_name(path)] = str(path)
            elif first.resolve() != path.resolve():
                self.messages.append(f"{path}: the same paper as {first}, used once")
        except PaperError as failure:
            self.failures.append(failure)

    def _refuse_same_name(self, path: Path) -> None:
        if any(index.paper.file == shown_name(path) for index in self.indexes):
            raise PaperError(
                str(path), "another paper bears the same file name", "rename one of the two"
            )

    def _index(self, path: Path, sha256: str) -> PaperIndex:
        settings = dataclasses.asdict(self.settings)
        recipe = disk.make_recipe(path, sha256, self.embedder.fingerprint, settings, self.vectors)
        folder = self.root / disk.folder_name(recipe)
        if os.path.exists(folder):
            try:
                found = disk.read_index(folder, recipe, self.embedder.width)
                self._note_skipped(found.paper)
                disk.tidy(self.root, recipe)
                return found
            except disk.UnusableIndex as damage:
                self.messages.append(f"{path.name}: index made anew, for {damage}")
        else:
            for other in disk.others(self.root, recipe)[:1]:
                cause = disk.difference(other, recipe)
                self.messages.append(f"{path.name}: index made anew ({cause})")
        disk.make_root(self.root)  # before the minutes that a paper takes
        built = self._build(path)
        recipe = {**recipe, "pdf_sha256": built.paper.sha256}  # the file may have changed meanwhile
        disk.write_index(self.root, recipe, built)
        disk.tidy(self.root, recipe)
        return built

    def _build(self, path: Path) -> PaperIndex:
        with warnings.catch_warnings(record=True):  # skipped pages: they are noted below
            warnings.simplefilter("always")
            paper = read_paper(path)
        self._note_skipped(paper)
        most = self.embedder.max_tokens - (TITLE_TOKENS if self.vectors == "titled" else 0)
        chunks = chunk_paper(paper, self.settings, self.embedder.count_tokens, most)
        if not chunks:
            raise PaperError(path.name, "has no text that could be cut", "give another copy")
        sentences = [sentence.text for chunk in chunks for sentence in chunk.sentences]
        whole = [] if self.vectors == "sentences" else [self._text(chunk) for chunk in chunks]
        unique = list(dict.fromkeys([*whole, *sentences]))
        rows = self.embedder.encode(unique, self.place + paper.file if self.progress else None)
        row = {text: i for i, text in enumerate(unique)}
        of_sentences = rows[[row[text] for text in sentences]]
        vectors = rows[[row[text] for text in whole]] if whole else pooled(chunks, of_sentences)
        return PaperIndex(paper, tuple(chunks), vectors, of_sentences)

    def _text(self, chunk: Chunk) -> str:
        """What is embedded for a whole chunk."""
        words = f"{chunk.title}. {chunk.section}.".split() if self.vectors == "titled" else []
        while words and self.embedder.count_tokens(" ".join(words)) > TITLE_TOKENS:
            words.pop(0)
        return " ".join([*words, chunk.text])

    def _note_skipped(self, paper: Paper) -> None:
        self.messages += [
            f"{paper.file}: page {number} skipped: {reason}" for number, reason in paper.skipped
        ]


def _sha256(path: Path) -> str:
    if path.exists() and not path.is_file() and not path.is_dir():
        raise PaperError(str(path), "is no regular file", "give the PDF itself")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise PaperError(str(path), error.strerror or "cannot be read", "check the path") from None


def _names(paper: Paper) -> set[str]:
    """What a paper may be called: file name, its stem, arXiv id with and without the version."""
    arxiv = paper.arxiv_id or ""
    return {paper.file, Path(paper.file).stem, arxiv, arxiv.partition("v")[0]} - {""}


def _nothing_to_read(failures: Sequence[PaperError]) -> PaperError:
    if len(failures) == 1:
        return failures[0]
    reasons = "; ".join(f"{failure.file}: {failure.reason}" for failure in failures)
    return PaperError(
        f"{len(failures)} papers", reasons or "none was named", "give a PDF with a text layer"
    )

"""Plain texts, abstracts say, as a library: each is one chunk, and every retriever works on it.

It reads no file but its own index; papers have pages and are opened by `Library.open`.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from app.papers.records import Chunk, Page, Paper, Sentence, Span
from app.papers.sentences import split_sentences
from app.retrieve import index as disk
from app.retrieve.contents import PaperIndex, pooled
from app.retrieve.embed import Embedder, load_embedder
from app.retrieve.library import Library


class Text(NamedTuple):
    """A text with its title, which may be empty; `id` becomes the chunk's."""

    id: str
    title: str
    text: str


def library_of_texts(
    collections: Mapping[str, Sequence[Text]],
    index: str | Path = "data/index",
    embedder: Embedder | None = None,
    *,
    progress: bool = True,
) -> Library:
    """A library in which each collection is a paper and its n-th text page n; embedded once.

    Args:
        collections: Texts by the name that stands where a file name does; each is one chunk
            whatever its length, its title the first sentence, its id unlike any other's.
        index: Folder of the indexes.
        embedder: None for the default one.
        progress: Whether embedding shows a bar.

    Raises:
        ValueError: there is no text, one is blank, or two have the same id.
    """
    _check([text for texts in collections.values() for text in texts])
    embedder, messages = embedder or load_embedder(), []
    indexes = [
        _open(name, texts, Path(index), embedder, progress, messages)
        for name, texts in collections.items()
    ]
    return Library(indexes, embedder, messages=messages)


def _open(
    name: str,
    texts: Sequence[Text],
    index: Path,
    embedder: Embedder,
    progress: bool,
    messages: list[str],
) -> PaperIndex:
    """The index of a collection, from the disk or made anew; what happened goes to `messages`."""
    sha256 = hashlib.sha256(json.dumps(texts).encode()).hexdigest()
    recipe = disk.make_recipe(Path(name), sha256, embedder.fingerprint, {}, "sentences")
    folder = index / disk.folder_name(recipe)
    if folder.exists():
        try:
            return disk.read_index(folder, recipe)
        except disk.UnusableIndex as damage:
            messages.append(f"{name}: index made anew, for {damage}")
    built = _build(name, sha256, texts, embedder, name if progress else None)
    disk.write_index(index, recipe, built)
    return built


def _check(texts: Sequence[Text]) -> None:
    seen: set[str] = set()
    for each in texts:
        if each.id in seen:
            raise ValueError(f"two texts have the id {each.id!r}")
        if not _whole(each).strip():
            raise ValueError(f"the text {each.id!r} is blank")
        seen.add(each.id)
    if not texts:
        raise ValueError("there is no text to search")


def _build(
    name: str, sha256: str, texts: Sequence[Text], embedder: Embedder, progress: str | None
) -> PaperIndex:
    chunks = tuple(_chunk(name, number, text) for number, text in enumerate(texts, start=1))
    pages = tuple(Page(chunk.page, chunk.label, chunk.text) for chunk in chunks)
    paper = Paper(name, sha256, name, None, pages, ())
    sentences = [sentence.text for chunk in chunks for sentence in chunk.sentences]
    unique = list(dict.fromkeys(sentences))
    row = {text: i for i, text in enumerate(unique)}
    vectors: np.ndarray = embedder.encode(unique, progress)[[row[text] for text in sentences]]
    return PaperIndex(paper, chunks, pooled(chunks, vectors), vectors)


def _chunk(name: str, number: int, each: Text) -> Chunk:
    text = _whole(each)
    sentences = tuple(
        Sentence(text[start:end], start, end, (Span(number, start, end),))
        for start, end in split_sentences(text)
    )
    span = Span(number, 0, len(text))
    return Chunk(each.id, name, name, each.title, "main", each.id, text, (span,), sentences)


def _whole(each: Text) -> str:
    return f"{each.title}\n{each.text}" if each.title else each.text

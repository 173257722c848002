"""What an index holds, as records and as bytes: FAISS for chunks, .npy for sentences, JSON else.

It never touches the disk, and no byte is a pickle.
"""

import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.papers.records import Chunk, Page, Paper, Section, Sentence, Span

FILES = ("index.faiss", "sentences.npy", "paper.json")
LENGTH_TOLERANCE = 1e-2  # of a row's length of 1, as vectors computed in bfloat16 have it


@dataclass(frozen=True, eq=False)
class PaperIndex:
    """A paper, its chunks, and their vectors.

    `vectors` is (chunks, width) and `sentence_vectors` (all sentences of the chunks in order,
    width), both float32 with rows of length 1.
    """

    paper: Paper
    chunks: tuple[Chunk, ...]
    vectors: np.ndarray
    sentence_vectors: np.ndarray


def pooled(chunks: Sequence[Chunk], sentence_vectors: np.ndarray) -> np.ndarray:
    """Vectors of chunks as means of their sentences', weighted by the root of the words in each.

    Args:
        chunks: n chunks.
        sentence_vectors: (sentences of all chunks in order, width), rows of length 1.

    Returns:
        (n, width) float32, rows of length 1.
    """
    weights = [len(sentence.text.split()) ** 0.5 for c in chunks for sentence in c.sentences]
    sizes = [len(chunk.sentences) for chunk in chunks]
    starts = np.cumsum([0, *sizes[:-1]])
    sums = np.add.reduceat(sentence_vectors * np.array(weights)[:, None], starts, axis=0)
    return (sums / np.linalg.norm(sums, axis=1, keepdims=True)).astype(np.float32)


def encode(index: PaperIndex) -> dict[str, bytes]:
    """The files of an index: name and content."""
    import faiss

    flat = faiss.IndexFlatIP(index.vectors.shape[1])
    flat.add(np.ascontiguousarray(index.vectors, dtype=np.float32))
    sentences = io.BytesIO()
    np.save(sentences, index.sentence_vectors.astype(np.float32, copy=False), allow_pickle=False)
    record = {"paper": dataclasses.asdict(index.paper), "chunks": [_plain(c) for c in index.chunks]}
    return {
        "index.faiss": faiss.serialize_index(flat).tobytes(),
        "sentences.npy": sentences.getvalue(),
        "paper.json": json.dumps(record).encode(),
    }


def decode(data: Mapping[str, bytes], width: int | None = None) -> PaperIndex:
    """The index that files hold; any of several errors where they do not fit each other."""
    import faiss

    flat = faiss.deserialize_index(np.frombuffer(data["index.faiss"], dtype=np.uint8))
    sentences = np.load(io.BytesIO(data["sentences.npy"]), allow_pickle=False)
    record = json.loads(data["paper.json"])
    chunks = tuple(_chunk(each) for each in record["chunks"])
    if flat.metric_type != faiss.METRIC_INNER_PRODUCT or flat.ntotal != len(chunks):
        raise ValueError(f"{flat.ntotal} vectors for {len(chunks)} chunks")
    if len(sentences) != sum(len(chunk.sentences) for chunk in chunks):
        raise ValueError(f"{len(sentences)} vectors of sentences are not one for each")
    vectors = flat.reconstruct_n(0, len(chunks))
    for name, rows in (("chunks", vectors), ("sentences", sentences)):
        _check_rows(name, rows, width or vectors.shape[1])
    return PaperIndex(_paper(record["paper"]), chunks, vectors, sentences)


def _check_rows(name: str, rows: np.ndarray, width: int) -> None:
    """Vectors must be finite, of that width and of length 1: scores are taken for cosines."""
    if rows.dtype != np.float32 or rows.ndim != 2 or rows.shape[1] != width:
        raise ValueError(f"vectors of {name} are {rows.dtype} of shape {rows.shape}")
    lengths = np.linalg.norm(rows, axis=1)
    if not (np.abs(lengths - 1) <= LENGTH_TOLERANCE).all():  # false for what is not finite too
        raise ValueError(f"vectors of {name} are not of length 1")


def _plain(chunk: Chunk) -> dict[str, Any]:
    # a sentence's text stands in the chunk's
    sentences = [(s.start, s.end, s.spans) for s in chunk.sentences]
    fields = {field.name: getattr(chunk, field.name) for field in dataclasses.fields(chunk)}
    return {**fields, "sentences": sentences}


def _chunk(fields: dict[str, Any]) -> Chunk:
    text = fields["text"]
    sentences = tuple(
        Sentence(text[start:end], start, end, _spans(spans))
        for start, end, spans in fields["sentences"]
    )
    return Chunk(**{**fields, "spans": _spans(fields["spans"]), "sentences": sentences})


def _paper(fields: dict[str, Any]) -> Paper:
    sections = (Section(**{**each, "span": Span(*each["span"])}) for each in fields["sections"])
    changed = {
        "pages": tuple(Page(**page) for page in fields["pages"]),
        "sections": tuple(sections),
        "skipped": tuple((number, reason) for number, reason in fields["skipped"]),
        "figures": _spans(fields["figures"]),
    }
    return Paper(**{**fields, **changed})


def _spans(lists: list[list[int]]) -> tuple[Span, ...]:
    return tuple(Span(*each) for each in lists)

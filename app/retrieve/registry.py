"""Which retriever a name stands for: a new one is one class and one line here."""

from typing import Any

from app.retrieve.base import Retriever
from app.retrieve.bm25 import BM25Retriever
from app.retrieve.compression import CompressionRetriever
from app.retrieve.ensemble import EnsembleRetriever, HybridRetriever
from app.retrieve.mmr import MMRRetriever
from app.retrieve.sentence import SentenceRetriever
from app.retrieve.similarity import SimilarityRetriever

RETRIEVERS: dict[str, type[Retriever]] = {
    "similarity": SimilarityRetriever,
    "compression": CompressionRetriever,
    "hybrid": HybridRetriever,
    "bm25": BM25Retriever,
    "sentence": SentenceRetriever,
    "mmr": MMRRetriever,
    "ensemble": EnsembleRetriever,
}


def make_retriever(name: str, library: Any, **settings: Any) -> Retriever:
    """The retriever of that name over a library.

    Args:
        name: One of RETRIEVERS, or several with "+" between them for an ensemble of those.
        library: What it searches.
        settings: Fields of its class: `k`, filters and its own.

    Raises:
        ValueError: an unknown name or setting; the message lists the known ones.
    """
    names = [part.strip() for part in name.split("+")]
    for each in names:
        if each not in RETRIEVERS:
            raise ValueError(f"no retriever {each!r}; there are {', '.join(RETRIEVERS)}")
    kind = RETRIEVERS[name] if len(names) == 1 else EnsembleRetriever
    unknown = [key for key in settings if key not in kind.model_fields]
    if unknown:
        known = ", ".join(sorted(set(kind.model_fields) - {"library", "name", "tags", "metadata"}))
        raise ValueError(f"{name} has no setting {unknown[0]!r}; it has {known}")
    if len(names) > 1:
        settings = {"name": name, "of": tuple(names), **settings}
    return kind(library=library, **settings)

"""Which retriever a name stands for: a new one is one class and one line here."""

from typing import Any

from app.retrieve.base import Retriever
from app.retrieve.compression import CompressionRetriever
from app.retrieve.similarity import SimilarityRetriever

RETRIEVERS: dict[str, type[Retriever]] = {
    "similarity": SimilarityRetriever,
    "compression": CompressionRetriever,
}


def make_retriever(name: str, library: Any, **settings: Any) -> Retriever:
    """The retriever of that name over a library.

    Args:
        name: One of RETRIEVERS.
        library: What it searches.
        settings: Fields of its class: `k`, filters and its own.

    Raises:
        ValueError: an unknown name or setting; the message lists the known ones.
    """
    if name not in RETRIEVERS:
        raise ValueError(f"no retriever {name!r}; there are {', '.join(RETRIEVERS)}")
    fields = RETRIEVERS[name].model_fields
    unknown = [key for key in settings if key not in fields]
    if unknown:
        known = ", ".join(sorted(set(fields) - {"library", "name", "tags", "metadata"}))
        raise ValueError(f"{name} has no setting {unknown[0]!r}; it has {known}")
    return RETRIEVERS[name](library=library, **settings)

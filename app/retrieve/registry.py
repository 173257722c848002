"""Which retriever a name stands for: a new one is one class and one line here."""

from typing import Any

from app.retrieve.base import Retriever
from app.retrieve.bm25 import BM25Retriever
from app.retrieve.compression import CompressionRetriever
from app.retrieve.compression_xlstm import LikelihoodCompressionRetriever
from app.retrieve.ensemble import EnsembleRetriever, HybridRetriever
from app.retrieve.mmr import MMRRetriever
from app.retrieve.rerank import RerankRetriever
from app.retrieve.sentence import SentenceRetriever
from app.retrieve.similarity import SimilarityRetriever

RETRIEVERS: dict[str, type[Retriever]] = {
    "similarity": SimilarityRetriever,
    "compression": CompressionRetriever,
    "compression-xlstm": LikelihoodCompressionRetriever,
    "hybrid": HybridRetriever,
    "rerank": RerankRetriever,
    "bm25": BM25Retriever,
    "sentence": SentenceRetriever,
    "mmr": MMRRetriever,
    "ensemble": EnsembleRetriever,
}


def make_retriever(name: str, library: Any, **settings: Any) -> Retriever:
    """The retriever of that name over a library.

    Args:
        name: One of RETRIEVERS, or several with "+" between them for an ensemble of those. Settings
            may follow one: "compression:words=0.2,neighbours=0".
        library: What it searches.
        settings: Fields of its class: `k`, filters and its own.

    Raises:
        ValueError: an unknown name or setting, and the message lists the known ones; or no reader
            for one that asks it.
    """
    name, own = spelled(name)
    settings = {**own, **settings}
    names = [part.strip() for part in name.split("+")]
    for each in names:
        if each not in RETRIEVERS:
            raise ValueError(f"no retriever {each!r}; there are {', '.join(RETRIEVERS)}")
    if asks_reader(name) and settings.get("reader") is None:
        raise ValueError(
            f"{name} asks the local model: give it one, "
            f"library.retriever({name!r}, reader=app.load_reader())"
        )
    kind = RETRIEVERS[name] if len(names) == 1 else EnsembleRetriever
    unknown = [key for key in settings if key not in kind.model_fields]
    if unknown:
        known = ", ".join(sorted(set(kind.model_fields) - {"library", "name", "tags", "metadata"}))
        raise ValueError(f"{name} has no setting {unknown[0]!r}; it has {known}")
    if len(names) > 1:
        settings = {"name": name, "of": tuple(names), **settings}
    return kind(library=library, **settings)


def spelled(name: str) -> tuple[str, dict[str, str]]:
    """Name and settings of "name:setting=value,setting=value".

    Raises:
        ValueError: a setting without a value.
    """
    name, _, rest = name.partition(":")
    pairs = [each.partition("=") for each in rest.split(",") if each]
    for key, sign, value in pairs:
        if not (sign and value):
            raise ValueError(f"{key!r} has no value; write {name}:{key}=VALUE")
    return name.strip(), {key.strip(): value.strip() for key, _, value in pairs}


def asks_reader(name: str) -> bool:
    """Whether the retriever of that name, or one of an ensemble's, needs the local model."""
    parts = [part.strip() for part in spelled(name)[0].split("+")]
    return any(RETRIEVERS[part].asks_reader for part in parts if part in RETRIEVERS)

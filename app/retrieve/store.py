"""A langchain-core vector store in memory whose scores are cosines.

It never loads or saves anything, and a filter loses no document that it lets through.
"""

import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

from app.retrieve.embed import Embedder
from app.retrieve.vectors import Found, SearchSettings, Vectors

_LOOKED_AT = 1000  # best documents of which a filter may pick; beyond, it says what is searched

Predicate = Callable[[Document], bool]


class EmbedderForLangChain(Embeddings):
    """Our embedder as langchain-core calls one."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Vectors of texts to be searched, each of length 1."""
        return self.embedder.encode(texts).tolist()

    def embed_query(self, text: str) -> list[float]:
        """Vector of a question, of length 1."""
        return self.embedder.encode_question(text).tolist()


class CosineStore(VectorStore):
    """Documents with their vectors; every score is a cosine in [-1, 1].

    Searches are exact up to `settings.flat_up_to` documents, and above it where a filter leaves few
    of the best; else they find nearly all (see `SearchSettings`).

    Args:
        embedding: What turns questions, and texts added later, into vectors.
        settings: How many are searched how.
    """

    def __init__(self, embedding: Embeddings, settings: SearchSettings | None = None) -> None:
        self._embedding, self._settings = embedding, settings or SearchSettings()
        self._vectors: Vectors | None = None  # the width is known with the first vector
        self._documents: list[Document] = []
        self._rows: dict[str, int] = {}

    @property
    def embeddings(self) -> Embeddings:
        """What turns texts into vectors."""
        return self._embedding

    def __len__(self) -> int:
        return len(self._documents)

    def add_vectors(self, vectors: np.ndarray, documents: Sequence[Document]) -> list[str]:
        """Add documents whose vectors are known.

        Args:
            vectors: (n, width), of any length but 0; the store keeps them at length 1.
            documents: n documents; one without an id gets one.

        Raises:
            ValueError: another number or width of vectors, or an id that is there already; nothing
                is added then.
        """
        ids = [document.id or str(uuid.uuid4()) for document in documents]
        if not ids:
            return []
        vectors = np.asarray(vectors, dtype=np.float32)
        self._check_new(ids)
        self._check_fit(vectors, ids)
        if self._vectors is None:
            self._vectors = Vectors(vectors.shape[1], self._settings)
        self._vectors.add(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
        for id, document in zip(ids, documents):
            self._rows[id] = len(self._documents)
            known = document.id == id
            self._documents.append(document if known else document.model_copy(update={"id": id}))
        return ids

    def _check_new(self, ids: Sequence[str]) -> None:
        seen: set[str] = set()  # not all ids: adding paper by paper would copy them each time
        for id in ids:
            if id in seen or id in self._rows:
                raise ValueError(f"the id {id!r} is taken; leave out what the store holds")
            seen.add(id)

    def _check_fit(self, vectors: np.ndarray, ids: Sequence[str]) -> None:
        if len(vectors) != len(ids):
            raise ValueError(f"{len(vectors)} vectors for {len(ids)} documents")
        if self._vectors is not None and vectors.shape[1] != self._vectors.width:
            raise ValueError(
                f"vectors of width {vectors.shape[1]}, but the store's have {self._vectors.width}: "
                "one store, one embedder"
            )

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Embed and add texts; see `add_vectors`."""
        texts = list(texts)
        rows = zip(texts, metadatas or [{}] * len(texts), ids or [None] * len(texts), strict=True)
        documents = [Document(page_content=t, metadata=m, id=i) for t, m, i in rows]
        self._check_new([id for id in ids or () if id])  # before they are embedded
        return self.add_vectors(np.array(self._embedding.embed_documents(texts)), documents)

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> "CosineStore":
        """A store of texts."""
        store = cls(embedding)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """The documents with these ids, in their order; unknown ids are passed over."""
        return [self._documents[self._rows[id]] for id in ids if id in self._rows]

    def similarity_search(
        self, query: str, k: int = 4, filter: Predicate | None = None, **kwargs: Any
    ) -> list[Document]:
        """The k documents with the highest cosine to a question."""
        return [document for document, _ in self.similarity_search_with_score(query, k, filter)]

    def similarity_search_with_score(
        self, query: str, k: int = 4, filter: Predicate | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """The k documents with the highest cosine to a question, with that cosine.

        `filter` says of a document whether it is searched. Equal scores are ordered by id.
        """
        vector = self._embedding.embed_query(query)
        return self.similarity_search_with_score_by_vector(vector, k, filter)

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, filter: Predicate | None = None, **kwargs: Any
    ) -> list[Document]:
        """The k documents with the highest cosine to a vector."""
        found = self.similarity_search_with_score_by_vector(embedding, k, filter)
        return [document for document, _ in found]

    def similarity_search_with_score_by_vector(
        self, embedding: list[float], k: int = 4, filter: Predicate | None = None
    ) -> list[tuple[Document, float]]:
        """The k documents with the highest cosine to a vector of any length, with that cosine."""
        if k < 1 or self._vectors is None:
            return []
        query = np.asarray(embedding, dtype=np.float32)
        query = query / np.linalg.norm(query)
        found = self._best(query, k, filter)
        if found is None:
            found = self._best_allowed(query, k, filter)
        found = [(self._documents[row], score) for row, score in found]
        return sorted(found, key=lambda pair: (-pair[1], pair[0].id))[:k]

    def prepare(self) -> None:
        """Do what the first search of many documents would wait for."""
        if self._vectors is not None:
            self._vectors.prepare()

    def _best(self, query: np.ndarray, k: int, filter: Predicate | None) -> Found | None:
        """At least k rows that a filter lets through, and all that tie with the k-th.

        So the cut at k is by id. None where they are not among the first best of all.
        """
        count = min(k + 1, len(self))
        while True:
            found = self._vectors.nearest(query, count)
            kept = [(row, s) for row, s in found if filter is None or filter(self._documents[row])]
            if count == len(self) == len(found) or _settled(found, kept, k):
                return kept
            if count >= max(_LOOKED_AT, 4 * k) or len(found) < count:
                return None
            count = min(4 * count, len(self))

    def _best_allowed(self, query: np.ndarray, k: int, filter: Predicate | None) -> Found:
        """The same, searched among all that the filter lets through."""
        rows = [i for i, d in enumerate(self._documents) if filter is None or filter(d)]
        rows, count = np.array(rows, dtype=np.int64), k + 1
        while len(rows):
            found = self._vectors.among(query, rows, count)
            if count >= len(rows) or _settled(found, found, k):
                return found
            count *= 2
        return []

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        # LangChain wants 0 to 1; a cosine below 0 is as irrelevant as 0
        return lambda cosine: max(0.0, cosine)


def _settled(found: Found, kept: Found, k: int) -> bool:
    """Whether the k-th that was kept is better than the last that was found."""
    return len(kept) >= k and found[-1][1] < kept[k - 1][1]

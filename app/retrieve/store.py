"""A langchain-core vector store in memory whose scores are cosines, over a flat FAISS index.

It never loads or saves anything, and its filters look at every document: none is missed.
"""

import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

from app.retrieve.embed import Embedder

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
    """Documents with their vectors; every search is exact and every score a cosine in [-1, 1].

    Args:
        embedding: What turns questions, and texts added later, into vectors.
    """

    def __init__(self, embedding: Embeddings) -> None:
        self._embedding = embedding
        self._index: Any = None  # the width is known with the first vector
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
        import faiss

        ids = [document.id or str(uuid.uuid4()) for document in documents]
        if not ids:
            return []
        vectors = np.asarray(vectors, dtype=np.float32)
        self._check_new(ids)
        self._check_fit(vectors, ids)
        if self._index is None:
            self._index = faiss.IndexFlatIP(vectors.shape[1])
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        self._index.add(np.ascontiguousarray(vectors / lengths))
        for id, document in zip(ids, documents):
            self._rows[id] = len(self._documents)
            self._documents.append(document.model_copy(update={"id": id}))
        return ids

    def _check_new(self, ids: Sequence[str]) -> None:
        seen = set(self._rows)
        for id in ids:
            if id in seen:
                raise ValueError(f"the id {id!r} is taken; leave out what the store holds")
            seen.add(id)

    def _check_fit(self, vectors: np.ndarray, ids: Sequence[str]) -> None:
        if len(vectors) != len(ids):
            raise ValueError(f"{len(vectors)} vectors for {len(ids)} documents")
        if self._index is not None and vectors.shape[1] != self._index.d:
            raise ValueError(
                f"vectors of width {vectors.shape[1]}, but the store's have {self._index.d}: "
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
        rows = [i for i, d in enumerate(self._documents) if filter is None or filter(d)]
        if not rows or k < 1:
            return []
        query = np.asarray(embedding, dtype=np.float32)[None]
        found = self._nearest(query / np.linalg.norm(query), rows, k)
        found = [(self._documents[row], score) for row, score in found]
        return sorted(found, key=lambda pair: (-pair[1], pair[0].id))[:k]

    def _nearest(self, query: np.ndarray, rows: list[int], k: int) -> list[tuple[int, float]]:
        """At least k rows and all that tie with the k-th, so that the cut at k is by id."""
        import faiss

        only = faiss.SearchParameters(sel=faiss.IDSelectorBatch(np.array(rows, dtype=np.int64)))
        count = min(k, len(rows))
        while True:
            wanted = min(count + 1, len(rows))
            scores, found = self._index.search(query, wanted, params=only)
            if wanted == len(rows) or scores[0, -1] < scores[0, min(k, len(rows)) - 1]:
                return list(zip(found[0].tolist(), scores[0].clip(-1, 1).tolist()))
            count *= 2

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        # LangChain wants 0 to 1; a cosine below 0 is as irrelevant as 0
        return lambda cosine: max(0.0, cosine)

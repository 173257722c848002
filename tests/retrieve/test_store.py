"""Scores that are cosines, exact filters, ids that do not double."""

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

from app.retrieve.store import CosineStore


class Table(Embeddings):
    """Vectors by hand: the text is the vector."""

    def embed_query(self, text):
        return [float(number) for number in text.split()]

    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]


@pytest.fixture
def store():
    return CosineStore.from_texts(["1 0", "3 4", "0 -2", "-5 0"], Table(), ids=["a", "b", "c", "d"])


def test_scores_are_cosines(store):
    found = store.similarity_search_with_score("2 0", k=4)
    assert [(document.id, round(score, 6)) for document, score in found] == [
        ("a", 1.0),
        ("b", 0.6),
        ("c", 0.0),
        ("d", -1.0),
    ]
    assert isinstance(store, VectorStore)


def test_a_filter_loses_nothing():
    numbers = np.random.default_rng(0).standard_normal((300, 8))
    texts = [" ".join(map(str, row)) for row in numbers]
    metadatas = [{"third": i % 3} for i in range(300)]
    store = CosineStore.from_texts(texts, Table(), metadatas, ids=[f"{i:03d}" for i in range(300)])
    query = np.random.default_rng(1).standard_normal(8)
    cosines = numbers @ query / np.linalg.norm(numbers, axis=1) / np.linalg.norm(query)
    best = sorted(range(2, 300, 3), key=lambda i: -cosines[i])
    found = store.similarity_search_with_score(
        " ".join(map(str, query)), k=90, filter=lambda document: document.metadata["third"] == 2
    )
    assert [int(document.id) for document, _ in found] == best[:90]
    assert np.allclose([score for _, score in found], cosines[best[:90]], atol=1e-6)
    assert store.similarity_search("1 0 0 0 0 0 0 0", filter=lambda document: False) == []


def test_equal_scores_are_ordered_by_id_even_at_the_cut():
    ids = ["m", "z", "a", "q", "c"]
    store = CosineStore.from_texts(["1 0"] * 5, Table(), ids=ids)
    assert [d.id for d in store.similarity_search("1 0", k=3)] == ["a", "c", "m"]


@pytest.mark.parametrize(
    "ids, texts, message", [(["x", "a"], ["1 0", "1 1"], "'a'"), (["x", "x"], ["1 0"] * 2, "'x'")]
)
def test_an_id_that_is_taken_changes_nothing(store, ids, texts, message):
    with pytest.raises(ValueError, match=message):
        store.add_texts(texts, ids=ids)
    assert len(store) == 4
    assert len(store.similarity_search("1 0", k=10)) == 4


def test_vectors_of_another_width_are_refused(store):
    with pytest.raises(ValueError, match="width 3"):
        store.add_texts(["1 2 3"])
    with pytest.raises(ValueError, match="1 vectors for 2"):
        store.add_vectors(np.ones((1, 2)), [Document(page_content=""), Document(page_content="")])


def test_an_empty_store_finds_nothing():
    store = CosineStore.from_texts([], Table())
    assert store.similarity_search_with_score("1 0") == []


def test_relevance_is_the_cosine(store):
    found = store.similarity_search_with_relevance_scores("2 0", k=2, score_threshold=0.5)
    assert [(document.id, round(score, 6)) for document, score in found] == [("a", 1), ("b", 0.6)]
    retriever = store.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.9}
    )
    assert [document.id for document in retriever.invoke("1 0")] == ["a"]


def test_documents_come_back_by_id(store):
    assert [document.page_content for document in store.get_by_ids(["b", "no", "a"])] == [
        "3 4",
        "1 0",
    ]

"""Search by lists: nearly what brute force finds; exact up to the size and behind filters."""

import dataclasses

import numpy as np
import pytest
from langchain_core.documents import Document
from tests.retrieve.test_store import Table

from app.bench.synthetic import clustered
from app.retrieve.store import CosineStore
from app.retrieve.vectors import SearchSettings, Vectors

WIDTH = 64
LISTS = SearchSettings(flat_up_to=5000, probes=24)


def brute(vectors, query, k):
    """The k best rows and their cosines by a product in float64."""
    scores = vectors.astype(np.float64) @ query.astype(np.float64)
    best = np.argsort(-scores)[:k]
    return best.tolist(), scores[best]


@pytest.fixture(scope="module")
def many():
    return clustered(20_000, width=WIDTH)


def test_lists_find_nearly_what_brute_force_finds(many):
    vectors, queries = many
    searched = Vectors(WIDTH, LISTS)
    for part in np.array_split(vectors, 7):
        searched.add(part)
    shares = []
    for query in queries:
        found = searched.nearest(query, 10)
        wanted, _ = brute(vectors, query, 10)
        shares.append(len({row for row, _ in found} & set(wanted)) / 10)
        cosines = vectors[[row for row, _ in found]] @ query
        assert np.allclose([score for _, score in found], cosines, atol=1e-5)
    assert np.mean(shares) >= 0.95, np.mean(shares)


@pytest.mark.parametrize("size", [1, 4999, 5000])
def test_up_to_the_size_every_vector_is_looked_at(many, size):
    vectors, queries = many
    searched = Vectors(WIDTH, LISTS)
    searched.add(vectors[:size])
    for query in queries[:20]:
        wanted, cosines = brute(vectors[:size], query, 10)
        found = searched.nearest(query, 10)
        assert [row for row, _ in found] == wanted
        assert np.allclose([score for _, score in found], cosines, atol=1e-5)


def test_rows_that_are_named_are_all_looked_at(many):
    vectors, queries = many
    searched = Vectors(WIDTH, dataclasses.replace(LISTS, probes=1))
    searched.add(vectors)
    rows = np.arange(3, 20_000, 7)
    for query in queries[:20]:
        wanted, _ = brute(vectors[rows], query, 10)
        assert [row for row, _ in searched.among(query, rows, 10)] == rows[wanted].tolist()


def test_a_store_of_lists_takes_more_and_its_filters_lose_nothing(many):
    vectors, queries = many
    store = CosineStore(Table(), dataclasses.replace(LISTS, probes=2))
    documents = [
        Document(page_content="", id=f"{row:05d}", metadata={"rare": row % 4000 == 0})
        for row in range(20_000)
    ]
    store.add_vectors(vectors[:15_000], documents[:15_000])
    store.prepare()
    store.add_vectors(vectors[15_000:], documents[15_000:])
    rare = np.arange(0, 20_000, 4000)
    for query in queries[:10]:
        found = store.similarity_search_with_score_by_vector(
            query.tolist(), 3, lambda document: document.metadata["rare"]
        )
        wanted, _ = brute(vectors[rare], query, 3)
        assert [document.id for document, _ in found] == [f"{rare[row]:05d}" for row in wanted]
    itself = store.similarity_search_with_score_by_vector(vectors[17_777].tolist(), 1)
    assert itself[0][0].id == "17777" and itself[0][1] == pytest.approx(1)


def test_more_than_the_lists_hold_is_searched_everywhere(many):
    vectors, queries = many
    store = CosineStore(Table(), dataclasses.replace(LISTS, probes=1))
    store.add_vectors(vectors, [Document(page_content="", id=str(row)) for row in range(20_000)])
    found = store.similarity_search_with_score_by_vector(queries[0].tolist(), 900)
    wanted, _ = brute(vectors, queries[0], 900)
    assert [document.id for document, _ in found] == [str(row) for row in wanted]

"""Retrievers that choose among others' chunks: fusion and marginal relevance, by hand."""

import numpy as np
import pytest

from app.retrieve import registry
from app.retrieve.base import Found, Retriever

QUESTION = "What do gates decide about memory?"


def stub(name, *ids, kept=None):
    """A class that finds these chunks in this order."""

    class Stub(Retriever):
        def find(self, question, k):
            return [
                Found(self.library.chunk(id), 1.0 - place / 10, (kept or {}).get(id))
                for place, id in enumerate(ids)
                if self.allows(self.library.chunk(id))
            ]

    Stub.model_fields["name"].default = name
    return Stub


def test_reciprocal_ranks_by_hand(library, monkeypatch):
    monkeypatch.setitem(registry.RETRIEVERS, "one", stub("one", "a.pdf:0000", "a.pdf:0001"))
    monkeypatch.setitem(registry.RETRIEVERS, "two", stub("two", "a.pdf:0001", "b.pdf:0000"))
    fused = library.retriever("one+two", k=9)
    passages = fused.search(QUESTION)
    assert [p.chunk.id for p in passages] == ["a.pdf:0001", "a.pdf:0000", "b.pdf:0000"]
    assert np.allclose([p.score for p in passages], [1 / 62 + 1 / 61, 1 / 61, 1 / 62])
    assert {p.retriever for p in passages} == {"one+two"} and fused.cosine is False
    assert [p.chunk.id for p in library.retriever("one+two", papers=("b",)).search("x")] == [
        "b.pdf:0000"
    ]
    near = library.retriever("ensemble", of=("one", "two"), constant=0, depth=1, k=2).search("x")
    # k is more than the depth, so two of each are looked at
    assert [(p.chunk.id, p.score) for p in near] == [("a.pdf:0001", 1.5), ("a.pdf:0000", 1)]


def test_sentences_are_kept_where_every_finder_keeps_some(library, monkeypatch):
    one = stub("one", "a.pdf:0000", "a.pdf:0001", kept={"a.pdf:0000": (1,), "a.pdf:0001": (0,)})
    two = stub("two", "a.pdf:0000", "a.pdf:0001", kept={"a.pdf:0000": (0,)})
    monkeypatch.setitem(registry.RETRIEVERS, "one", one)
    monkeypatch.setitem(registry.RETRIEVERS, "two", two)
    passages = library.retriever("one+two").search(QUESTION)
    assert [p.kept for p in passages] == [(0, 1), None]


def test_hybrid_is_the_fusion_of_its_parts(library):
    hybrid = library.retriever("hybrid", k=9)
    scores = {}
    for name in hybrid.of:
        for passage in library.retriever(name, k=9).search(QUESTION):
            scores[passage.chunk.id] = scores.get(passage.chunk.id, 0) + 1 / (60 + passage.rank)
    assert {p.chunk.id: p.score for p in hybrid.search(QUESTION)} == pytest.approx(scores)


def test_an_unknown_part_is_named(library):
    with pytest.raises(ValueError, match="no retriever 'dense'; there are similarity"):
        library.retriever("bm25+dense")
    with pytest.raises(ValueError, match="no retriever 'dense'; there are similarity"):
        library.retriever("ensemble", of=("bm25", "dense"))


def test_marginal_relevance_by_hand(library, monkeypatch):
    vectors = {  # unit rows: cosines to the question are their first numbers
        "a.pdf:0000": [0.8, 0.6, 0],
        "a.pdf:0001": [0.7, 0.714143, 0],  # cosine to the first: 0.56 + 0.428486
        "b.pdf:0000": [0.6, 0, 0.8],  # cosine to the first: 0.48
    }
    monkeypatch.setattr(library, "vector", lambda id: np.array(vectors[id]))

    class Store:
        def similarity_search_with_score(self, question, k, filter):
            rows = sorted(vectors, key=lambda id: -vectors[id][0])[:k]
            found = [(library_store.get_by_ids([id])[0], vectors[id][0]) for id in rows]
            return [(document, score) for document, score in found if filter(document)]

    library_store, library.store = library.store, Store()
    passages = library.retriever("mmr", diversity=0.5).search("x")
    assert [p.chunk.id for p in passages] == ["a.pdf:0000", "b.pdf:0000", "a.pdf:0001"]
    expected = [0.8, 0.6 - 0.5 * 0.48, 0.7 - 0.5 * 0.988486]
    assert np.allclose([p.score for p in passages], expected, atol=1e-5)
    plain = library.retriever("mmr", diversity=0).search("x")
    assert [p.score for p in plain] == [0.8, 0.7, 0.6]
    assert len(library.retriever("mmr", candidates=1, k=2).search("x")) == 2


def test_sentence_retriever_takes_the_best_sentence(library, embedder):
    query = embedder.encode_question(QUESTION)
    for passage in library.retriever("sentence", k=9).search(QUESTION):
        cosines = [embedder.encode([s.text])[0] @ query for s in passage.chunk.sentences]
        assert np.isclose(passage.score, max(cosines), atol=1e-6)


def test_bm25_finds_no_chunk_without_a_word_of_the_question(library):
    passages = library.retriever("bm25", k=9).search("Does water boil?")
    assert [p.chunk.id for p in passages] == ["a.pdf:0002"] and passages[0].score > 0
    assert library.retriever("bm25").search("zebra") == []
    assert library.retriever("bm25").cosine is False


def test_the_index_of_words_is_built_once_and_before_the_question(library, monkeypatch):
    from app.retrieve import library as home

    built = []
    monkeypatch.setattr(home, "WordIndex", lambda texts: built.append(texts) or [])
    for _ in range(2):
        library.retriever("bm25")
        library.retriever("hybrid")
    assert built == [[chunk.text for chunk in library.chunks]]


def test_making_a_retriever_loads_the_embedder(library, embedder, monkeypatch):
    loaded = []
    monkeypatch.setattr(embedder, "warm_up", lambda: loaded.append(1))
    library.retriever("bm25")
    assert loaded

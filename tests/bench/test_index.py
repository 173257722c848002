"""The bench of the index: vectors that lie as they say, rows of a small run, the picture."""

import numpy as np
import pytest

from app.bench import index
from app.bench.rows import Row
from app.bench.synthetic import CHUNKS_PER_PAPER, PAPERS_PER_TOPIC, clustered


def test_made_up_vectors_lie_in_papers_and_topics():
    vectors, queries = clustered(8_000, queries=50)
    assert vectors.shape == (8_000, 384) and vectors.dtype == queries.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    papers = vectors.reshape(-1, CHUNKS_PER_PAPER, 384)
    inside = (papers[:, 0] * papers[:, 1]).sum(-1).mean()
    assert inside == pytest.approx(1.81 / 3.02, abs=0.03)  # (1 + .9²) of 1 + .9² + 1.1²
    best = (queries @ vectors.T).max(1).mean()
    assert best == pytest.approx(1 / 1.81**0.5, abs=0.03)
    assert len(papers) // PAPERS_PER_TOPIC == 4  # so one pair of papers in four shares a topic
    across = (papers[::2, 0] @ papers[1::2, 0].T).mean()
    assert across == pytest.approx(1 / 3.02 / 4, abs=0.05)
    again, _ = clustered(8_000, queries=50)
    assert np.array_equal(again, vectors)


def test_a_small_store_is_measured_against_flat_search(tmp_path):
    rows = [row for size in (100, 300) for row in index._grown(size)]
    by_name = {(row.name, row.shape): row for row in rows}
    assert set(by_name[("recall@10 of flat", "300 chunks")].values) == {1.0}
    assert len(by_name[("search, k 10", "100 chunks")].values) == index.QUERIES
    rows += [Row("store's memory", "GB", (-0.1,), "700 chunks")]
    index.draw(rows, tmp_path / "new" / "growth.png")
    assert (tmp_path / "new" / "growth.png").read_bytes().startswith(b"\x89PNG")


def test_a_search_that_misses_the_best_is_an_error():
    vectors, queries = clustered(500, queries=5)
    wrong = [[(0, 0.1)] * index.K] * 5
    with pytest.raises(ArithmeticError, match="highest"):
        index._check(vectors, queries, wrong)


def test_texts_have_the_tokens_that_are_said():
    embedder = index.load_embedder()
    texts = list(index._texts(embedder, 5))
    assert len(set(texts)) == 5
    for text in texts:
        assert index.TOKENS - 5 <= embedder.count_tokens(text) <= index.TOKENS + 15

"""Vectors that lie as chunks of papers do: topics, papers in them, chunks in those. Seeded."""

import numpy as np

CHUNKS_PER_PAPER = 40
PAPERS_PER_TOPIC = 50
# Lengths of what sets a paper apart from its topic, a chunk from its paper, a question from its
# chunk. Cosines: 0.6 in a paper, 0.33 in a topic, 0.75 of a question with its chunk.
PAPER, CHUNK, QUESTION = 0.9, 1.1, 0.9
_BLOCK = 65_536


def clustered(
    count: int, *, width: int = 384, queries: int = 200, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (count, width) and questions near some of them (queries, width), float32, unit."""
    draw = np.random.default_rng(seed)
    papers = -(-count // CHUNKS_PER_PAPER)
    topics = _directions(draw, -(-papers // PAPERS_PER_TOPIC), width)
    centres = topics[draw.integers(len(topics), size=papers)]
    centres = centres + PAPER * _directions(draw, papers, width)
    vectors = np.empty((count, width), np.float32)
    for start in range(0, count, _BLOCK):
        rows = np.arange(start, min(count, start + _BLOCK))
        near = centres[rows // CHUNKS_PER_PAPER] + CHUNK * _directions(draw, len(rows), width)
        vectors[rows] = _unit(near)
    chosen = vectors[draw.integers(count, size=queries)]
    return vectors, _unit(chosen + QUESTION * _directions(draw, queries, width))


def _directions(draw: np.random.Generator, count: int, width: int) -> np.ndarray:
    return _unit(draw.standard_normal((count, width), dtype=np.float32))


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)

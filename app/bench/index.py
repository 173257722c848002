"""How indexing and search grow with the number of chunks: vectors made up, texts embedded.

Drawn into data/pictures/index-growth.png.
"""

import gc
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from langchain_core.documents import Document

from app.bench import Options
from app.bench.rows import Row
from app.bench.synthetic import CHUNKS_PER_PAPER, clustered
from app.bench.timing import read_bandwidth
from app.papers.read import read_paper
from app.retrieve.embed import Embedder, load_embedder
from app.retrieve.store import CosineStore, EmbedderForLangChain
from app.retrieve.vectors import SearchSettings, Vectors
from app.show.plots import Curve, Growth, growth, png

SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)
QUICK = SIZES[:3]
K = 10
QUERIES = 100
WIDTH = 384  # of the default embedder
TOKENS = 218  # of a chunk: the mean of the papers that the project was measured on
PAPER = Path("data/papers/mlstm-formulations.pdf")
PICTURE = Path("data/pictures/index-growth.png")


def measure(options: Options) -> list[Row]:
    """Rows for each size and for embedding, and the picture; raises where search is not exact."""
    sizes = QUICK if options.quick else SIZES
    grown = [row for size in sizes for row in _grown(size)]
    if not options.quick:
        draw(grown, PICTURE)
    return [*grown, *embedding(32 if options.quick else 128, options.repeats)]


def _grown(size: int) -> Iterator[Row]:
    """Seconds, memory and search of a store of `size` chunks, against flat search."""
    vectors, queries = clustered(size, width=WIDTH, queries=QUERIES)
    shape = f"{size:,} chunks"
    flat = Vectors(WIDTH, replace(SearchSettings(), flat_up_to=size))
    flat.add(vectors)
    exact = [flat.nearest(query, K) for query in queries]
    _check(vectors, queries, exact)
    flat_ms = _milliseconds(lambda query: flat.nearest(query, K), queries)
    before = resident_bytes()
    store, seconds = _filled(vectors)
    memory = resident_bytes() - before
    found = [store.similarity_search_with_score_by_vector(q, K) for q in queries]
    ms = _milliseconds(lambda q: store.similarity_search_with_score_by_vector(q, K), queries)
    # what fits into a cache is not read from memory
    bound = 1e3 * vectors.nbytes / read_bandwidth() if size >= 100_000 else None
    yield Row("flat search", "ms", flat_ms, shape, bound=bound, bound_by="reading the vectors")
    yield Row("search, k 10", "ms", ms, shape, peer=median(flat_ms), peer_name="flat")
    yield Row("recall@10 of flat", "share", _shares(exact, found), shape)
    yield Row("store filled", "s", (seconds,), shape)
    yield Row("store's memory", "GB", (memory / 1e9,), shape)


def _filled(vectors: np.ndarray) -> tuple[CosineStore, float]:
    """A store that got the vectors paper by paper, ready to be searched, and its seconds."""
    documents = [Document(page_content="", id=str(row)) for row in range(len(vectors))]
    gc.collect()
    start = perf_counter()
    store = CosineStore(EmbedderForLangChain(load_embedder()))
    for first in range(0, len(vectors), CHUNKS_PER_PAPER):
        part = slice(first, first + CHUNKS_PER_PAPER)
        store.add_vectors(vectors[part], documents[part])
    store.prepare()
    return store, perf_counter() - start


def _check(vectors: np.ndarray, queries: np.ndarray, exact: list) -> None:
    """Flat search finds what a product in float64 finds; raises ArithmeticError else."""
    for query, found in zip(queries[:2], exact):
        scores = np.concatenate(
            [part.astype(np.float64) @ query for part in np.array_split(vectors, 16)]
        )
        wanted = np.sort(scores)[::-1][:K]
        if not np.allclose([score for _, score in found], wanted, atol=1e-6):
            raise ArithmeticError("flat search does not find the highest cosines")


def _milliseconds(search: Callable[[np.ndarray], object], queries: np.ndarray) -> tuple[float, ...]:
    times = []
    for query in queries:
        start = perf_counter()
        search(query)
        times.append(1e3 * (perf_counter() - start))
    return tuple(times)


def _shares(exact: list, found: list) -> tuple[float, ...]:
    """For each question, the share of the best by flat search that was found."""
    return tuple(
        len({str(row) for row, _ in rows} & {document.id for document, _ in pairs}) / len(rows)
        for rows, pairs in zip(exact, found)
    )


def embedding(count: int, repeats: int) -> list[Row]:
    """Chunks of 218 tokens embedded a second, and the least cosine to what float32 gives."""
    embedder, exact = load_embedder(), load_embedder(dtype="float32")
    texts = list(_texts(embedder, count))
    got, wanted = embedder.encode(texts), exact.encode(texts)
    cosines = (got * wanted).sum(axis=1)
    shape = f"{count} chunks of {TOKENS} tokens"
    rates: dict[Embedder, list[float]] = {}
    for each, times in ((exact, 1), (embedder, repeats)):
        for _ in range(times):
            start = perf_counter()
            each.encode(texts)
            rates.setdefault(each, []).append(count / (perf_counter() - start))
    ours, peer = tuple(rates[embedder]), median(rates[exact])
    return [
        Row("embed", "chunks/s", ours, shape, embedder.dtype, peer=peer, peer_name="float32"),
        Row("1 - cosine to float32, mean", "", (float(1 - cosines.mean()),), shape, embedder.dtype),
        Row("1 - cosine to float32, most", "", (float(1 - cosines.min()),), shape, embedder.dtype),
    ]


def _texts(embedder: Embedder, count: int) -> Iterator[str]:
    """Texts of a paper's words, each of `TOKENS` word pieces or one to five more."""
    words = read_paper(PAPER).pages[0].text.split()
    pieces = [embedder.count_tokens(word) - 2 for word in words]  # less the special ones
    at = 0
    for _ in range(count):
        start, tokens = at, 2
        while tokens < TOKENS:
            tokens += pieces[at % len(words)]
            at += 1
        yield " ".join(islice(cycle(words), start % len(words), start % len(words) + at - start))


def draw(rows: list[Row], path: Path) -> None:
    """Seconds to fill a store, its memory and the time of a search, by the number of chunks."""

    def curves(labels: dict[str, str]) -> list[Curve]:
        found = []
        for name, label in labels.items():
            # the smallest stores fit into memory that was there already: no growth to draw
            own = [row for row in rows if row.name == name and row.spread[1] > 0]
            sizes = [float(row.shape.split()[0].replace(",", "")) for row in own]
            found += [Curve(label, sizes, [row.spread[1] for row in own])] if own else []
        return found

    panels = [
        Growth("Seconds to fill a store", "chunks", curves({"store filled": ""})),
        Growth("Memory, GB", "chunks", curves({"store's memory": ""})),
        Growth(
            "Milliseconds a search",
            "chunks",
            curves({"flat search": "every vector", "search, k 10": "as the store does"}),
        ),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(growth(panels)))


def resident_bytes() -> int:
    """Memory of this process that is in RAM now; 0 where the system does not say."""
    status = Path("/proc/self/statm")
    if not status.exists():
        return 0
    return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

"""How long the product's own path takes on this machine: indexing, evidence, a whole answer.

It asserts nothing.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

from app.answer.answer import EvidenceChosen, answer_steps
from app.answer.reader import Reader, load_reader
from app.answer.records import Answer
from app.bench import Options
from app.bench.rows import Row
from app.papers.fetch import find_papers
from app.retrieve.base import Retriever
from app.retrieve.embed import Embedder, load_embedder
from app.retrieve.library import Library

QUESTIONS = (
    "What are the major improvements over the previous or vanilla LSTM architecture?",
    "How do sLSTM and mLSTM differ?",
    "Why can the mLSTM be computed in parallel?",
    "What are the limitations of xLSTM?",
    "Which memory does the mLSTM have?",
)


def measure(options: Options) -> list[Row]:
    """Index the papers anew `repeats` times, then ask five questions; loading is left out."""
    papers = find_papers(*options.papers)
    embedder, reader = load_embedder(), load_reader(options.model)
    embedder.encode(["warm up"])
    indexing = []
    with tempfile.TemporaryDirectory() as folder:
        for n in range(options.repeats):
            start = time.perf_counter()
            library = Library.open(
                papers, index=Path(folder, str(n)), embedder=embedder, progress=False
            )
            indexing.append(time.perf_counter() - start)
        retriever = library.retriever("similarity", k=3)
        rows = [Row("index", "s", tuple(indexing)), *answering(retriever, reader, embedder)]
    return [*rows, Row("peak memory", "GB", (peak_bytes() / 1e9,))]


def answering(retriever: Retriever, reader: Reader, embedder: Embedder) -> list[Row]:
    """Seconds from a question to its evidence, and to the end of a phrased answer."""
    timed(retriever, reader, QUESTIONS[0])
    embedder.encode_question.cache_clear()  # the first question was only to warm up
    both = [timed(retriever, reader, question) for question in QUESTIONS]
    evidence, whole = zip(*both)
    return [Row("question to evidence", "s", evidence), Row("question to answer", "s", whole)]


def timed(retriever: Retriever, reader: Reader, question: str) -> tuple[float, float]:
    """Seconds until the evidence is there and until the answer in `sentence` mode is."""
    start = time.perf_counter()
    evidence = whole = float("nan")
    for step in answer_steps(question, retriever, reader, mode="sentence"):
        if isinstance(step, EvidenceChosen):
            evidence = time.perf_counter() - start
        elif isinstance(step, Answer):
            whole = time.perf_counter() - start
    return evidence, whole


def peak_bytes() -> int:
    """Most resident memory that this process has had; bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024

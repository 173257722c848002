"""The ranker on passages as a retriever hands them over."""

from collections.abc import Sequence

from app.papers.records import Passage
from app.rank.ranker import Ranker


def sentence_ranks(ranker: Ranker, question: str, passages: Sequence[Passage]) -> list[list[float]]:
    """Log-odds of each of `passage.sentences`, for each passage; the whole chunk is read."""
    rows = ranker.scores(question, [[s.text for s in p.chunk.sentences] for p in passages])
    return [row if p.kept is None else [row[i] for i in p.kept] for row, p in zip(rows, passages)]

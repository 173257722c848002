"""Keeping evaluation out of training: which documents share a run of words with it.

A run is counted in words after NFKC, in small letters, without marks. Nothing is changed here.
"""

import functools
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from app.train.read import documents, open_lines, pairs

EVIDENCE_RUN = 13  # words in common with the evidence of an evaluation question
PASSAGE_RUN = 20  # words in common with an evaluation passage or a test paper
# Every run of 13 words holds a part of 5 that begins at a multiple of 9: only those are looked up.
_PART = 5
_STEP = EVIDENCE_RUN - _PART + 1
_WORD = re.compile(r"[^\W_]+")


def words(text: str) -> list[str]:
    """The words of a text as they are compared."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).lower())


def runs(text: str, length: int) -> Iterator[str]:
    """Every run of `length` words; none of a shorter text."""
    found = words(text)
    for i in range(len(found) - length + 1):
        yield " ".join(found[i : i + length])


class Overlap:
    """Runs of words that training may not contain.

    Args:
        evidence: what answers the evaluation's questions; runs of 13 words count.
        passages: what the evaluation reads, test papers page by page included; runs of 20 count.
    """

    def __init__(self, evidence: Iterable[str], passages: Iterable[str]) -> None:
        evidence, passages = list(evidence), list(passages)
        self._runs = {
            EVIDENCE_RUN: {run for text in evidence for run in runs(text, EVIDENCE_RUN)},
            PASSAGE_RUN: {run for text in passages for run in runs(text, PASSAGE_RUN)},
        }
        self._parts = {part for text in (*evidence, *passages) for part in runs(text, _PART)}

    def shared(self, text: str) -> str | None:
        """The first run of words that `text` shares with the evaluation, or None."""
        found = words(text)
        for at in range(0, len(found) - _PART + 1, _STEP):
            if " ".join(found[at : at + _PART]) in self._parts:
                run = self._shared_around(found, at)
                if run is not None:
                    return run
        return None

    def _shared_around(self, found: list[str], at: int) -> str | None:
        """A known run that holds the part of the words that begins at `at`."""
        for length, known in self._runs.items():
            for start in range(max(0, at + _PART - length), at + 1):
                run = " ".join(found[start : start + length])
                if run in known:
                    return run
        return None


def evaluation_texts(records: Iterable[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Evidence and passages of evaluation records, in the form that `Overlap` takes.

    The evidence is `evidence` where it is text, else the sentence of `long_answer`.
    """
    evidence, passages = [], []
    for record in records:
        found = record.get("evidence")
        evidence += [text for text in (found, record.get("long_answer")) if isinstance(text, str)]
        passages += [p["text"] for p in record.get("passages") or []]
        passages += [p["text"] for p in record.get("paragraphs") or []]
        passages += [record["text"]] if isinstance(record.get("text"), str) else []
    return evidence, passages


def to_leave_out(path: Path, overlap: Overlap) -> Iterator[tuple[str, str]]:
    """Ids of a training file's documents or pairs that share a run, each with the run."""
    with open_lines(path) as lines:
        first = lines.readline()
    if '"passages"' in first:
        texts = ((p.id, [p.question, *(t for _, t in p.passages)]) for p in pairs(path))
    else:
        texts = ((d.id, [d.text]) for d in documents(path))
    shared = functools.lru_cache(maxsize=100_000)(overlap.shared)  # passages stand there many times
    for id, parts in texts:
        run = next((run for part in parts if (run := shared(part))), None)
        if run:
            yield id, run


def evaluation_overlap(folder: Path, papers: Iterable[Path] = ()) -> Overlap:
    """What training may not contain: a folder's question files, and test papers page by page.

    Raises:
        ValueError: the folder holds no evaluation records.
        PaperError: a paper cannot be read.
    """
    from app.papers.read import read_paper  # only where papers are given: it imports pypdf

    records = []
    for path in sorted(folder.glob("*.jsonl*")):
        with open_lines(path) as lines:
            records += [json.loads(line) for line in lines if line.strip()]
    if not records:
        raise ValueError(f"{folder} holds no *.jsonl or *.jsonl.zst to keep out")
    evidence, passages = evaluation_texts(records)
    pages = [page.text for paper in papers for page in read_paper(paper).pages]
    return Overlap(evidence, [*passages, *pages])

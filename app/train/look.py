"""What to look at before a long run: how many rows of each kind there are, and an example of each.

Seventeen minutes were once trained on a thirtieth of the text, because nobody had counted.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from app.model.tokenizer import load_tokenizer
from app.train.encode import Code, sentence_ends, token_kinds
from app.train.phases import KINDS, Phase
from app.train.rows import Job, RowMaker


def inspected(maker: RowMaker, phases: Sequence[Phase], characters: int = 600) -> Iterator[str]:
    """Lines about every kind that the phases read: jobs, rows and tokens of one, a decoded row.

    Args:
        maker: makes the rows.
        phases: say which kinds are read.
        characters: of the decoded row that are shown.

    Raises:
        ValueError: a kind that is read has no source, or its first job makes no row.
    """
    decode = load_tokenizer(maker.reader).decode
    for kind in KINDS:
        if not any(phase.mix.get(kind) for phase in phases):
            continue
        jobs = maker.jobs(kind)
        sources = list(dict.fromkeys(job.source for job in jobs))
        yield f"{kind}: {len(jobs)} jobs a pass, of {', '.join(sources)}"
        rows = maker.make(jobs[0])
        if not len(rows):
            raise ValueError(f"{kind}: the first job, of {jobs[0].source}, makes no row")
        yield f"  {_job(jobs[0])}: {len(rows)} rows of {maker.tokens} tokens"
        yield f"  asks: {', '.join(f'{name} {n}' for name, n in sorted(rows.kinds.items()))}"
        counts = np.bincount(token_kinds(rows.codes).ravel(), minlength=len(Code)).tolist()
        yield f"  tokens: {', '.join(f'{code.name.lower()} {counts[code]}' for code in Code)}"
        ends = np.bincount(sentence_ends(rows.codes).ravel(), minlength=3).tolist()
        yield f"  sentences to rank: {ends[1]} others, {ends[2]} evidence"
        text = decode(rows.ids[0].tolist(), skip_special=False)[:characters]
        yield "  " + text.replace("\n", "\n  ")


def _job(job: Job) -> str:
    return f"{job.source}, part {job.part + 1} of {job.parts}"

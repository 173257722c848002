"""How fast it is here: one file per bench, one home each for rows and for timing.

A bench is a module with `measure(options) -> list[Row]`; `BENCHES` names it.
"""

from dataclasses import dataclass
from pathlib import Path

# Name of the module -> what it times. A new bench is one line here and one file beside this one.
BENCHES = {
    "answers": "indexing, evidence and answers on this machine",
    "cpu": "prompts and decoding on a CPU, beside transformers' xLSTM",
    "decode": "tokens a second of a 7B model on a GPU",
    "index": "search, memory and embedding, from 100 to 1,000,000 chunks",
    "kernels": "the chunkwise Triton kernels on a GPU, beside mlstm_kernels if installed",
    "prefill": "prompts of a 7B model on a GPU",
}
FOLDER = Path("data/bench")


@dataclass(frozen=True)
class Options:
    """What the command line says; a bench reads what it needs.

    papers: PDF files, folders or arXiv ids. model: folder of a checkpoint. repeats: how often
    what takes seconds is timed. quick: fewer sizes, to see that all works.
    """

    papers: tuple[str, ...]
    model: str
    repeats: int = 3
    quick: bool = False

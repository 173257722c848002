"""Which files train the reader, how often each is read, and what never enters weights that ship.

Names and numbers; no file's content is read here but the lists of ids to leave out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

# Their terms do not allow, or do not clearly allow, weights that are given away.
NEVER_SHIPPED = {
    "race": "non-commercial research only",
    "mctest": "research licence of its owner, unclear for weights",
    "sciqag": "no licence found, papers of a publisher",
}
# Read to measure; text that was trained on measures nothing.
HELD_OUT = "heldout"

TEXT = ("abstracts", "books", "papers_bio", "papers_cs", "wikipedia")
OWN_PAIRS = ("paper_pairs", "paper_pairs_2")
# Name -> how many examples a pass makes of each group of questions on one passage. More of what
# resembles questions on papers; less of stories, reviews and dialogues.
QUESTIONS: Mapping[str, float] = {
    "bioasq": 8.0,
    "bioasq_more": 8.0,
    "boolq": 1.5,
    "boolq_train": 1.5,
    "contrast": 1.0,
    "cosmosqa": 0.4,
    "covidqa": 12.0,
    "fairytaleqa": 0.6,
    "friendsqa": 0.3,
    "iirc_bpb": 2.0,
    "integreat": 4.0,
    "medquad": 0.5,
    "mediqa": 2.0,
    "multihop": 3.0,
    "multirc": 0.6,
    "multispanqa": 4.0,
    "narrativeqa_part": 0.7,
    "neural_bridge": 4.0,
    "nq": 6.0,
    "nq_qed": 4.0,
    "nq_swap": 3.0,
    "policyqa": 0.5,
    "pubmedqa": 6.0,
    "qed": 6.0,
    "qmsum": 0.6,
    "quoref": 4.0,
    "scitldr": 0.7,
    "selqa": 2.0,
    "squad": 8.0,
    "squad_train_part": 3.0,
    "squadshifts": 2.0,
    "strategyqa": 0.5,
    "subjqa": 0.4,
}


@dataclass(frozen=True)
class DataConfig:
    """The files of a run, by name without suffix.

    Args:
        text: documents of `FOLDER/corpus`; plain text and examples made from it.
        questions: sets of `FOLDER/qa`, and how many examples a pass makes of each group.
        own: sets of `FOLDER/qa` with several passages of one paper.
        ships: whether the weights may be given away; then NEVER_SHIPPED may not be named.

    Raises:
        ValueError: a name that may not enter, or no name at all.
    """

    text: tuple[str, ...] = TEXT
    questions: Mapping[str, float] = field(default_factory=lambda: dict(QUESTIONS))
    own: tuple[str, ...] = OWN_PAIRS
    ships: bool = True

    def __post_init__(self) -> None:
        names = self.names
        if not names:
            raise ValueError("no source is named: there is nothing to train on")
        if HELD_OUT in names:
            raise ValueError(f"{HELD_OUT} is for measuring only and never trained on")
        barred = sorted(NEVER_SHIPPED.keys() & set(names))
        if self.ships and barred:
            reasons = "; ".join(f"{name}: {NEVER_SHIPPED[name]}" for name in barred)
            raise ValueError(f"these never enter weights that ship: {reasons}")
        if any(repeats <= 0 for repeats in self.questions.values()):
            raise ValueError("a set of questions is read more than 0 times, or not named")

    @property
    def names(self) -> tuple[str, ...]:
        """Every source, text first."""
        return (*self.text, *self.questions, *self.own)


def find_file(folder: Path, name: str) -> Path:
    """`FOLDER/NAME.jsonl.zst` or `FOLDER/NAME.jsonl`.

    Raises:
        ValueError: there is neither; the message lists the names that the folder has.
    """
    for suffix in (".jsonl.zst", ".jsonl"):
        if (folder / f"{name}{suffix}").is_file():
            return folder / f"{name}{suffix}"
    known = sorted({path.name.split(".")[0] for path in folder.glob("*.jsonl*")})
    raise ValueError(f"{folder} has no {name}.jsonl.zst; it has {', '.join(known) or 'none'}")


def left_out(files: Iterable[Path]) -> frozenset[str]:
    """Ids of documents and pairs to drop, from files with one id a line; blank lines are none."""
    return frozenset(
        line.strip()
        for file in files
        for line in file.read_text(encoding="utf-8").split("\n")
        if line.strip()
    )

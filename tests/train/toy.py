"""A small world of texts and questions, drawn from a seed: enough to make and learn examples."""

import json
import random
from pathlib import Path

from tests.answer.fakes import SPECIAL, write_prompt
from tests.model.bytes_tokenizer import write_tokenizer

from app.model.config import XLSTMConfig
from app.train.makers.language import capitalised
from app.train.makers.needles import RELATIONS, person, thing
from app.train.read import Document
from app.train.rows import RowMaker
from app.train.sources import DataConfig

_NOUNS = [
    "gate",
    "memory",
    "layer",
    "cell",
    "token",
    "matrix",
    "sensor",
    "valley",
    "bridge",
    "protein",
    "cohort",
    "network",
]
_VERBS = [
    "holds",
    "carries",
    "scales",
    "forgets",
    "reads",
    "writes",
    "crosses",
    "measures",
    "follows",
    "repeats",
]
_HOW = "slowly in every block of the stack,after the first hour of the trial,without a sign of loss"


def toy_sentence(draw: random.Random) -> str:
    """A sentence that says something about somebody, with a number in it now and then."""
    if draw.random() < 0.4:
        relation = draw.choice(RELATIONS)
        words = {"x": thing(draw), "v": relation.value(draw), "a": draw.choice(relation.attributes)}
        return capitalised(draw.choice(relation.statements).format(**words))
    noun, verb, other = draw.choice(_NOUNS), draw.choice(_VERBS), draw.choice(_NOUNS)
    how = draw.choice(_HOW.split(","))
    count = draw.randint(2, 900)
    return f"The {noun} of {person(draw)} {verb} {count} {other}s {how}."


def toy_document(seed: int, count: int = 60) -> Document:
    """A document of so many sentences."""
    draw = random.Random(seed)
    text = " ".join(toy_sentence(draw) for _ in range(count))
    return Document(f"toy:{seed}", f"On toy {seed}", text)


def toy_questions(document: Document, count: int) -> list[dict]:
    """Questions on a document in the form of the training files, each with its passage."""
    draw, found = random.Random(document.id), []
    for number in range(count):
        x, value = thing(draw), draw.choice(["seven", "twelve", "forty"])
        passage = f"The width of {x} is {value}. {toy_sentence(draw)} {toy_sentence(draw)}"
        other = f"{toy_sentence(draw)} {toy_sentence(draw)}"
        found.append(
            {
                "id": f"{document.id}-{number}",
                "question": f"What is the width of {x}?",
                "passages": [{"title": "A", "text": passage}, {"title": "A", "text": other}],
                "answers": [value],
                "answerable": True,
                "gold": 0,
                "long_answer": f"The width of {x} is {value}.",
                "doc": document.id,
            }
        )
    return found


def write_toy_data(folder: Path, documents: int = 12) -> Path:
    """FOLDER/corpus, FOLDER/qa and FOLDER/reader: texts, two sets of questions, a tokenizer."""
    texts = [toy_document(seed) for seed in range(documents)]
    _write(folder / "corpus" / "books.jsonl", [{"title": d.title, "text": d.text} for d in texts])
    for name in ("squad", "paper_pairs"):
        records = [record for d in texts for record in toy_questions(d, 4)]
        if name == "squad":
            records = [{**r, "passages": r["passages"][:1]} for r in records]
        _write(folder / "qa" / f"{name}.jsonl", records)
    write_tokenizer(folder / "reader", special=SPECIAL)
    write_prompt(folder / "reader")
    return folder


def _write(path: Path, records: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")


TOY_DATA = DataConfig(text=("books",), questions={"squad": 1.0}, own=("paper_pairs",))


def toy_maker(folder: Path, tokens: int = 257, documents: int = 12, **changes) -> RowMaker:
    """Rows of the toy data in `folder`, which is written if it is new; a token is a byte."""
    if not (folder / "corpus").exists():
        write_toy_data(folder, documents)
    where = {"corpus": folder / "corpus", "questions": folder / "qa", "reader": folder / "reader"}
    return RowMaker(TOY_DATA, **where, tokens=tokens, **changes)


# About 60,000 weights; the vocabulary of the toy reader.
TINY = XLSTMConfig(
    vocab_size=300,
    embedding_dim=48,
    num_blocks=2,
    num_heads=2,
    qk_dim_factor=1.0,
    ffn_dim=96,
    conv1d_kernel_size=4,
    tie_word_embeddings=True,
    bos_token_id=1,
)

"""Plain texts as a library: embedded once, found by every retriever under their own ids."""

import pytest

from app.retrieve.registry import RETRIEVERS
from app.retrieve.texts import Text, library_of_texts

TEXTS = [
    Text("d1", "Gates", "Gates decide what a memory keeps. Cats sleep."),
    Text("d2", "", "Rain fell on the roof."),
    Text("d3", "Attention", "It compares tokens."),
]


@pytest.mark.parametrize("name", RETRIEVERS)
def test_every_retriever_finds_a_text_by_its_id(tmp_path, embedder, reader, name):
    library = library_of_texts({"notes": TEXTS}, tmp_path, embedder, progress=False)
    (passage,) = library.retriever(name, k=1, reader=reader).search("what do gates keep in memory")
    assert passage.chunk.id == "d1" and passage.chunk.page == 1
    assert passage.chunk.text == "Gates\nGates decide what a memory keeps. Cats sleep."
    assert [s.text for s in passage.chunk.sentences][:2] == [
        "Gates",
        "Gates decide what a memory keeps.",
    ]


def test_a_second_time_nothing_is_embedded(tmp_path, embedder):
    library_of_texts({"notes": TEXTS}, tmp_path, embedder, progress=False)
    embedder.encoded.clear()
    again = library_of_texts({"notes": TEXTS}, tmp_path, embedder, progress=False)
    assert embedder.encoded == [] and [chunk.id for chunk in again.chunks] == ["d1", "d2", "d3"]
    library_of_texts({"notes": TEXTS[:2]}, tmp_path, embedder, progress=False)
    assert embedder.encoded
    (folder, *_) = tmp_path.iterdir()
    (folder / "sentences.npy").write_bytes(b"x")
    library_of_texts({"notes": TEXTS}, tmp_path, embedder, progress=False)
    library_of_texts({"notes": TEXTS[:2]}, tmp_path, embedder, progress=False)
    assert (folder / "sentences.npy").stat().st_size > 1


@pytest.mark.parametrize(
    "texts, message",
    [
        ([], "no text"),
        ([Text("a", "", " \n")], "'a' is blank"),
        ([Text("a", "", "x"), Text("a", "", "y")], "two texts have the id 'a'"),
    ],
)
def test_what_cannot_be_a_library(tmp_path, embedder, texts, message):
    with pytest.raises(ValueError, match=message):
        library_of_texts({"notes": texts}, tmp_path, embedder)

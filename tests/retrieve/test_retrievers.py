"""What the retrievers find in hand-made papers, and what of it is kept."""

import asyncio
import json

import numpy as np
import pytest
from langchain_core.retrievers import BaseRetriever

from app.papers.records import Chunk, Passage, Sentence, Span
from app.retrieve.base import Found, Retriever, to_document
from app.retrieve.compression import Limits, Sentences, choose
from app.retrieve.registry import RETRIEVERS

QUESTION = "What do gates decide about memory?"


def ids(passages):
    return [passage.chunk.id for passage in passages]


def test_similarity_is_the_cosine_in_order(library, embedder):
    main = [chunk for chunk in library.chunks if chunk.part == "main"]
    cosines = [float(embedder.encode_question(QUESTION) @ library.vector(c.id)) for c in main]
    order = np.argsort(cosines)[::-1]
    passages = library.retriever("similarity", k=4).search(QUESTION)
    assert ids(passages) == [main[i].id for i in order[:4]]
    assert np.allclose([p.score for p in passages], np.array(cosines)[order[:4]], atol=1e-6)
    assert [p.rank for p in passages] == [1, 2, 3, 4]
    assert passages[0].text == passages[0].chunk.text and passages[0].retriever == "similarity"


@pytest.mark.parametrize("name", RETRIEVERS)
@pytest.mark.parametrize(
    "filters, expected",
    [
        ({}, {"a.pdf:0000", "a.pdf:0001", "a.pdf:0002", "b.pdf:0000", "b.pdf:0001"}),
        ({"papers": ("b",)}, {"b.pdf:0000", "b.pdf:0001"}),
        ({"parts": ("references",)}, {"a.pdf:0003"}),
        ({"parts": ("appendix", "figure")}, {"a.pdf:0004", "a.pdf:0005"}),
        ({"section": "method"}, {"a.pdf:0002"}),
        ({"pages": (2, 7)}, {"a.pdf:0002", "b.pdf:0001"}),
        ({"papers": ("a.pdf",), "pages": (7, 9)}, set()),
    ],
)
def test_filters_are_exact(library, reader, name, filters, expected):
    everything = {"margin": 9, "redundant": 9} if "compression" in name else {}
    retriever = library.retriever(name, k=10, reader=reader, **everything, **filters)
    # a word of each chunk, as BM25 finds no chunk without one
    assert set(ids(retriever.search(QUESTION + " And attention?"))) == expected


@pytest.mark.parametrize("name", RETRIEVERS)
def test_documents_carry_their_place_and_are_json(library, reader, name):
    retriever = library.retriever(name, k=2, reader=reader)
    assert isinstance(retriever, BaseRetriever)
    passages, documents = retriever.search(QUESTION), retriever.invoke(QUESTION)
    assert [d.page_content for d in documents] == [p.text for p in passages]
    for document, passage in zip(documents, passages):
        about = json.loads(json.dumps(document.metadata))
        assert about["paper"] == passage.chunk.paper and about["chunk"] == document.id
        assert about["score"] == passage.score and about["rank"] == passage.rank
        assert about["retriever"] == name and about["section"] == passage.chunk.section
        page = next(p for p in library.papers if p.file == about["paper"]).pages[about["page"] - 1]
        pieces = [page.text[start:end] for _, start, end in about["spans"]]
        assert "".join(" ".join(pieces).split()) == "".join(
            document.page_content.replace("…", "").split()
        )
        assert (about["start"], about["end"]) == (about["spans"][0][1], about["spans"][-1][2])
    assert asyncio.run(retriever.ainvoke(QUESTION)) == documents


@pytest.mark.parametrize("name", RETRIEVERS)
def test_a_question_embeds_only_itself(library, embedder, reader, name):
    embedder.encoded.clear()
    retriever = library.retriever(name, reader=reader)
    passages = retriever.search(QUESTION)
    retriever.sentence_scores(QUESTION, passages[0])
    assert embedder.encoded == []


@pytest.mark.parametrize("name", RETRIEVERS)
def test_sentence_scores_are_cosines_of_what_is_shown(library, embedder, reader, name):
    retriever = library.retriever(name, k=3, reader=reader)
    for passage in retriever.search(QUESTION):
        expected = [
            embedder.encode([s.text])[0] @ embedder.encode_question(QUESTION)
            for s in passage.sentences
        ]
        assert np.allclose(retriever.sentence_scores(QUESTION, passage), expected, atol=1e-6)


def test_compression_leaves_out_what_does_not_bear_on_the_question(library):
    passages = library.retriever("compression", k=3, neighbours=0).search(QUESTION)
    whole = library.retriever("similarity", k=3).search(QUESTION)
    assert passages[0].text == "Gates decide what a memory keeps."
    assert not any(word in p.text for p in passages for word in ("sky", "Cats", "Water", "Rain"))
    assert sum(len(p.text) for p in passages) < sum(len(p.text) for p in whole) / 2
    assert all(p.kept is not None and len(p.kept) < len(p.chunk.sentences) for p in passages)


@pytest.mark.parametrize("words", [0, 0.5])
def test_compression_scores_mix_sentence_chunk_and_words(library, embedder, words):
    settings = {"k": 1, "neighbours": 0, "weight": 0.25, "words": words}
    passage = library.retriever("compression", **settings).search(QUESTION)[0]
    query = embedder.encode_question(QUESTION)
    sentence = max(library.sentence_vectors(passage.chunk.id) @ query)
    chunk = library.vector(passage.chunk.id) @ query
    # gates, decide and memory: "Gates decide what a memory keeps." has them all
    assert passage.kept[0] == 0
    assert np.isclose(passage.score, 0.25 * sentence + 0.75 * chunk + words)


def test_compression_is_never_empty_where_similarity_is_not(library):
    for budget in (1, 10, 1000):
        for question in ("zebra", QUESTION):
            assert library.retriever("compression", budget_chars=budget).search(question)


def test_neighbours_come_with_the_chosen(library):
    alone = library.retriever("compression", k=1, neighbours=0)
    around = library.retriever("compression", k=1, neighbours=1)
    assert alone.search(QUESTION)[0].kept == (0,)
    assert around.search(QUESTION)[0].kept == (0, 1)


def sentences(chunk, place, length, score, vectors):
    vectors = np.array(vectors, dtype=float)
    return Sentences(
        *map(np.array, (chunk, place, length, score)),
        vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
    )


@pytest.mark.parametrize(
    "k, budget, margin, redundant, neighbours, expected",
    [
        # row 3 repeats row 1 (cosine 0.995), row 4 is too long, row 5 opens another chunk
        (1, 45, 9, 0.95, 0, [1, 2, 0]),
        (2, 45, 9, 0.95, 0, [1, 5, 2, 0]),
        (2, 45, 9, 0.999, 0, [1, 3, 2, 0]),
        (2, 45, 0.35, 0.95, 0, [1, 5]),
        (3, 35, 9, 0.95, 1, [1, 0, 2]),
        (3, 99, 9, 0.95, 1, [1, 0, 2, 4, 5]),
        (3, 1, 9, 0.95, 1, [1]),
        (3, 99, 0, 0.95, 0, [1]),
    ],
)
def test_choice_by_hand(k, budget, margin, redundant, neighbours, expected):
    rows = sentences(
        chunk=[0, 0, 0, 1, 1, 2],
        place=[0, 1, 2, 0, 1, 0],
        length=[10, 10, 10, 10, 50, 10],
        score=[0.1, 0.9, 0.2, 0.8, 0.7, 0.6],
        vectors=[[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0.1], [1, 1, 0], [1, 0, 1]],
    )
    assert choose(rows, Limits(k, budget, margin, redundant, neighbours)) == expected


def test_order_is_total_and_scores_are_finite(library):
    class Odd(Retriever):
        name: str = "odd"
        scores: dict[str, float]

        def find(self, question, k):
            return [Found(library.chunk(id), score) for id, score in self.scores.items()]

    tie = Odd(library=library, scores={"b.pdf:0001": 1.0, "a.pdf:0001": 1.0, "a.pdf:0000": 0.5})
    assert ids(tie.search("x", 2)) == ["a.pdf:0001", "b.pdf:0001"]
    with pytest.raises(ArithmeticError, match="nan"):
        Odd(library=library, scores={"a.pdf:0000": float("nan")}).search("x")


def test_settings_may_follow_a_name(library):
    spelled = library.retriever("compression:neighbours=0,weight=0.25", k=1)
    given = library.retriever("compression", neighbours=0, weight=0.25, k=1)
    assert (spelled.neighbours, spelled.weight, spelled.name) == (0, 0.25, "compression")
    assert spelled.search(QUESTION) == given.search(QUESTION)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda lib: lib.retriever("dense"), "similarity, compression"),
        (lambda lib: lib.retriever("similarity", papers=("c.pdf",)), "a.pdf, b.pdf"),
        (lambda lib: lib.retriever("similarity", section="zzz"), "zzz"),
        (lambda lib: lib.retriever("similarity", budget=3), "budget"),
        (lambda lib: lib.retriever("similarity", k=0), "greater than or equal to 1"),
        (lambda lib: lib.retriever("compression:words"), "compression:words=VALUE"),
        (lambda lib: lib.retriever("compression:word=1"), "has no setting 'word'"),
        (lambda lib: lib.retriever("similarity", parts=("body",)), "'main'"),
        (lambda lib: lib.retriever("similarity").search("  "), "empty"),
        (lambda lib: lib.retriever("similarity").search("x", 0), "k=0"),
    ],
)
def test_wrong_settings_say_what_is_right(library, make, message):
    with pytest.raises(ValueError, match=message):
        make(library)


@pytest.mark.parametrize(
    "kept, page, label", [(None, 4, "iv"), ((0,), 4, "iv"), ((1,), 4, "iv"), ((2,), 5, "1")]
)
def test_the_label_is_that_of_the_page_where_the_passage_begins(kept, page, label):
    spans = (Span(4, 0, 16), Span(5, 0, 13))
    sentences = (
        Sentence("One.", 0, 4, (Span(4, 0, 4),)),
        Sentence("Two goes on here.", 5, 22, (Span(4, 5, 16), Span(5, 0, 5))),
        Sentence("Three.", 23, 29, (Span(5, 6, 12),)),
    )
    text = "One. Two goes on here. Three."
    chunk = Chunk("a:0", "a.pdf", "T", "S", "main", "iv", text, spans, sentences, last_label="1")
    about = to_document(Passage(chunk, 0.5, 1, "compression", kept)).metadata
    assert (about["page"], about["label"]) == (page, label)

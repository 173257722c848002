"""Sentences ordered by how likely a reader finds the question after them, by hand."""

import numpy as np
import pytest

QUESTION = "What do gates decide about memory?"
NAME = "compression-xlstm"


def test_the_score_is_the_fit_and_the_likelihood_above_the_mean(library, reader):
    settings = {"k": 9, "neighbours": 0, "margin": 9, "budget_chars": 10**6}
    fits = library.retriever("compression", **settings).search(QUESTION)
    found = library.retriever(NAME, **settings, likelihood=0.5, reader=reader).search(QUESTION)
    (read,) = reader.read
    nats = {text: np.mean(reader.question_given(QUESTION, [text])[0]) for text in read}
    mean = np.mean([*nats.values()])
    alone = {p.chunk.id: p for p in fits if len(p.chunk.sentences) == len(p.kept) == 1}
    assert {p.chunk.id for p in found} == {p.chunk.id for p in fits}
    for passage in found:
        best = max(nats[sentence.text] for sentence in passage.sentences)
        fit = next(p.score for p in fits if p.chunk.id == passage.chunk.id)
        if passage.chunk.id in alone:
            assert passage.score == pytest.approx(fit + 0.5 * (best - mean))
        assert passage.score <= fit + 0.5 * (best - mean) + 1e-6


def test_the_reader_reorders_what_fits_equally(index_of, embedder, reader):
    from app.retrieve.library import Library

    # the same words in another order: the same vector, the same shared words
    blocks = [
        (1, "main", "", ["memory about decide gates do what it keeps here."]),
        (2, "main", "", ["it keeps here what memory about decide gates do."]),
    ]
    library = Library([index_of("a.pdf", blocks)], embedder)

    class Second:
        def question_given(self, question, texts):
            return [[-1.0, -3.0] if text.startswith("it") else [-3.0, -3.0] for text in texts]

    settings = {"k": 2, "redundant": 2.0, "likelihood": 0.2}
    first, second = library.retriever(NAME, reader=Second(), **settings).search(QUESTION)
    assert (first.chunk.page, second.chunk.page) == (2, 1)
    assert first.score - second.score == pytest.approx(0.2 * 1.0)  # a nat a token apart


def test_only_the_best_fitting_sentences_are_read(library, reader):
    passages = library.retriever(NAME, k=2, read=3, reader=reader).search(QUESTION)
    (read,) = reader.read
    assert len(read) == 3 and "Gates decide what a memory keeps." in read
    assert passages[0].kept[0] == 0 and np.isfinite(passages[0].score)


@pytest.mark.parametrize("name", [NAME, f"{NAME}+bm25"])
def test_without_a_reader_the_error_says_how_to_give_one(library, name):
    with pytest.raises(ValueError, match=r"^compression-xlstm.*reader=app.load_reader\(\)"):
        library.retriever(name)


def test_an_ensemble_hands_the_reader_on(library, reader):
    assert library.retriever(f"{NAME}+bm25", reader=reader).search(QUESTION)
    assert reader.read

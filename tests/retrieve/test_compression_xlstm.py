"""Sentences ordered by how likely a reader finds the question after them, by hand."""

import numpy as np
import pytest

from app.retrieve.compression_xlstm import lifts

QUESTION = "What do gates decide about memory?"
NAME = "compression-xlstm"


def test_a_lift_counts_what_is_above_the_mean_and_nothing_below():
    given = np.array([[-1.0, -4.0], [-3.0, -4.0], [-5.0, -1.0]])  # means -3 and -3
    assert lifts(given) == pytest.approx([2 / 2, 0.0, 2 / 2])


def test_the_score_is_the_fit_and_the_lift(library, reader):
    settings = {"k": 9, "neighbours": 0, "margin": 9, "budget_chars": 10**6}
    fits = library.retriever("compression", **settings).search(QUESTION)
    found = library.retriever(NAME, **settings, likelihood=0.5, reader=reader).search(QUESTION)
    (read,) = reader.read
    lift = dict(zip(read, lifts(np.array(reader.question_given(QUESTION, read)))))
    assert max(lift.values()) > 0 and {p.chunk.id for p in found} == {p.chunk.id for p in fits}
    fit = {p.chunk.id: p.score for p in fits}
    for passage in found:
        # a chunk's best sentence by fit is its best by both, as the stand-in counts shared words
        best = max(lift[sentence.text] for sentence in passage.sentences)
        assert passage.score == pytest.approx(fit[passage.chunk.id] + 0.5 * best)


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

    settings = {"k": 2, "redundant": 2.0, "likelihood": 0.2}  # a lift of 1 and 0, in two tokens
    first, second = library.retriever(NAME, reader=Second(), **settings).search(QUESTION)
    assert (first.chunk.page, second.chunk.page) == (2, 1)
    assert first.score - second.score == pytest.approx(0.2 * 1.0 / 2)


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

"""Fragments told from sentences: lines of real papers, and what compression does with them."""

import pytest

from app.retrieve.fragments import is_fragment


@pytest.mark.parametrize(
    "text",
    [
        "Memory Cells 🠆 Constant Error Carousel 🠆 Sigmoid Gating 🠆 Recurrent Training sLSTM",
        "+ Parallel Training + Covariance Update Rule + Matrix Memory",
        "(a) Winogrande (b) PIQA (c) ARC-Challenge",
        "0 10 20 30 40 50 60 70 80 90 100",
        "2.1 Review of the Long Short-Term Memory",
        "II. PREGUNTA INVESTIGATIVA Y OBJETIVOS",
        "Aidan N. Gomez University of Toronto aidan@cs.toronto.edu",
        "",
    ],
)
def test_labels_headings_and_names_are_fragments(text):
    assert is_fragment(text)


@pytest.mark.parametrize(
    "text",
    [
        "Gates decide what a memory keeps.",
        "SGD with Momentum on CIFAR-10 and ImageNet.",  # a mark ends it
        "se entrena la red con imágenes de la misma resolución",
        "the memory cell is updated as follows",
        "xLSTM[7:1] 1420.1 9.00 7.04 56.69 60.26",  # a row: a name and its numbers
        "Highway [41, 42] 19 2.3M 7.54 (7.72±0.16)",
        "MultiHead(Q,K,V) = Concat(head1,..., headh)WO",
    ],
)
def test_sentences_rows_and_formulas_are_none(text):
    assert not is_fragment(text)


FIGURE = ["+ Matrix Memory Gates", "Gates Decide Memory", "Gates decide what memory keeps."]


def test_compression_keeps_the_labels_of_a_figure_out(index_of, embedder):
    from app.retrieve.library import Library

    library = Library([index_of("a.pdf", [(1, "main", "", FIGURE)])], embedder)
    (passage,) = library.retriever("compression").search("What do gates decide about memory?")
    assert passage.kept == (2,)


def test_fragments_are_better_than_nothing(index_of, embedder):
    from app.retrieve.library import Library

    library = Library([index_of("a.pdf", [(1, "main", "", FIGURE[:2])])], embedder)
    (passage,) = library.retriever("compression").search("What do gates decide about memory?")
    assert passage.kept == (0, 1)

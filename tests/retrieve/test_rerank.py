"""The order of a cross-encoder that is seen: which sentences are kept, and what it is given."""

QUESTION = "What do gates decide about memory?"
SLEEP, VALUES = "Cats sleep a lot.", "Exponential gates revise stored values."


class Odds:
    """Log-odds by text; remembers the passages that it was given."""

    def __init__(self, **odds):
        self.odds, self.given, self.warm = odds, [], False

    def warm_up(self):
        self.warm = True

    def scores(self, question, passages):
        self.given.append(passages)
        return [[self.odds.get(text[:4], -9.0) for text in passage] for passage in passages]


def test_sentences_come_in_the_rankers_order_and_their_passages_with_them(library):
    ranker = Odds(Cats=3.0, Expo=1.0, Gate=-2.0)
    first, second, third = library.retriever("rerank", ranker=ranker).search(QUESTION)
    assert (first.text, first.score) == (SLEEP, 3.0)
    assert (second.text, second.score) == (VALUES, 1.0) and third.score == -2.0
    assert ranker.warm and [len(passage) for passage in ranker.given[0]] == [2] * 5


def test_each_candidate_is_read_whole_and_what_is_far_below_the_best_is_left_out(library):
    ranker = Odds(Cats=3.0, Expo=1.0, Gate=-2.0)
    found = library.retriever("rerank", ranker=ranker, margin=4.0).search(QUESTION)
    assert [passage.text for passage in found] == [SLEEP, VALUES]
    (given,) = ranker.given
    assert ["A matrix memory stores keys and values.", SLEEP] in given
    few = library.retriever("rerank", ranker=ranker, candidates=1, k=1)
    few.search(QUESTION)
    assert len(ranker.given[-1]) == 1


def test_a_sentence_gets_its_own_score_where_fragments_were_left_out(index_of, embedder):
    from app.retrieve.library import Library

    blocks = [(1, "main", "", ["0.1 0.2 0.3 0.4", "Rain fell in May.", "Gates keep memory."])]
    library = Library([index_of("a.pdf", blocks)], embedder)
    ranker = Odds(**{"0.1 ": 9.0, "Rain": -1.0, "Gate": 2.0})
    (found,) = library.retriever("rerank", ranker=ranker, k=1).search(QUESTION)
    assert found.kept == (1, 2) and found.score == 2.0


def test_filters_hold_for_its_candidates_too(library):
    ranker = Odds(Cats=3.0)
    found = library.retriever("rerank", ranker=ranker, papers=("b.pdf",)).search(QUESTION)
    assert {passage.chunk.paper for passage in found} == {"b.pdf"}
    assert all(text[0] != "A matrix memory stores" for text in ranker.given[0])


def test_the_default_ranker_puts_the_sentence_that_answers_first(index_of, embedder):
    from app.retrieve.library import Library

    blocks = [
        (1, "main", "", ["The study is about a model of rain.", "How wide rivers are matters."]),
        (2, "main", "", ["The width of the model is 768 in all.", "Rain fell in May."]),
    ]
    library = Library([index_of("a.pdf", blocks)], embedder)
    best = library.retriever("rerank").search("How wide is the model?")[0]
    assert best.chunk.page == 2 and best.kept[0] == 0

"""What users of LangChain do with our library: its FAISS class, its chains, its agents."""

import socket

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.language_models import FakeListLLM, GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.prompts import PromptTemplate

from app.retrieve.base import chunk_document

QUESTION = "What do gates decide about memory?"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError(f"reached for the network: {args}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def community(library):
    """langchain-community's FAISS over our vectors and texts: in memory, cosine by name.

    Its own save_local and load_local use pickle: the library's index folder is the saved form.
    """
    import faiss
    from langchain_community.docstore.in_memory import InMemoryDocstore
    from langchain_community.vectorstores import FAISS
    from langchain_community.vectorstores.utils import DistanceStrategy

    index = faiss.IndexFlatIP(library.embedder.width)
    index.add(np.stack([library.vector(chunk.id) for chunk in library.chunks]))
    return FAISS(
        library.store.embeddings,
        index,
        InMemoryDocstore({chunk.id: chunk_document(chunk) for chunk in library.chunks}),
        {row: chunk.id for row, chunk in enumerate(library.chunks)},
        distance_strategy=DistanceStrategy.COSINE,
        relevance_score_fn=lambda cosine: max(0.0, cosine),
    )


def test_the_score_of_communitys_faiss_is_our_cosine(library, community):
    theirs = community.similarity_search_with_score(QUESTION, k=5)
    ours = library.store.similarity_search_with_score(QUESTION, k=5)
    assert [document.id for document, _ in theirs] == [document.id for document, _ in ours]
    assert np.allclose([score for _, score in theirs], [score for _, score in ours], atol=1e-6)


def test_its_relevance_would_be_upside_down_without_ours(library, community):
    best, cosine = library.store.similarity_search_with_score(QUESTION, k=1)[0]
    ((found, relevance),) = community.similarity_search_with_relevance_scores(QUESTION, k=1)
    assert found.id == best.id and np.isclose(relevance, cosine, atol=1e-6)
    community.override_relevance_score_fn = None
    ((_, relevance),) = community.similarity_search_with_relevance_scores(QUESTION, k=1)
    assert np.isclose(relevance, 1 - cosine, atol=1e-6)


def test_communitys_store_can_stand_in_for_ours(library, community):
    expected = library.retriever("similarity", k=2).search(QUESTION)
    library.store = community
    # its filter is applied to the first fetch_k only: all, so that none is lost
    found = community.similarity_search_with_score(
        QUESTION, k=2, filter={"part": "main"}, fetch_k=len(library.chunks)
    )
    assert [document.id for document, _ in found] == [passage.chunk.id for passage in expected]


@pytest.mark.parametrize(
    "name", ["similarity", "mmr", "hybrid", "compression", "compression-xlstm", "mmr+bm25"]
)
def test_langchain_cores_store_can_stand_in_for_ours(library, reader, name):
    from langchain_core.vectorstores import InMemoryVectorStore

    retriever = library.retriever(name, k=3, papers=("a",), reader=reader)
    expected = retriever.search(QUESTION)
    library.store = InMemoryVectorStore(library.store.embeddings)
    library.store.add_documents([chunk_document(chunk) for chunk in library.chunks])
    found = retriever.search(QUESTION)
    assert [p.chunk.id for p in found] == [p.chunk.id for p in expected]
    assert np.allclose([p.score for p in found], [p.score for p in expected], atol=1e-6)


@pytest.mark.parametrize("name", ["similarity", "compression"])
def test_a_stock_chain_answers_from_our_retriever(library, name):
    from langchain_classic.chains import create_retrieval_chain
    from langchain_classic.chains.combine_documents import create_stuff_documents_chain

    seen = []

    class Recorder(FakeListLLM):
        def _call(self, prompt, *args, **kwargs):
            seen.append(prompt)
            return super()._call(prompt, *args, **kwargs)

    prompt = PromptTemplate.from_template("{context}\nQuestion: {input}\nAnswer:")
    place = PromptTemplate.from_template("[{paper} p. {page}] {page_content}")
    documents = create_stuff_documents_chain(
        Recorder(responses=["What to keep."]), prompt, document_prompt=place
    )
    chain = create_retrieval_chain(library.retriever(name, k=2), documents)
    result = chain.invoke({"input": QUESTION})
    assert result["answer"] == "What to keep."
    passages = library.retriever(name, k=2).search(QUESTION)
    assert [document.id for document in result["context"]] == [p.chunk.id for p in passages]
    assert "[a.pdf p. 1] Gates decide what a memory keeps." in seen[0]


def test_an_agent_of_langchain_searches_the_papers_as_a_tool(library):
    from langchain.agents import create_agent
    from langchain_core.tools import create_retriever_tool

    class Model(GenericFakeChatModel):
        def bind_tools(self, tools, **kwargs):
            return self

    tool = create_retriever_tool(
        library.retriever("compression", k=1), "search_papers", "Finds passages in the papers."
    )
    call = {"name": "search_papers", "args": {"query": QUESTION}, "id": "1"}
    replies = iter([AIMessage("", tool_calls=[call]), AIMessage("What to keep.")])
    agent = create_agent(Model(messages=replies), [tool])
    messages = agent.invoke({"messages": [("user", QUESTION)]})["messages"]
    assert "Gates decide what a memory keeps." in messages[-2].content
    assert messages[-1].content == "What to keep."


def test_texts_can_be_added_with_langchains_own_names(library):
    before = len(library.store)
    (id,) = library.store.add_documents([Document(page_content="Gates, gates, gates.", id="new")])
    assert id == "new" and len(library.store) == before + 1
    assert library.store.similarity_search("Gates gates gates", k=1)[0].id == "new"

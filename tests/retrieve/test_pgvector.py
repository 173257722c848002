"""PostgreSQL with pgvector in place of FAISS: the same passages, and they outlive the process."""

import numpy as np
import pytest
from langchain_core.documents import Document
from tests.retrieve.postgres import PgVectorStore, running_server, server_programs

from app.retrieve.base import chunk_document

pytestmark = pytest.mark.slow

QUESTION = "What do gates decide about memory?"
HOSTILE = "it's a \\. \"quoted\", ünïcode $$ line\nand :'wanted' <b>x</b>"


@pytest.fixture(scope="module")
def psql():
    programs = server_programs()
    if programs is None:
        pytest.skip(
            "no PostgreSQL with pgvector: Debian's postgresql-17-pgvector or pip's pgserver"
        )
    with running_server(programs) as command:
        yield command


@pytest.fixture
def store(psql, library):
    made = PgVectorStore(psql, library.store.embeddings, library.embedder.width)
    made._run("TRUNCATE chunks")
    made.add_documents([chunk_document(chunk) for chunk in library.chunks])
    return made


@pytest.mark.parametrize("papers", [(), ("b",)])
@pytest.mark.parametrize(
    "name", ["similarity", "mmr", "hybrid", "compression", "compression-xlstm", "mmr+bm25"]
)
def test_pgvector_can_stand_in_for_faiss(library, store, reader, name, papers):
    retriever = library.retriever(name, k=3, papers=papers, reader=reader)
    expected = retriever.search(QUESTION)
    library.store = store
    found = retriever.search(QUESTION)
    assert [p.chunk.id for p in found] == [p.chunk.id for p in expected]
    assert np.allclose([p.score for p in found], [p.score for p in expected], atol=1e-5)
    assert [d.metadata["page"] for d in retriever.invoke(QUESTION)] == [p.chunk.page for p in found]


def test_what_is_stored_comes_back_whatever_its_letters(library, store, psql):
    (id,) = store.add_documents([Document(HOSTILE, metadata={"title": HOSTILE}, id=HOSTILE)])
    again = PgVectorStore(psql, library.store.embeddings, library.embedder.width)
    (document,) = again.similarity_search(HOSTILE, k=1)
    assert (document.id, document.page_content, document.metadata["title"]) == (
        id,
        HOSTILE,
        HOSTILE,
    )

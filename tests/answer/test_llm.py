"""A checkpoint as a langchain-core LLM: whole, streamed, stopped, bound and in a chain."""

import pytest
import torch
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import PromptTemplate
from tests.model.bytes_tokenizer import write_tokenizer
from tests.model.small import small

from app.answer.llm import XLSTMLLM, load_llm
from app.model.errors import ModelError
from app.model.generate import generate
from app.model.tokenizer import load_tokenizer


@pytest.fixture
def llm(tmp_path):
    tokenizer = load_tokenizer(write_tokenizer(tmp_path / "t"))
    model = small(torch.float32, vocab_size=300)
    return XLSTMLLM(model=model, tokenizer=tokenizer, max_tokens=30, label="tiny")


def written(llm, prompt, count):
    ids = list(generate(llm.model, llm.tokenizer.encode(prompt), max_tokens=count))
    return llm.tokenizer.decode(ids)


def test_invoke_and_stream_give_the_generated_text(llm):
    whole = llm.invoke("hello")
    assert whole == written(llm, "hello", 30) and whole
    pieces = list(llm.stream("hello"))
    assert "".join(pieces) == whole and len(pieces) > 5


def test_a_stop_string_ends_the_text(llm):
    whole = llm.invoke("hello")
    stop = whole[8:10]
    assert llm.invoke("hello", stop=[stop]) == whole[: whole.index(stop)]
    assert "".join(llm.stream("hello", stop=[stop])) == whole[: whole.index(stop)]


def test_a_call_may_change_sampling_and_length(llm):
    hot = llm.bind(temperature=2.0, seed=3, max_tokens=12)
    assert hot.invoke("hello") == hot.invoke("hello") != llm.invoke("hello")[:12]
    assert llm.invoke("hello", max_tokens=2) == written(llm, "hello", 2)
    with pytest.raises(ModelError, match="temperature"):
        llm.invoke("hello", temperature=-1)


def test_it_works_in_a_chain_and_in_a_batch(llm):
    chain = PromptTemplate.from_template("Q: {q}") | llm | StrOutputParser()
    assert chain.invoke({"q": "what"}) == written(llm, "Q: what", 30)
    assert llm.batch(["a", "b"]) == [written(llm, "a", 30), written(llm, "b", 30)]


def test_it_says_what_it_is(llm):
    assert llm._llm_type == "xlstm"
    assert dict(llm._identifying_params) == {
        "model": "tiny",
        "max_tokens": 30,
        "temperature": 0.0,
        "top_k": 0,
        "top_p": 1.0,
        "repetition_penalty": 1.0,
        "seed": None,
    }


def test_a_folder_is_loaded_with_its_tokenizer(tmp_path):
    from app.model.save import save_model

    folder = save_model(small(torch.float32, vocab_size=300), tmp_path / "m")
    config = (folder / "config.json").read_text()
    write_tokenizer(folder)
    (folder / "config.json").write_text(config)
    llm = load_llm(folder, dtype=torch.float32, max_tokens=4)
    assert llm.label == "m" and llm.invoke("hello") == written(llm, "hello", 4)

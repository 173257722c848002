"""Any xLSTM checkpoint as a langchain-core `LLM`, so that any chain can use it.

It completes a text; it knows neither passages nor citations.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.llms import LLM
from langchain_core.outputs import GenerationChunk
from pydantic import ConfigDict

from app.answer.prompt import READER
from app.model.checkpoint import load_model
from app.model.generate import generate
from app.model.sample import Sampling
from app.model.stream import stream_text
from app.model.tokenizer import Tokenizer, load_tokenizer
from app.model.xlstm import XLSTM


class XLSTMLLM(LLM):
    """Completes a text with a local xLSTM; streams, and ends before a stop string.

    A call may change, for itself, `max_tokens` and every field of `Sampling`, for example
    `llm.bind(temperature=0.8, seed=1)`.

    Attributes:
        model: The model.
        tokenizer: Its tokenizer; its end tokens end a text.
        sampling: How tokens are drawn; greedy where not given.
        max_tokens: At most so many new tokens.
        label: What traces call the model.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    model: XLSTM
    tokenizer: Tokenizer
    sampling: Sampling = Sampling()
    max_tokens: int = 256
    label: str = "xlstm"

    @property
    def _llm_type(self) -> str:
        return "xlstm"

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        return {"model": self.label, "max_tokens": self.max_tokens, **asdict(self.sampling)}

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        for piece in self._pieces(prompt, stop, **kwargs):
            if run_manager:
                run_manager.on_llm_new_token(piece)
            yield GenerationChunk(text=piece)

    def _call(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> str:
        return "".join(self._pieces(prompt, stop, **kwargs))

    def _pieces(
        self, prompt: str, stop: list[str] | None, max_tokens: int | None = None, **sampling: Any
    ) -> Iterator[str]:
        tokens = generate(
            self.model,
            self.tokenizer.encode(prompt),
            sampling=replace(self.sampling, **sampling),
            max_tokens=self.max_tokens if max_tokens is None else max_tokens,
            stop_ids=self.tokenizer.stop_ids,
        )
        return stream_text(self.tokenizer, tokens, stop or ())


def load_llm(path: str | Path = READER, **options: Any) -> XLSTMLLM:
    """A checkpoint by folder or hub name as an `LLM`.

    Args:
        path: The model folder, with its tokenizer.json.
        options: `device`, `dtype`, `int8`, `kernels` and `graphs` go to `load_model`, the rest to
            `XLSTMLLM`.

    Raises:
        ModelError: The model or its tokenizer cannot be used.
    """
    names = ("device", "dtype", "int8", "kernels", "graphs")
    of_model = {name: options.pop(name) for name in names if name in options}
    tokenizer = load_tokenizer(path)
    model = load_model(path, **of_model)
    return XLSTMLLM(model=model, tokenizer=tokenizer, label=Path(path).name, **options)

"""The local model in its answering role: takes a prompt in, weighs sentences, phrases an answer.

It never retrieves, and everything that another model would want otherwise is in its prompt.json.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from app.answer.calibration import UNCALIBRATED, Calibration
from app.answer.prompt import CHOICES, READER, Prompt, PromptSpec, build_prompt, stripped
from app.model.checkpoint import load_model
from app.model.copying import CopyBonus, OnlyRuns
from app.model.generate import generate, prefill
from app.model.score import score_continuations, score_endings
from app.model.state import ModelState
from app.model.stream import stream_text
from app.model.tokenizer import Tokenizer, load_tokenizer
from app.model.xlstm import XLSTM
from app.papers.records import Passage
from app.rank.passages import sentence_ranks
from app.rank.ranker import Ranker, load_ranker

COPY_BONUS = {"sentence": 4.0}  # nats by style; in others it costs (data/experiments/answer.md)
_WORD_START = re.compile(r"(?<![^\W_])(?<!\d[.,])[^\W_]")
_GOES_ON = re.compile(r"[^\W_]|[.,]\d")  # what shows that a word or number has not ended
PHRASE_OFFSET = 5  # tokens added to a phrase's length, so that short ones are not put first


@dataclass(frozen=True, slots=True)
class Reading:
    """A prompt that was read up to the evidence token: logits (1,V), the state, and a first word.

    `declines` says that the refusal token is the likeliest to come next. `relevance` holds for each
    passage and each of its sentences in the prompt how much rather the reader, at its end, would
    write the evidence token than the refusal: a difference of logits, which means something only
    where the reader was trained to rank sentences so.
    """

    logits: Tensor
    state: ModelState
    declines: bool
    relevance: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Reader:
    """A model, its tokenizer, how it wants to be asked, and the ranker that it is helped by.

    Nothing is kept from one question to the next.
    """

    name: str
    model: XLSTM
    tokenizer: Tokenizer
    spec: PromptSpec
    calibration: Calibration = UNCALIBRATED
    ranker: Ranker = field(default_factory=load_ranker)

    def __str__(self) -> str:
        config, backend = self.model.config, self.model.backend
        styles = ", ".join(mode for mode in self.spec.modes if mode != self.spec.default_mode)
        return (
            f"{self.name}: xLSTM of {self.model.weight_count:,} weights, "
            f"{config.num_blocks} blocks of width {config.embedding_dim} "
            f"with {config.num_heads} heads\n"
            f"kernels: {backend.chunkwise_kernel}, {backend.step_kernel} step; "
            f"{str(self.model.dtype).removeprefix('torch.')} on {self.model.device}\n"
            f"answers: {self.spec.default_mode} (default), {styles}\n"
            f"{self.calibration}"
        )

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))  # not the whole list of layers

    def prompt(self, question: str, passages: Sequence[Passage]) -> Prompt:
        """The prompt for a question on passages; errors as in `build_prompt`."""
        return build_prompt(self.spec, self.tokenizer, question, passages)

    def read(self, prompt: Prompt, state: ModelState | None = None) -> Reading:
        """Read a prompt once; what follows starts from the state that it leaves.

        Args:
            prompt: Of this question.
            state: What earlier questions left (see `carry`); None for a fresh start.
        """
        streams: list[Tensor] = []
        logits, state = prefill(self.model, [prompt.ids], state, watch=streams.append)
        evidence, refusal = (self.tokenizer.id_of(self.spec.tokens[t]) for t in CHOICES)
        ends = torch.tensor([end for ends in prompt.ends for end in ends], dtype=torch.long)
        with torch.inference_mode():
            x = torch.cat(streams, 1)[0, ends.to(logits.device)]
            pair = self.model.project_to(x, torch.tensor([evidence, refusal], device=x.device))
        values = iter((pair[:, 0] - pair[:, 1]).tolist())
        relevance = tuple(tuple(next(values) for _ in ends) for ends in prompt.ends)
        return Reading(logits, state, int(logits[0].argmax()) == refusal, relevance)

    def likelihoods(self, reading: Reading, sentences: Sequence[str]) -> list[float]:
        """Log-likelihood of each sentence as evidence, over its tokens plus the reader's offset.

        All are scored from the one state, in one batch; nats a token.
        """
        rows = [self.tokenizer.encode(stripped(text), start=False) for text in sentences]
        sums = score_continuations(self.model, reading.logits, reading.state, rows)
        offset = self.spec.evidence_length_offset
        return [total / (len(row) + offset) for total, row in zip(sums, rows)]

    def ranks(self, question: str, passages: Sequence[Passage]) -> list[list[float]]:
        """The ranker's log-odds of each of `passage.sentences`, for each passage."""
        return sentence_ranks(self.ranker, question, passages)

    def log_refusal(self, reading: Reading) -> float:
        """Log-probability that the refusal token comes next: that the passages do not answer."""
        token = self.tokenizer.id_of(self.spec.tokens["refusal"])
        return float(torch.log_softmax(reading.logits[0].double(), -1)[token])

    def question_given(self, question: str, texts: Sequence[str]) -> list[list[float]]:
        """How well the question follows from each text: query likelihood, never a written word.

        Each text is read alone as a passage, and then the question mark that asks for the question.
        The sum over a row orders texts by how likely they make the question (Ponte and Croft 1998);
        the values of one token can be compared from text to text.

        Args:
            question: In words.
            texts: Sentences or passages; all are scored in one call, similar lengths together.

        Returns:
            For each text the log-likelihood (nats) of every token of the question: (texts, tokens).

        Raises:
            ValueError: The question has no token.
        """
        asked = self.tokenizer.encode(stripped(question).strip(), start=False)
        if not asked:
            raise ValueError("the question is empty")
        start, passage, mark = (
            self.tokenizer.id_of(self.spec.tokens[role])
            for role in ("start", "passage", "question")
        )
        rows = [
            [start, passage, *self.tokenizer.encode(stripped(text), start=False), mark, *asked]
            for text in texts
        ]
        return score_endings(self.model, rows, [len(asked)] * len(rows))

    def phrase(
        self, reading: Reading, evidence: str, style: str, *, held: bool = False
    ) -> Iterator[str]:
        """Pieces of an answer after the evidence, greedy, each line once.

        What follows in the evidence the last two tokens is made likelier by the style's COPY_BONUS.
        It ends at the end token, at any other special one, or after `answer_tokens` tokens.

        Args:
            reading: The prompt as read.
            evidence: The sentence or sentences that were chosen.
            style: `short`, `sentence` or `bullets`.
            held: Whether the answer is held to words that stand in the evidence in a row.
        """
        text = self.tokenizer.encode(stripped(evidence), start=False)
        copying = CopyBonus(text, COPY_BONUS.get(style, 0.0))
        chosen = generate(
            self.model,
            [*text, self.tokenizer.id_of(self.spec.styles[style])],
            state=reading.state,
            max_tokens=self.spec.answer_tokens,
            stop_ids=range(self.spec.stop_below_id),
            banned_ids=[self.tokenizer.id_of(token) for token in self.spec.banned],
            processors=(copying, self._runs(stripped(evidence))) if held else (copying,),
        )
        return each_line_once(stream_text(self.tokenizer, chosen))

    def _runs(self, evidence: str) -> OnlyRuns:
        """The text from the start of each of its words on, which may stop after each word."""
        runs, stops = [], []
        for start in (found.start() for found in _WORD_START.finditer(evidence)):
            text = evidence[start:]
            ids, ends = self.tokenizer.encode_with_ends(text)
            runs.append(ids)
            stops.append([n for n, end in enumerate(ends, 1) if not _GOES_ON.match(text, end)])
        return OnlyRuns(runs, stops, self.tokenizer.id_of(self.spec.tokens["end"]))

    def phrase_likelihoods(
        self, reading: Reading, evidence: str, style: str, texts: Sequence[str]
    ) -> list[float]:
        """Log-likelihood of each text as a whole answer after the evidence, over tokens + offset.

        The end token counts; nats a token. Arguments as in `phrase`.
        """
        ids = self.tokenizer.encode(stripped(evidence), start=False)
        ids.append(self.tokenizer.id_of(self.spec.styles[style]))
        logits, state = prefill(self.model, [ids], reading.state)
        end = self.tokenizer.id_of(self.spec.tokens["end"])
        rows = [[*self.tokenizer.encode(stripped(text), start=False), end] for text in texts]
        sums = score_continuations(self.model, logits, state, rows)
        return [total / (len(row) + PHRASE_OFFSET) for total, row in zip(sums, rows)]

    def carry(self, reading: Reading, evidence: str, style: str = "", text: str = "") -> ModelState:
        """The state after an answer, from which the next question can be read.

        Args:
            reading: The prompt as read.
            evidence: The sentence that was chosen; empty where there is none.
            style: How the answer was phrased; empty for the evidence alone.
            text: The phrased answer.
        """
        ids = self.tokenizer.encode(stripped(evidence), start=False) if evidence else []
        if style:
            ids.append(self.tokenizer.id_of(self.spec.styles[style]))
            ids += self.tokenizer.encode(stripped(text), start=False)
        ids.append(self.tokenizer.id_of(self.spec.tokens["end"]))
        return prefill(self.model, [ids], reading.state)[1]


def each_line_once(pieces: Iterable[str]) -> Iterator[str]:
    """The text without lines that came before; only what may still become one is held back."""
    known: set[str] = set()
    line = shown = ""
    for piece in pieces:
        line += piece
        while "\n" in line:
            whole, line = line.split("\n", 1)
            if whole.strip() and whole.strip() not in known:
                known.add(whole.strip())
                yield whole[len(shown) :] + "\n"
            shown = ""
        if line != shown and not any(old.startswith(line.strip()) for old in known):
            yield line[len(shown) :]
            shown = line
    if line != shown and line.strip() not in known:
        yield line[len(shown) :]


def load_reader(
    path: str | Path = READER,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    int8: bool | None = None,
) -> Reader:
    """Load a model that can answer questions.

    Args:
        path: Its folder, with prompt.json beside config, tokenizer and weights.
        device: Where the weights go.
        dtype: Of the projections; None takes the faster one, timed once.
        int8: True keeps the projections in int8 alone: least memory, prompts read slower. None
            keeps them widened beside, on a CPU; False keeps them widened alone.

    Raises:
        FileNotFoundError: The calibration asks the ranker, and there is none.
        ValueError: The folder has no prompt.json or a damaged one.
        ModelError: Config, tokenizer or weights cannot be used.
    """
    spec = PromptSpec.load(path)  # first: without it nothing else needs to be loaded
    calibration = Calibration.load(path)
    tokenizer = load_tokenizer(path)
    model = load_model(path, device=device, dtype=dtype, int8=int8)
    ranker = load_ranker(torch.device(device).type)
    if "rank" in calibration.signals:
        ranker.warm_up()
    return Reader(Path(path).name, model, tokenizer, spec, calibration, ranker)

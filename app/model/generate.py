"""Prefill, decode steps, and generation as an iterator of token ids that carries its state.

Knows token ids and no text. States come in and go out; none is changed.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from app.model.cpu_step import step_of
from app.model.cuda_graph import graphs_of
from app.model.errors import ModelError
from app.model.sample import Sampling, choose
from app.model.state import ModelState
from app.model.xlstm import XLSTM

# Tokens of a prompt that are read at once: bounds memory; half as many cost a GPU 4 %.
SLICE_TOKENS = 4096

# (logits (V,), ids so far) -> logits (V,), for constraints of the caller.
Processor = Callable[[Tensor, Sequence[int]], Tensor]


@torch.inference_mode()
def prefill(
    model: XLSTM,
    tokens: Sequence[Sequence[int]],
    state: ModelState | None = None,
    *,
    slice_tokens: int = SLICE_TOKENS,
    watch: Callable[[Tensor], object] | None = None,
) -> tuple[Tensor, ModelState]:
    """Read prompts, each with its own length, in slices of constant memory.

    Args:
        model: the model.
        tokens: ids, one list of at least one id a row.
        state: after what came before each row; None is the start.
        slice_tokens: columns read at once, at least 1.
        watch: is shown the residual stream (B,T,E) of each slice, in order.

    Returns:
        Logits (B,V) after each row's last token, and the state there.

    Raises:
        ModelError: an empty prompt, an id outside the vocabulary, or a state of another model.
    """
    if slice_tokens < 1:
        raise ModelError(f"slice_tokens is {slice_tokens}; it must be at least 1")
    ids, lengths = padded(model, tokens)
    ragged = len({len(row) for row in tokens}) > 1
    last, graphs = None, graphs_of(model)
    if state is not None:
        model.check_state(state, len(ids))
    for start in range(0, ids.shape[1], slice_tokens):
        part = ids[:, start : start + slice_tokens]
        left = (lengths - start).clamp(0, part.shape[1])
        if graphs is not None and (read := graphs.read(part, state)) is not None:
            last, state = read
            continue
        x, state = model.hidden(part, state, left if ragged else None)
        if state.blocks[0].memory is None:
            raise ModelError(
                f"kernels {model.kernels!r} leave no state to carry on from; "
                "generate with a chunkwise or recurrent form"
            )
        if watch is not None:
            watch(x)
        here = x[torch.arange(len(x), device=x.device), (left - 1).clamp_min(0)]
        last = here if last is None else torch.where((left > 0)[:, None], here, last)
    return model.project(last), state


@torch.inference_mode()
def decode_step(model: XLSTM, token: Tensor, state: ModelState) -> tuple[Tensor, ModelState]:
    """Read one token (B,) a row -> logits (B,V) and the next state."""
    step = step_of(model) if len(token) == 1 else None
    if step is not None:
        return step(int(token), state)
    return model(token[:, None], state, last_only=True)


class Generation(Iterator[int]):
    """Token ids as they are chosen; between two of them, the state up to there.

    Attributes:
        tokens: ids chosen so far.
        sampling: how they are chosen.
        kept_state: the state while no graph's buffers hold it; `state` is the one to ask.
        seed: of what a graph draws.
        finish: None while it runs, then "stop" or "length".
    """

    def __init__(
        self,
        model: XLSTM,
        logits: Tensor,
        state: ModelState,
        *,
        prompt_ids: Sequence[int],
        sampling: Sampling,
        max_tokens: int,
        stop_ids: Sequence[int],
        banned_ids: Sequence[int],
        processors: Sequence[Processor],
    ) -> None:
        self.tokens: list[int] = []
        self.kept_state, self.finish = state, None
        self._model, self._logits, self._prompt = model, logits, list(prompt_ids)
        self.sampling, self._max = sampling, max_tokens
        self._stop, self._processors = frozenset(stop_ids), tuple(processors)
        banned = torch.tensor(sorted(banned_ids), dtype=torch.long)
        if len(banned):
            _check_ids(banned, model)
        self._banned = banned.to(logits.device)
        self._source = sampling.source(logits.device) if sampling.temperature else None
        self._pending: int | None = None
        graphs = graphs_of(model)
        self._decoder = None if graphs is None else graphs.decoder
        self.seed = 0 if self._source is None else self._source.initial_seed()
        # What a graph chooses is taken where nothing but the temperature shapes the logits.
        alone = not self._processors and not len(banned)
        self._trusts_graph = alone and sampling.temperature_alone
        self._chosen: int | None = None

    @property
    def state(self) -> ModelState:
        """The state after the prompt and all of `tokens` but the last (see `carry`)."""
        held = None if self._decoder is None else self._decoder.state_of(self)
        return self.kept_state if held is None else held

    def __next__(self) -> int:
        if self.finish is None and len(self.tokens) >= self._max:
            self.finish = "length"
        if self.finish is not None:
            raise StopIteration
        self._read_pending()
        token = self._choose()
        if token in self._stop:
            self.finish = "stop"
            raise StopIteration
        self.tokens.append(token)
        self._pending = token
        return token

    def carry(self) -> tuple[Tensor, ModelState]:
        """Logits (1,V) and state after everything chosen so far, to go on from or to save."""
        self._read_pending()
        return self._logits, self.state

    def _read_pending(self) -> None:
        """Read the last token, unless it is read."""
        if self._pending is None:
            return
        if self._decoder is not None:
            chosen, self._logits = self._decoder.run(self, self._pending)
            self._chosen = chosen if self._trusts_graph else None
        else:
            token = torch.tensor([self._pending], device=self._logits.device)
            self._logits, self.kept_state = decode_step(self._model, token, self.kept_state)
        self._pending = None

    def _choose(self) -> int:
        if self._chosen is not None:
            token, self._chosen = self._chosen, None
            return token
        logits = self._logits[0]
        for process in self._processors:
            logits = process(logits, self.tokens)
        if len(self._banned):
            logits = logits.index_fill(0, self._banned.to(logits.device), -torch.inf)
        counted = self.sampling.repetition_penalty != 1.0
        seen = [*self._prompt, *self.tokens] if counted else ()
        return choose(logits, seen, self.sampling, self._source)


def generate(
    model: XLSTM,
    prompt_ids: Sequence[int],
    *,
    state: ModelState | None = None,
    logits: Tensor | None = None,
    sampling: Sampling | None = None,
    max_tokens: int = 256,
    stop_ids: Sequence[int] = (),
    banned_ids: Sequence[int] = (),
    processors: Sequence[Processor] = (),
) -> Generation:
    """Read a prompt and give the tokens that follow it, one at a time.

    Args:
        model: the model.
        prompt_ids: read first; may be empty where `state` and `logits` are given.
        state: one row, after what came before the prompt; None is the start.
        logits: (1,V) that belong to `state`, used where the prompt is empty.
        sampling: None is greedy.
        max_tokens: at most so many ids.
        stop_ids: any of them ends the text; it is neither given nor read.
        banned_ids: never chosen.
        processors: change the logits, in order, before they are shaped.

    Raises:
        ModelError: neither a prompt nor a state with its logits, more than one row of them, ids
            outside the vocabulary; from the iterator: every token is banned.
    """
    if prompt_ids:
        logits, state = prefill(model, [prompt_ids], state)
    elif state is None or logits is None:
        raise ModelError("an empty prompt needs the state and the logits to go on from")
    model.check_state(state, 1)
    if logits.shape != (1, model.config.vocab_size):
        raise ModelError(
            f"logits have shape {tuple(logits.shape)}; (1, {model.config.vocab_size}) is needed"
        )
    return Generation(
        model,
        logits,
        state,
        prompt_ids=prompt_ids,
        sampling=sampling or Sampling(),
        max_tokens=max_tokens,
        stop_ids=stop_ids,
        banned_ids=banned_ids,
        processors=processors,
    )


def generate_batch(
    model: XLSTM,
    prompts: Sequence[Sequence[int]],
    *,
    sampling: Sampling | None = None,
    max_tokens: int = 256,
    stop_ids: Sequence[int] = (),
) -> list[list[int]]:
    """Continue prompts of unequal length together; each as `generate` would alone.

    Rows are padded on the right and their pads leave the state alone; a row that has ended leaves
    the batch. Every row draws from its own numbers, seeded alike.

    Args:
        model: the model.
        prompts: ids, at least one a row.
        sampling: None is greedy.
        max_tokens: at most so many ids a row.
        stop_ids: any of them ends its row.

    Returns:
        The new ids of each row, in the order given.
    """
    sampling = sampling or Sampling()
    logits, state = prefill(model, prompts)
    sources = [sampling.source(logits.device) if sampling.temperature else None for _ in prompts]
    found: list[list[int]] = [[] for _ in prompts]
    rows = list(range(len(prompts)))
    for _ in range(max_tokens):
        picks = [
            choose(line, [*prompts[row], *found[row]], sampling, sources[row])
            for line, row in zip(logits, rows)
        ]
        live = [n for n, token in enumerate(picks) if token not in stop_ids]
        for n in live:
            found[rows[n]].append(picks[n])
        rows = [rows[n] for n in live if len(found[rows[n]]) < max_tokens]
        if not rows:
            break
        if len(live) < len(picks):
            state = state.select(live)
        tokens = torch.tensor([picks[n] for n in live], device=logits.device)
        logits, state = decode_step(model, tokens, state)
    return found


def padded(model: XLSTM, tokens: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Right-padded ids (B,S) and lengths (B,), checked against the vocabulary."""
    if not tokens or not all(len(row) for row in tokens):
        raise ModelError("a prompt is empty; each needs at least one token")
    lengths = torch.tensor([len(row) for row in tokens])
    ids = torch.zeros(len(tokens), int(lengths.max()), dtype=torch.long)
    for row, line in zip(ids, tokens):
        try:
            values = torch.as_tensor(line)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ModelError(
                f"token ids must be whole numbers of the vocabulary ({error})"
            ) from error
        if values.is_floating_point() or values.ndim != 1:
            raise ModelError("token ids must be one list of whole numbers a row")
        row[: len(line)] = values
    _check_ids(ids, model)
    return ids.to(model.device), lengths.to(model.device)


def _check_ids(ids: Tensor, model: XLSTM) -> None:
    if int(ids.min()) < 0 or int(ids.max()) >= model.config.vocab_size:
        raise ModelError(
            f"token ids reach from {int(ids.min())} to {int(ids.max())}; "
            f"the model's vocabulary has {model.config.vocab_size}"
        )

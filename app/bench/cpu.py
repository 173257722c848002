"""Prompts and decoding on this CPU, beside transformers' xLSTM with the same weights.

transformers has no convolution before q and k, so the comparison is of the reader's shape without
one; its weights are whole numbers times a scale, so that int8 holds exactly what float32 does.
"""

import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from app.bench import Options
from app.bench.rows import Row
from app.bench.timing import cpu_matrix_rate, cpu_seconds, read_bandwidth
from app.model.checkpoint import load_model
from app.model.config import XLSTMConfig
from app.model.cpu_step import step_of
from app.model.generate import decode_step, prefill
from app.model.save import save_model
from app.model.xlstm import XLSTM

logger = logging.getLogger(__name__)

PROMPT = 800  # tokens
STEPS = 8  # tokens that are decoded for one value
LOGITS = 5e-4  # how far float32 logits may lie from the reference's
WIDE = XLSTMConfig(vocab_size=50304, embedding_dim=4096, num_blocks=8, num_heads=8)  # 7B's widths


def measure(options: Options) -> list[Row]:
    """Rows of the reader, of its shape beside the peer, and of the 7B widths."""
    reader = load_model(options.model)
    _check(reader, load_model(options.model, dtype=torch.float32, kernels="native"))
    rows = [*_prefill(reader, "the reader", options), *_decode(reader, "the reader", options)]
    with tempfile.TemporaryDirectory() as folder:
        rows += _beside(reader.config, Path(folder), options)
    del reader
    return rows if options.quick else [*rows, *_seven_billion(options)]


def _check(model: XLSTM, reference: XLSTM) -> None:
    """Steps give the logits of the native float32 model; raises ArithmeticError where not."""
    ids, worst = _ids(model.config, 80), 0.0
    _, state = prefill(reference, [ids[:60]])
    ours = theirs = state
    for token in ids[60:]:
        got, ours = decode_step(model, torch.tensor([token]), ours)
        want, theirs = decode_step(reference, torch.tensor([token]), theirs)
        worst = max(worst, (got - want).abs().max().item())
    # without the compiled step, products of a bfloat16 model are rounded
    allowed = LOGITS if step_of(model) is not None or model.dtype == torch.float32 else 0.5
    if worst > allowed:
        raise ArithmeticError(f"decoded logits are off by {worst:.2g}; {allowed} is allowed")


def _ids(config: XLSTMConfig, count: int) -> list[int]:
    draw = torch.Generator().manual_seed(0)
    return torch.randint(10, config.vocab_size, (count,), generator=draw).tolist()


def _numbers(config: XLSTMConfig) -> int:
    """Weights that each token is multiplied with in the blocks."""
    c = config
    return c.num_blocks * c.embedding_dim * (2 * c.qk_width + 3 * c.v_width + 3 * c.ffn_dim)


def _prefill(
    model: XLSTM, shape: str, options: Options, peer: float | None = None, name: str = ""
) -> Iterator[Row]:
    ids, most = _ids(model.config, PROMPT), 2 * options.repeats
    seconds = cpu_seconds(lambda: prefill(model, [ids]), repeats=most, warmup=1)
    bound = cpu_matrix_rate(model.dtype) / (2 * _numbers(model.config))
    yield Row(
        f"prompt of {PROMPT} tokens",
        "tokens/s",
        tuple(PROMPT / s for s in seconds),
        shape,
        _dtype(model.dtype),
        bound,
        "matrix products",
        peer,
        name,
    )


def _decode(
    model: XLSTM, shape: str, options: Options, peer: float | None = None, name: str = ""
) -> Iterator[Row]:
    compiled = step_of(model) is not None
    held = "int8" if model.int8 else _dtype(model.dtype)
    nbytes = _numbers(model.config) + model.config.vocab_size * model.config.embedding_dim
    nbytes *= 1 if model.int8 else model.dtype.itemsize
    bound = read_bandwidth() / nbytes
    rates = _rates(_stepper(model), options)
    how = "decode" if compiled else "decode, not compiled"
    yield Row(how, "tokens/s", rates, shape, held, bound, "reading the weights", peer, name)


def _stepper(model: XLSTM) -> Callable[[], Any]:
    state, token = model.zero_state(), torch.tensor([11])

    def step() -> None:
        nonlocal state
        _, state = decode_step(model, token, state)

    return step


def _rates(step: Callable[[], Any], options: Options, steps: int = STEPS) -> tuple[float, ...]:
    """Tokens a second, of several runs of `steps` steps."""

    def run() -> None:
        for _ in range(steps):
            step()

    return tuple(steps / s for s in cpu_seconds(run, repeats=3 * options.repeats, warmup=1))


def _beside(config: XLSTMConfig, folder: Path, options: Options) -> Iterator[Row]:
    """The reader's shape without a convolution, beside the peer where it is installed."""
    config = replace(config, conv1d_kernel_size=0, tie_word_embeddings=False)
    whole = save_model(XLSTM(config).initialise(0), folder / "int8", int8=True)
    public = save_model(load_model(whole, int8=True), folder / "public")
    peers = {dtype: _peer(public, dtype) for dtype in (torch.float32, torch.bfloat16)}
    ours = load_model(whole)
    best: dict[str, tuple[float | None, str]] = dict.fromkeys(("prompt", "decode"), (None, ""))
    if peers[torch.float32] is not None:
        ids = torch.tensor([_ids(config, PROMPT)])
        _check_peer(peers[torch.float32], ours, ids)
        for dtype, peer in peers.items():
            for what, rate in _peer_rates(peer, ids, options).items():
                if rate > (best[what][0] or 0):
                    best[what] = rate, f"transformers {_dtype(dtype)}"
    del peers
    shape = "the reader's without convolution"
    yield from _prefill(ours, shape, options, *best["prompt"])
    yield from _decode(ours, shape, options, *best["decode"])
    plain = load_model(whole, kernels="native")
    yield from _decode(plain, shape, options, *best["decode"])


def _peer(folder: Path, dtype: torch.dtype) -> Any:
    """The xLSTM of transformers with the weights of a folder, or None where it is not installed."""
    try:
        from transformers import xLSTMForCausalLM
        from transformers.utils import logging as theirs
    except ImportError:
        return None
    theirs.disable_progress_bar()
    theirs.set_verbosity_error()
    return xLSTMForCausalLM.from_pretrained(folder, dtype=dtype).eval()


@torch.inference_mode()
def _check_peer(peer: Any, ours: XLSTM, ids: Tensor) -> None:
    """Both read the same weights: float32 logits after a short prompt agree."""
    exact = load_like(ours)
    want = peer(ids[:, :70], use_cache=True).logits[:, -1]
    got, _ = prefill(exact, [ids[0, :70].tolist()])
    worst = (got - want).abs().max().item()
    if worst > LOGITS:
        raise ArithmeticError(f"logits differ from transformers' by {worst:.2g}")


def load_like(model: XLSTM) -> XLSTM:
    """The same int8 weights with products in float32."""
    twin = XLSTM(model.config, int8=True, kernels="native")
    twin.load_state_dict(model.state_dict())
    return twin.eval().requires_grad_(False)


@torch.inference_mode()
def _peer_rates(peer: Any, ids: Tensor, options: Options) -> dict[str, float]:
    """Median tokens a second of a prompt and of decoding."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # renamed arguments
        prompt = median(
            cpu_seconds(lambda: peer(ids, use_cache=True), repeats=options.repeats, warmup=1)
        )
        cache, token = peer(ids, use_cache=True).cache_params, torch.tensor([[11]])
        rates = _rates(lambda: peer(token, cache_params=cache, use_cache=True), options)
    return {"prompt": ids.shape[1] / prompt, "decode": median(rates)}


def _seven_billion(options: Options) -> Iterator[Row]:
    """xLSTM-7B's widths in 8 blocks: int8 beside the native float32 reference."""
    numbers = _numbers(WIDE) + 2 * WIDE.vocab_size * WIDE.embedding_dim
    free = _available_bytes()
    if free is not None and free < 4.5 * numbers:
        logger.warning("7B widths are left out: %.0f GB are free", free / 1e9)
        return
    reference = _filled(XLSTM(WIDE, kernels="native"))
    slow = _rates(_stepper(reference), replace(options, repeats=1), steps=1)
    del reference  # before there is another
    packed = _filled(XLSTM(WIDE, dtype=torch.bfloat16, int8=True))
    yield from _decode(packed, "7B widths, 8 blocks", options, median(slow), "native float32")


@torch.no_grad()
def _filled(model: XLSTM) -> XLSTM:
    """The model with its projections filled by one short row of numbers, again and again."""
    draw = torch.Generator().manual_seed(0)
    some = torch.randint(-127, 128, (2**20,), dtype=torch.int8, generator=draw)
    for name, values in (*model.named_parameters(), *model.named_buffers()):
        if values.ndim == 2:
            part = some if values.dtype == torch.int8 else 2e-4 * some
            for piece in values.view(-1).split(len(some)):
                piece.copy_(part[: len(piece)])
        elif name.endswith("scale"):
            values.fill_(2e-4)
    return model.eval().requires_grad_(False)


def _available_bytes() -> int | None:
    info = Path("/proc/meminfo")
    lines = info.read_text().split("\n") if info.exists() else []
    found = [int(line.split()[1]) for line in lines if line.startswith("MemAvailable")]
    return 1024 * found[0] if found else None


def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")

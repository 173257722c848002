"""Reading prompts at the shape of xLSTM-7B on a GPU, B = 1, bfloat16, and the memory it takes.

Weights are random; prompts are read on the fused kernels, short ones in a CUDA graph. The bound is
the larger of the products' operations at the rate of a large matrix product, and of one read of
the weights at copy bandwidth, both measured in the same run.
"""

from statistics import median

import torch

from app.bench import Options
from app.bench.rows import Row
from app.bench.seven_billion import BLOCKS, random_model, reference, transformers_model
from app.bench.seven_billion import transformers_name as peer_name
from app.bench.timing import copy_bandwidth, cpu_seconds, matrix_rate
from app.model.fused import fused_of
from app.model.generate import prefill
from app.model.xlstm import XLSTM

LENGTHS = (128, 2048, 16384)
PEER_LENGTHS = (128, 2048)
CHECKED = 300  # tokens that are compared before anything is timed
LIMIT = 0.05  # relative error of the median token in bf16, behind two blocks


def measure(options: Options) -> list[Row]:
    """Compare with the native layers in float32, then time prompts, their memory and the peer."""
    if not torch.cuda.is_available():
        raise RuntimeError("prompts at 7B are timed on a GPU, and torch sees none")
    blocks = 2 if options.quick else BLOCKS
    peers = _transformers_milliseconds(blocks)
    _check(random_model(blocks=2, graphs=True))
    model, rows = random_model(blocks=blocks, graphs=True), []
    for length in LENGTHS:
        rows += _rows(model, length, peers.get(length), options.repeats)
    return rows


@torch.inference_mode()
def _check(model: XLSTM) -> None:
    """The stream behind two blocks equals that of the native layers on the same weights.

    The median token, because a head whose q n lies next to 0 takes its sign from the rounding.

    Raises:
        RuntimeError: it is further off than LIMIT.
    """
    ids = torch.tensor([_ids(CHECKED)], device="cuda")
    got, want = (m.hidden(ids)[0] for m in (model, reference(model)))
    error = float(((got - want).norm(dim=-1) / want.norm(dim=-1)).median())
    if not error < LIMIT:
        raise RuntimeError(f"the stream behind two blocks is off the reference by {error:.1e}")


def _ids(length: int) -> list[int]:
    draw = torch.Generator().manual_seed(length)
    return torch.randint(2, 50000, (length,), generator=draw).tolist()


def _rows(model: XLSTM, length: int, peer: float | None, repeats: int) -> list[Row]:
    """Milliseconds until the logits after the prompt are there, and the memory that it took."""
    ids = _ids(length)

    def read() -> None:
        prefill(model, [ids])
        torch.cuda.synchronize()

    read()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    seconds = cpu_seconds(read, repeats=max(5, repeats), warmup=1)
    peak = torch.cuda.max_memory_allocated() - before
    operations = 2 * sum(w.matrix.numel() for w in _matrices(model)) * length
    bound = max(operations / matrix_rate(), fused_of(model).bytes / copy_bandwidth())
    shape = f"{model.config.num_blocks} blocks, {length} tokens"
    name = {} if peer is None else {"peer": peer, "peer_name": peer_name()}
    return [
        Row("prefill", "ms", tuple(1e3 * s for s in seconds), shape, "bf16", 1e3 * bound,
            "products at matrix rate, or weights at copy bandwidth", **name),
        Row("peak beyond the weights", "GB", (peak / 1e9,), shape, "bf16"),
    ]  # fmt: skip


def _matrices(model: XLSTM) -> list:
    return [w for b in fused_of(model).blocks for w in (b.projections, b.out, b.up, b.down)]


@torch.inference_mode()
def _transformers_milliseconds(blocks: int) -> dict[int, float]:
    """Medians of transformers by length; empty without the package."""
    model = transformers_model(blocks)
    if model is None:
        return {}
    found = {}
    for length in PEER_LENGTHS:
        ids = torch.tensor([_ids(length)], device="cuda")

        def read(ids: torch.Tensor = ids) -> None:
            model(ids, use_cache=True)
            torch.cuda.synchronize()

        found[length] = 1e3 * median(cpu_seconds(read, repeats=3, warmup=1))
    return found

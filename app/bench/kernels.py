"""The chunkwise Triton kernels on a GPU: first verified, then timed beside the public ones.

All bf16, forward with the last states. The bound is the larger of two times: the operands read
and the outputs written once at the copy's bandwidth, and the products of chunks of 64 tokens
(causal ones only) at the matrix product's rate; both ceilings are measured in the same run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
import torch._dynamo

from app.bench import Options
from app.bench.rows import Row
from app.bench.timing import copy_bandwidth, eager_seconds, matrix_rate, replayed_seconds
from app.kernels import mlstm_chunkwise
from app.kernels.backends import resolve

FORMS = ("chunkwise--triton",)
PEER = "mlstm_kernels chunkwise--triton_xl_chunk"
PEER_CHUNKS = (64, 128, 256)
# Most ||got - ref|| / ||ref|| of results and gradients against float64, as in tests/kernels.
TOLERANCE = {"h": 1.5e-2, "gradient": 6e-2}


@dataclass(frozen=True)
class Case:
    """One size: batch, heads, tokens, widths of q and of v; with the backward pass or without."""

    batch: int
    heads: int
    length: int
    dk: int
    dv: int
    backward: bool = False

    @property
    def shape(self) -> str:
        """As the table shows it."""
        return f"B {self.batch}, H {self.heads}, {self.dk}/{self.dv}, S {self.length:,}"

    @property
    def nbytes(self) -> int:
        """Operands and outputs in bf16, each once; backward reads all again and writes as much."""
        tokens = self.batch * self.heads * self.length
        wide = 2 * tokens * (2 * self.dk + 2 * self.dv)
        return wide * (3 if self.backward else 1)

    @property
    def flops(self) -> int:
        """Products with states of 64 tokens and inside chunks; backward has five for each two."""
        tokens = self.batch * self.heads * self.length
        forward = tokens * (4 * self.dk * self.dv + 65 * (self.dk + self.dv))
        return forward * 7 // 2 if self.backward else forward


CASES = (
    *(Case(1, 8, length, 256, 512) for length in (512, 2048, 8192, 32768)),
    *(Case(8, 8, 2048, 256, 512, backward) for backward in (False, True)),
    *(Case(8, 16, 8192, 128, 256, backward) for backward in (False, True)),
)


def measure(options: Options) -> list[Row]:
    """Verify, then time every case (with `quick`: the shortest of each kind)."""
    ours = {name: resolve(name, device="cuda").sequence for name in FORMS}
    for form in ours.values():
        for dk, dv in ((256, 512), (128, 256)):
            verify(form, dk, dv)
    rows = []
    for case in (CASES[0], CASES[5]) if options.quick else CASES:
        rows += compare(case, ours, peers())
    return rows


def inputs(case: Case, dtype: torch.dtype = torch.bfloat16) -> list[torch.Tensor]:
    """q, k, v, i, f of a case on the GPU; forget gates around 3."""
    g = torch.Generator("cuda").manual_seed(case.length)
    lead = case.batch, case.heads, case.length
    wide = [torch.randn(*lead, d, generator=g, device="cuda") for d in (case.dk, case.dk, case.dv)]
    gates = [torch.randn(lead, generator=g, device="cuda") + shift for shift in (0.0, 3.0)]
    return [x.to(dtype) for x in wide] + gates


def verify(form: Callable[..., Any], dk: int, dv: int) -> None:
    """Raise ValueError unless h, the state and all gradients are those of float64, every time."""
    x = inputs(Case(1, 2, 1000, dk, dv))
    results = []
    for fn, dtype in ((mlstm_chunkwise, torch.float64), (form, None)):
        leaves = [y.to(dtype or y.dtype).detach().requires_grad_() for y in x]
        h, state = fn(*leaves)
        torch.manual_seed(1)
        weight = torch.randn(h.shape, device=h.device)
        grads = torch.autograd.grad((h * weight).sum(), leaves)
        results.append((h, *state, *grads))
    for name, ref, got in zip(("h", "c", "n", "m", *"qkvif"), *results):
        error = (got.double() - ref).norm() / ref.norm()
        if not error <= TOLERANCE["h" if name in "hcnm" else "gradient"]:
            raise ValueError(f"{name} at {dk}/{dv} is off by {error:.1e}: nothing is timed")
    if not all(torch.equal(form(*x)[0], results[1][0]) for _ in range(10)):
        raise ValueError(f"h at {dk}/{dv} changes from call to call: nothing is timed")


def peers() -> dict[int, Callable[..., Any]]:
    """The peer's kernel for each of its chunk sizes; none where it is not installed."""
    try:
        from mlstm_kernels.torch.chunkwise.triton_xl_chunk import mlstm_chunkwise__xl_chunk
    except ImportError:
        return {}
    # Its gates go through torch.compile: each of our sizes is to run compiled.
    torch._dynamo.config.recompile_limit = 64
    return {
        size: lambda *x, size=size: mlstm_chunkwise__xl_chunk(
            *x, return_last_states=True, chunk_size=size
        )
        for size in PEER_CHUNKS
    }


def compare(
    case: Case, ours: dict[str, Callable[..., Any]], others: dict[int, Callable[..., Any]]
) -> list[Row]:
    """Rows of one case: eager calls, and replays of a CUDA graph of one call."""
    x = inputs(case)
    calls = {size: caller(fn, x, case.backward) for size, fn in others.items()}
    best = min(calls, key=lambda n: median(eager_seconds(calls[n], repeats=5)), default=None)
    peer_name = "" if best is None else f"{PEER}, chunks of {best}"
    what = "forward + backward" if case.backward else "forward"
    ways = {f"{what}, eager": eager_seconds, f"{what}, CUDA graph": replayed_seconds}
    rows = []
    for way_name, way in ways.items():
        peer = None if best is None else 1e6 * median(way(calls[best]))
        for name, form in ours.items():
            values = tuple(1e6 * s for s in way(caller(form, x, case.backward)))
            bound, by = floor(case, median(values))
            title = f"{name}: {way_name}"
            rows.append(Row(title, "us", values, case.shape, "bf16", bound, by, peer, peer_name))
    return rows


def floor(case: Case, microseconds: float) -> tuple[float, str]:
    """The bound in us and what sets it, with the rates that `microseconds` reach."""
    moved, computed = case.nbytes / copy_bandwidth(), case.flops / matrix_rate()
    by = "bandwidth" if moved > computed else "products"
    reached = f"{case.flops / microseconds / 1e6:.0f} TFLOP/s"
    reached += f" and {case.nbytes / microseconds / 1e3:.0f} GB/s reached"
    return 1e6 * max(moved, computed), f"{by}; {reached}"


def caller(fn: Callable[..., Any], x: list[torch.Tensor], backward: bool) -> Callable[[], Any]:
    """One call on `x`; with `backward` also the gradients of all five."""
    if not backward:

        def forward() -> Any:
            with torch.no_grad():
                return fn(*x)

        return forward
    leaves = [y.detach().requires_grad_() for y in x]
    weight = torch.randn_like(x[2])

    def both() -> Any:
        h, _ = fn(*leaves)
        return torch.autograd.grad(h, leaves, weight)

    return both

"""Which kernel runs: names, what this machine can run, and the choice, all in one place.

Computes nothing. Names are those that users of the public packages know, and ours for Triton.
"""

import importlib.util
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch

from app.kernels.chunkwise import mlstm_chunkwise
from app.kernels.parallel import mlstm_parallel
from app.kernels.recurrent import mlstm_recurrent, mlstm_step

logger = logging.getLogger(__name__)

Role = Literal["chunkwise", "sequence", "step"]

NATIVE = {"chunkwise": "chunkwise--native_autograd", "sequence": "native_sequence__native"}
TRITON = {"chunkwise": "chunkwise--triton", "sequence": "native_sequence__native"}

FROZEN = "its hand-written backward freezes the denominator, so its gradient is not the true one"
OTHER_CELL = "its input gate is a sigmoid, another cell than this package computes"
ELSEWHERE = "it is a kernel of another package; here {} does the same"
REFUSED = {
    "chunkwise--native_custbw": FROZEN,
    "parallel--native_custbw": FROZEN,
    "parallel--native_stablef_custbw": FROZEN,
    "chunkwise--triton_limit_chunk": ELSEWHERE.format("chunkwise--triton"),
    "chunkwise--triton_xl_chunk": ELSEWHERE.format("chunkwise--triton"),
    "parallel--triton_limit_headdim": ELSEWHERE.format("chunkwise--triton"),
    "native_sequence__triton": ELSEWHERE.format("chunkwise--triton for sequences"),
    "chunkwise--triton_xl_chunk_siging": OTHER_CELL,
    "parallel--native_siging_autograd": OTHER_CELL,
    "parallel--native_siging_custbw": OTHER_CELL,
}


@dataclass(frozen=True)
class Backend:
    """The kernels of a run. `sequence` reads many tokens, `step` one token per row.

    sequence(q, k, v, i, f, state=None, *, chunk_size=64, eps=1e-6) -> (h, State); the parallel
    form takes no state and gives None for it. step(q, k, v, i, f, state, *, eps=1e-6).
    """

    chunkwise_kernel: str
    sequence_kernel: str
    step_kernel: str
    sequence: Callable[..., Any]
    step: Callable[..., Any]


@dataclass(frozen=True)
class mLSTMBackendConfig:
    """What `print` of a public model's backend shows, in its order; nothing reads it."""

    chunkwise_kernel: str = "chunkwise--native_autograd"
    sequence_kernel: str = "native_sequence__native"
    step_kernel: str = "native"
    mode: str = "inference"
    chunk_size: int = 64
    return_last_states: bool = True
    autocast_kernel_dtype: str = "float32"
    eps: float = 1e-6
    inference_state_dtype: str = "float32"
    normalize_siging: bool = True


@dataclass(frozen=True)
class mLSTMLayerConfig:
    """What `print(model.backbone.blocks[0].mlstm_layer.config)` shows; nothing reads it."""

    embedding_dim: int
    num_heads: int
    use_bias: bool = False
    norm_eps: float = 1e-6
    norm_reduction_force_float32: bool = True
    qk_dim_factor: float = 0.5
    v_dim_factor: float = 1.0
    gate_soft_cap: float = 15.0
    mlstm_backend: mLSTMBackendConfig = mLSTMBackendConfig()
    weight_mode: str = "single"


def backend_config(
    backend: Backend,
    *,
    mode: str = "inference",
    chunk_size: int = 64,
    eps: float = 1e-6,
    dtype: torch.dtype = torch.float32,
) -> mLSTMBackendConfig:
    """Return the printing record of a resolved backend and the options it is called with.

    dtype: of q, k and v; the native forms multiply in float32 whatever it is.
    """
    products = dtype if "triton" in backend.chunkwise_kernel else torch.float32
    return mLSTMBackendConfig(
        chunkwise_kernel=backend.chunkwise_kernel,
        sequence_kernel=backend.sequence_kernel,
        step_kernel=backend.step_kernel,
        mode=mode,
        chunk_size=chunk_size,
        return_last_states=not backend.chunkwise_kernel.startswith("parallel"),
        autocast_kernel_dtype=str(products).removeprefix("torch."),
        eps=eps,
    )


def available(device: torch.device | str = "cpu") -> dict[str, str]:
    """Return every documented name with "" where it runs on `device`, else the reason."""
    own = {name: _obstacle(name, device) for name in KERNELS}
    return own | REFUSED


def resolve(name: str = "auto", *, device: torch.device | str = "cpu") -> Backend:
    """Return the kernels that `name` stands for on `device`.

    name: "auto" (Triton on a GPU that has it, else native; logs one line), "native", "triton",
    or the name of one kernel, which is then used beside native ones.
    Raises ValueError for an unknown name, and for one that cannot be met here, with the reason.
    """
    if name == "auto":
        reason = _no_triton(device, interpreted=False)
        name = "native" if reason else "triton"
        logger.info("mLSTM kernels: auto is %s on %s%s", name, device, reason and f" ({reason})")
    if name == "native":
        return _backend(NATIVE | {"step": "native"}, device)
    if name == "triton":
        return _backend(TRITON | {"step": "triton"}, device)
    name = ALIASES.get(name, name)
    _refuse(name, device)
    role, _ = KERNELS[name]
    return _backend(NATIVE | {"step": "native", role: name}, device, first=role)


def _backend(names: dict[str, str], device: torch.device | str, first: str = "") -> Backend:
    for name in names.values():
        _refuse(name, device)
    read = names["sequence" if first == "sequence" else "chunkwise"]
    return Backend(
        chunkwise_kernel=names["chunkwise"],
        sequence_kernel=names["sequence"],
        step_kernel=names["step"],
        sequence=KERNELS[read][1](),
        step=KERNELS[names["step"]][1](),
    )


def _refuse(name: str, device: torch.device | str) -> None:
    if name in REFUSED:
        raise ValueError(f"kernel {name!r} cannot be had: {REFUSED[name]}")
    if name not in KERNELS:
        known = ", ".join(("auto", "native", "triton", *KERNELS))
        raise ValueError(f"kernel {name!r} is not known; known: {known}")
    if reason := _obstacle(name, device):
        raise ValueError(f"kernel {name!r} cannot run: {reason}")


def _obstacle(name: str, device: torch.device | str) -> str:
    return _no_triton(device) if name.endswith("triton") else ""


def _no_triton(device: torch.device | str, interpreted: bool = True) -> str:
    """Return why Triton kernels cannot run on `device`, or ""; does not import Triton."""
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed"
    kind = torch.device(device).type
    if kind == "cpu" and interpreted and os.environ.get("TRITON_INTERPRET") == "1":
        return ""
    if kind != "cuda":
        return f"Triton needs a GPU, the device is {kind}"
    return "" if torch.cuda.is_available() else "torch finds no GPU"


def _chunkwise_triton() -> Callable[..., Any]:
    from app.kernels.triton_chunkwise import mlstm_chunkwise_triton  # Triton: on first use only

    return mlstm_chunkwise_triton


def _step_triton() -> Callable[..., Any]:
    from app.kernels.triton_step import mlstm_step_triton  # Triton: on first use only

    return mlstm_step_triton


def _whole(*x: Any, chunk_size: int = 64, eps: float = 1e-6) -> Any:
    return mlstm_parallel(*x, eps=eps), None


def _by_steps(*x: Any, chunk_size: int = 64, eps: float = 1e-6) -> Any:
    return mlstm_recurrent(*x, eps=eps)


# Name -> (its place in the printed record, how to get it).
KERNELS: dict[str, tuple[Role, Callable[[], Callable[..., Any]]]] = {
    "chunkwise--native_autograd": ("chunkwise", lambda: mlstm_chunkwise),
    "chunkwise--triton": ("chunkwise", _chunkwise_triton),
    "parallel--native_autograd": ("chunkwise", lambda: _whole),
    # Ours always sums the log forget gates row by row, which is what "stablef" asks for.
    "parallel--native_stablef_autograd": ("chunkwise", lambda: _whole),
    "native_sequence__native": ("sequence", lambda: _by_steps),
    "native": ("step", lambda: mlstm_step),
    "triton": ("step", _step_triton),
}
ALIASES = {
    "native_autograd": "chunkwise--native_autograd",
    "native_stablef_autograd": "parallel--native_stablef_autograd",
}

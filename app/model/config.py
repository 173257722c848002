"""XLSTMConfig: what a checkpoint says about its architecture, from config.json or config.yaml.

Architecture only: which kernels run, on which device and in which dtype is never part of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from app.model.errors import ModelError

# Either name may be the only one in a published file; where both stand they must agree.
_PAIRS = {"embedding_dim": "hidden_size", "num_blocks": "num_hidden_layers"}
# Of whole numbers; 1 where a key is not here. An ffn_dim of 0 is derived.
_LEAST = {"ffn_dim": 0, "conv1d_kernel_size": 0, "bos_token_id": 0, "eos_token_id": 0}
_MOST = 2**53  # beyond it a width times a factor would not be exact


@dataclass(frozen=True)
class XLSTMConfig:
    """Sizes and constants of an xLSTM of mLSTM blocks (the block of xLSTM-7B).

    Args:
        vocab_size: V, rows of the embedding.
        embedding_dim: E, width of the residual stream.
        num_blocks: N.
        num_heads: H.
        qk_dim_factor: query and key width over E; the product is cut to an integer.
        v_dim_factor: value and output gate width over E; likewise.
        ffn_dim: U, inner width of the feed-forward layer.
        conv1d_kernel_size: width of the causal convolution before q and k; 0 is the 7B block.
        use_bias: biases in every projection and norm (those of the i and f gates always exist).
        out_norm_bias: a bias in the last norm (the xlstm_large layout with `use_bias`).
        add_out_norm: whether there is a last norm.
        tie_word_embeddings: the head is the embedding.
        norm_eps: inside the root of every norm.
        eps: added to the mLSTM's denominator, after the maximum.
        gate_soft_cap: a of a*tanh(u/a) on the i and f gates; None is no cap.
        output_logit_soft_cap: the same on the logits.
        chunk_size: tokens a chunk of the chunkwise form; a hint, the result does not depend on it.
        bos_token_id: start of text, or None.
        eos_token_id: as the file states it; the tokenizer decides what ends a text.
        force_bos_token_insert: put `bos_token_id` before a text; None where the file is silent.

    Raises:
        ModelError: a value of the wrong kind or out of range, or sizes that do not fit together.
    """

    vocab_size: int
    embedding_dim: int
    num_blocks: int
    num_heads: int
    qk_dim_factor: float = 0.5
    v_dim_factor: float = 1.0
    ffn_dim: int = 0
    conv1d_kernel_size: int = 0
    use_bias: bool = False
    out_norm_bias: bool = False
    add_out_norm: bool = True
    tie_word_embeddings: bool = False
    norm_eps: float = 1e-6
    eps: float = 1e-6
    gate_soft_cap: float | None = 15.0
    output_logit_soft_cap: float | None = 30.0
    chunk_size: int = 64
    bos_token_id: int | None = 0
    eos_token_id: int | None = None
    force_bos_token_insert: bool | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            _check(field.name, getattr(self, field.name), field.type)
        if not self.ffn_dim:
            object.__setattr__(self, "ffn_dim", ffn_width(self.embedding_dim, 2.667, 64))
        for key, width in (("qk_dim_factor", self.qk_width), ("v_dim_factor", self.v_width)):
            if width < 1 or width % self.num_heads:
                raise ModelError(
                    f"{key} {getattr(self, key)} gives a width of {width}, which does not divide "
                    f"into {self.num_heads} heads"
                )

    @property
    def qk_width(self) -> int:
        """H*Dk, columns of q and of k."""
        return int(self.embedding_dim * self.qk_dim_factor)

    @property
    def v_width(self) -> int:
        """H*Dv, columns of v and of the output gate."""
        return int(self.embedding_dim * self.v_dim_factor)

    @property
    def qk_head_dim(self) -> int:
        """Dk."""
        return self.qk_width // self.num_heads

    @property
    def v_head_dim(self) -> int:
        """Dv."""
        return self.v_width // self.num_heads

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, source: str = "config") -> "XLSTMConfig":
        """Read the keys of either public layout; unknown keys are ignored, missing ones derived.

        Args:
            values: the parsed config.json or config.yaml.
            source: named in errors.

        Raises:
            ModelError: a size is absent, pairs disagree, or a value has the wrong kind or is out of
                range; the message names `source` and the key.
        """
        known = {k: v for k, v in values.items() if k in cls.__dataclass_fields__}
        # `vocab_size` has a default in the public code; a checkpoint that leaves it out is read so.
        known.setdefault("vocab_size", 50304)
        known.setdefault("num_heads", 8)
        try:
            for key, other in _PAIRS.items():
                known[key] = _either(values, key, other)
            known["ffn_dim"] = _ffn_dim(values, known["embedding_dim"])
            return cls(**known)
        except ModelError as error:
            raise ModelError(f"{source}: {error}") from error


def ffn_width(width: int, factor: float, multiple: int) -> int:
    """U: `width * factor` rounded up to a multiple, as the public code does it.

    The sum is a float and the division floors it, so a fractional part never rounds up:
    768 and 2.667 give 2048, not 2112.
    """
    return int((width * factor + multiple - 1) // multiple) * multiple


def _ffn_dim(values: Mapping[str, Any], width: int) -> int:
    """U as it is given under either name, else from the factor and the multiple."""
    for key in ("ffn_intermediate", "ffn_dim"):
        if values.get(key) is not None:
            _check(key, values[key], int)
            return values[key]
    factor = values.get("ffn_proj_factor", 2.667)
    multiple = values.get("ffn_round_up_to_multiple_of", 64)
    _check("ffn_proj_factor", factor, float)
    _check("ffn_round_up_to_multiple_of", multiple, int)
    return ffn_width(width, factor, multiple)


def _either(values: Mapping[str, Any], key: str, other: str) -> int:
    given = {k: values[k] for k in (key, other) if values.get(k) is not None}
    if not given:
        raise ModelError(f"neither {key} nor {other} is given")
    for name, value in given.items():
        _check(name, value, int)
    if len(set(given.values())) > 1:
        raise ModelError(f"{key} {given[key]} and {other} {given[other]} disagree")
    return next(iter(given.values()))


def _check(key: str, value: Any, kind: Any) -> None:
    """See that a value has the kind that its field states and is in range.

    Every float here is a factor, an eps or a cap: finite and above 0.
    """
    kinds = getattr(kind, "__args__", (kind,))  # float | None -> (float, NoneType)
    accepted = (*kinds, int) if float in kinds else kinds
    if not isinstance(value, accepted) or (isinstance(value, bool) and bool not in kinds):
        raise ModelError(f"{key} is {value!r:.60}: a {kinds[0].__name__} is needed")
    if value is None or bool in kinds:
        return
    least = _LEAST.get(key, 1)
    fits = value > 0 if float in kinds else value >= least
    if not (fits and value <= _MOST):
        needed = "above 0" if float in kinds else f"at least {least}"
        raise ModelError(f"{key} is {value!r:.60}: it must be {needed} and at most 2^53")

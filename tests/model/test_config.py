"""What configs in the wild say, and what is refused."""

import json

import pytest

from app.model.config import XLSTMConfig, ffn_width
from app.model.errors import ModelError
from app.model.files import read_config
from app.model.layouts import pieces

# The published xLSTM-7B config.json, without keys that say nothing about the architecture.
PUBLISHED_7B = {
    "add_embedding_dropout": False,
    "add_forward_backend_padding": False,
    "add_out_norm": True,
    "add_post_blocks_norm": True,
    "add_post_norm": False,
    "add_qk_norm": False,
    "architectures": ["xLSTMForCausalLM"],
    "autocast_kernel_dtype": "bfloat16",
    "bos_token_id": 0,
    "cell_norm_eps": 1e-06,
    "chunk_size": 64,
    "chunkwise_kernel": "chunkwise--triton_xl_chunk",
    "embedding_dim": 4096,
    "eos_token_id": 2,
    "eps": 1e-06,
    "ffn_proj_factor": 2.667,
    "ffn_round_up_to_multiple_of": 64,
    "force_bos_token_insert": True,
    "gate_soft_cap": 15.0,
    "head_dim": 512,
    "igate_bias_init_range": -10,
    "mlstm_round_up_to_multiple_of": 64,
    "mode": "inference",
    "model_type": "xlstm",
    "norm_eps": 1e-06,
    "norm_reduction_force_float32": True,
    "num_blocks": 32,
    "num_heads": 8,
    "output_logit_soft_cap": 30.0,
    "pad_token_id": 1,
    "qk_dim_factor": 0.5,
    "return_last_states": True,
    "sequence_kernel": "native_sequence__triton",
    "step_kernel": "triton",
    "tie_word_embeddings": False,
    "torch_dtype": "float32",
    "transformers_version": "4.48.0.dev0",
    "use_bias": False,
    "use_cache": True,
    "v_dim_factor": 1.0,
    "vocab_size": 50304,
    "weight_mode": "single",
}


def test_the_published_7b_config_loads():
    config = XLSTMConfig.from_dict(PUBLISHED_7B)
    assert (config.embedding_dim, config.num_blocks, config.ffn_dim) == (4096, 32, 10944)
    assert (config.qk_head_dim, config.v_head_dim) == (256, 512)
    assert config.force_bos_token_insert is True
    counted = dict.fromkeys(pieces(config), 1)
    for name, piece in pieces(config).items():
        for size in piece.shape:
            counted[name] *= size
    assert sum(counted.values()) == 6_865_424_896


@pytest.mark.parametrize(
    ("width", "inner"),
    [(64, 192), (128, 384), (384, 1024), (512, 1408), (768, 2048), (1024, 2752), (1536, 4096)]
    + [(2048, 5504), (4096, 10944)],
)
def test_feed_forward_widths_are_the_public_ones(width, inner):
    assert ffn_width(width, 2.667, 64) == inner == ffn_width(width, 2.6667, 64)


@pytest.mark.parametrize("key", ["hidden_size", "embedding_dim"])
@pytest.mark.parametrize("layers", ["num_blocks", "num_hidden_layers"])
def test_either_name_of_a_pair_is_enough(key, layers):
    config = XLSTMConfig.from_dict({key: 64, layers: 3, "num_heads": 2, "vocab_size": 9})
    assert (config.embedding_dim, config.num_blocks) == (64, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embedding_dim": None}, "neither embedding_dim nor hidden_size"),
        ({"hidden_size": 512}, "embedding_dim 4096 and hidden_size 512 disagree"),
        ({"num_heads": 7}, "7 heads"),
        ({"num_heads": "8"}, "num_heads is '8'"),
        ({"num_blocks": True}, "num_blocks"),
        ({"vocab_size": 0}, "vocab_size is 0"),
        ({"gate_soft_cap": "no"}, "gate_soft_cap"),
        ({"qk_dim_factor": 0.0}, "qk_dim_factor"),
        ({"chunk_size": 0}, "chunk_size"),
    ],
    ids=lambda x: next(iter(x)) if isinstance(x, dict) else "",
)
def test_a_config_that_cannot_be_is_refused_by_key(change, message):
    with pytest.raises(ModelError, match=message) as error:
        XLSTMConfig.from_dict(PUBLISHED_7B | change, source="the file")
    assert str(error.value).startswith("the file: ")


def test_no_cap_is_allowed():
    values = json.loads(json.dumps(PUBLISHED_7B | {"gate_soft_cap": None}))
    assert XLSTMConfig.from_dict(values).gate_soft_cap is None


WHOLE = ["embedding_dim", "hidden_size", "num_blocks", "num_hidden_layers", "num_heads"]
WHOLE += ["vocab_size", "chunk_size", "ffn_round_up_to_multiple_of"]
OR_ZERO = ["ffn_dim", "ffn_intermediate", "conv1d_kernel_size"]
IDS = ["bos_token_id", "eos_token_id"]
FACTORS = ["qk_dim_factor", "v_dim_factor", "ffn_proj_factor", "norm_eps", "eps"]
CAPS = ["gate_soft_cap", "output_logit_soft_cap"]
FLAGS = ["use_bias", "add_out_norm", "tie_word_embeddings", "force_bos_token_insert"]
NUMBERS = [*WHOLE, *OR_ZERO, *IDS, *FACTORS, *CAPS]
NEVER = ["8", [8], {"a": 1}, -1, float("nan"), float("inf"), float("-inf"), 10**400, True]
WRONG = [
    *((key, value) for key in NUMBERS for value in NEVER),
    *((key, 8.0) for key in [*WHOLE, *OR_ZERO, *IDS]),
    *((key, 0) for key in [*WHOLE, *FACTORS, *CAPS]),
    *((key, None) for key in [*FACTORS, "num_heads", "vocab_size", "chunk_size"]),
    *((key, -0.5) for key in [*FACTORS, *CAPS]),
    *((key, value) for key in FLAGS for value in (0, 1, "yes", [True])),
]


@pytest.mark.parametrize(("key", "value"), WRONG, ids=lambda x: repr(x)[:20])
def test_no_key_takes_a_value_of_another_kind_or_range(tmp_path, key, value):
    small = {"embedding_dim": 64, "num_blocks": 2, "num_heads": 2, "vocab_size": 9}
    file = tmp_path / "config.json"
    file.write_text(json.dumps(small | {key: value}))  # NaN and Infinity as Python's json has them
    with pytest.raises(ModelError) as error:
        read_config(tmp_path)
    assert str(error.value).startswith(f"{file}: {key} is ") and len(str(error.value)) < 300
    if key in XLSTMConfig.__dataclass_fields__:
        with pytest.raises(ModelError, match=f"^{key} is "):
            XLSTMConfig(**small | {key: value})


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 10_000, "\ud800"])
def test_a_file_that_is_no_config_is_named(tmp_path, text):
    (tmp_path / "config.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ModelError, match=r"config\.json: cannot be read"):
        read_config(tmp_path)

"""Saved is loaded, transformers agrees, and whatever is wrong with a checkpoint is named."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.model.small import prompt, small

from app.model.checkpoint import load_model
from app.model.errors import ModelError
from app.model.files import locate
from app.model.generate import prefill
from app.model.layouts import FUSED
from app.model.save import save_model

QUERY = "backbone.blocks.0.mlstm_layer.q.weight"


@pytest.fixture
def folder(tmp_path):
    return save_model(small(torch.float32), tmp_path / "model")


def change(folder, **tensors):
    """Rewrite the one file of a checkpoint; None takes a tensor out. Keys: `__` for a dot."""
    file = folder / "model.safetensors"
    content = load_file(file)
    for name, value in tensors.items():
        content.pop(name.replace("__", "."), None)
        if value is not None:
            content[name.replace("__", ".")] = value
    save_file(content, file)


@pytest.mark.parametrize("shard_bytes", [10**9, 5000], ids=["one-file", "shards"])
@pytest.mark.parametrize("conv", [0, 4])
def test_saved_is_loaded_bit_for_bit(tmp_path, shard_bytes, conv):
    model = small(torch.float32, conv1d_kernel_size=conv, use_bias=True, ffn_dim=41)
    folder = save_model(model, tmp_path / "m", shard_bytes=shard_bytes)
    loaded = load_model(folder, dtype=torch.float32)
    assert loaded.config == replace(model.config, eos_token_id=None)
    assert (folder / "model.safetensors.index.json").exists() == (shard_bytes == 5000)
    for (name, a), (_, b) in zip(model.named_parameters(), loaded.named_parameters()):
        assert torch.equal(a, b), name
    assert not any(p.requires_grad for p in loaded.parameters())


@pytest.mark.parametrize(
    "options",
    [{}, {"use_bias": True}, {"tie_word_embeddings": True}, {"qk_dim_factor": 1.0, "ffn_dim": 41}],
    ids=["plain", "bias", "tied", "odd-sizes"],
)
def test_transformers_own_xlstm_gives_the_same_logits(tmp_path, options):
    transformers = pytest.importorskip("transformers")
    model = small(torch.float32, **options)
    if options.get("tie_word_embeddings"):
        model.tie()
    folder = save_model(model, tmp_path / "m")
    public, report = transformers.xLSTMForCausalLM.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"]
    tokens = torch.tensor([prompt(70), prompt(70, 2)])
    with torch.inference_mode():
        want = public.eval()(tokens, use_cache=False).logits
        got, _ = model(tokens)
    # measured 3e-5; the public implementations differ among themselves by 1.5e-4
    torch.testing.assert_close(got, want, rtol=0, atol=5e-4)


def test_fused_and_old_names_are_read_by_name(folder, tmp_path):
    content = load_file(folder / "model.safetensors")
    want = load_model(folder, dtype=torch.float32).state_dict()
    for b in range(2):
        for fused, parts in FUSED.items():
            for kind in ("weight", "bias"):
                names = [f"backbone.blocks.{b}.{part}.{kind}" for part in parts]
                if names[0] in content:
                    name = f"backbone.blocks.{b}.{fused}.{kind}"
                    content[name] = torch.cat([content.pop(name) for name in names])
    save_file(content, folder / "model.safetensors")
    got = load_model(folder, dtype=torch.float32).state_dict()
    assert all(torch.equal(got[name], want[name]) for name in want)
    content = load_file(save_model(small(torch.float32), tmp_path / "again") / "model.safetensors")
    for old, new in (("q", "query"), ("k", "key"), ("v", "value")):
        for b in range(2):
            layer = f"backbone.blocks.{b}.mlstm_layer"
            content[f"{layer}.{new}.weight"] = content.pop(f"{layer}.{old}.weight")
    save_file(content, folder / "model.safetensors")
    got = load_model(folder, dtype=torch.float32).state_dict()
    assert all(torch.equal(got[name], want[name]) for name in want)


def test_weights_are_cast_as_they_are_read(folder):
    rounded = load_model(folder, dtype=torch.bfloat16)
    exact = load_model(folder, dtype=torch.float32)
    for (name, a), (_, b) in zip(rounded.named_parameters(), exact.named_parameters()):
        gate_or_norm = "gates" in name or "norm" in name
        assert a.dtype == (torch.float32 if gate_or_norm else torch.bfloat16), name
        assert torch.equal(a, b.to(a.dtype)), name


def test_stored_int8_is_read_widened_or_as_it_is(tmp_path):
    model = small(torch.float32)
    model = load_model(save_model(model, tmp_path / "m"), dtype=torch.float32)
    packed = save_model(model, tmp_path / "packed", int8=True)
    stored = load_file(packed / "model.safetensors")
    assert stored[QUERY].dtype == torch.int8 and f"{QUERY}.scale" in stored
    assert stored["backbone.blocks.0.mlstm_layer.igate_preact.weight"].dtype == torch.float32
    wide, kept = (load_model(packed, dtype=torch.float32, int8=i) for i in (False, True))
    made = load_model(tmp_path / "m", dtype=torch.float32, int8=True)
    for name, tensor in kept.state_dict().items():
        assert torch.equal(tensor, made.state_dict()[name]), name
    rows = [prompt(40)]
    torch.testing.assert_close(prefill(wide, rows)[0], prefill(kept, rows)[0], rtol=0, atol=1e-4)
    again = save_model(kept, tmp_path / "again", int8=True)
    assert (again / "model.safetensors").read_bytes() == (packed / "model.safetensors").read_bytes()


def test_a_missing_tensor_is_named(folder):
    change(folder, **{QUERY.replace(".", "__"): None})
    with pytest.raises(ModelError, match=r"lacks tensors: blocks\.0\.mlstm_layer\.q\.weight"):
        load_model(folder)


def test_many_missing_tensors_are_counted(folder):
    (folder / "config.json").write_text(
        (folder / "config.json")
        .read_text()
        .replace('_blocks": 2', '_blocks": 4')
        .replace('_layers": 2', '_layers": 4')
    )
    with pytest.raises(ModelError, match=r"lacks tensors: blocks\.2.* and 25 more"):
        load_model(folder)


def test_an_unexpected_tensor_is_named(folder):
    change(folder, backbone__blocks__0__slstm__weight=torch.ones(2))
    with pytest.raises(ModelError, match=r"unexpected tensors: blocks\.0\.slstm\.weight"):
        load_model(folder)


def test_a_misshaped_tensor_is_named_with_both_shapes(folder):
    change(folder, **{QUERY.replace(".", "__"): torch.ones(12, 25)})
    with pytest.raises(ModelError, match=r"q\.weight has shape \(12, 25\).*asks for \(12, 24\)"):
        load_model(folder)


def test_a_vocabulary_mismatch_is_named(folder):
    file = folder / "config.json"
    file.write_text(file.read_text().replace('"vocab_size": 61', '"vocab_size": 64'))
    with pytest.raises(ModelError, match=r"embeddings\.weight has shape \(61, 24\).*\(64, 24\)"):
        load_model(folder)


def test_values_that_are_not_finite_are_named(folder):
    change(folder, **{QUERY.replace(".", "__"): torch.full((12, 24), torch.nan)})
    with pytest.raises(ModelError, match=r"q\.weight holds values that are not finite"):
        load_model(folder)


@pytest.mark.parametrize(
    ("value", "stored", "options"),
    [
        (1e300, torch.float64, {"dtype": torch.float32}),
        (1e300, torch.float64, {"dtype": torch.float32, "int8": True}),
        (3.4e38, torch.float32, {"dtype": torch.bfloat16}),
        (1e6, torch.float32, {"dtype": torch.float16}),
        (torch.inf, torch.float32, {"dtype": torch.float64}),
        (torch.nan, torch.float32, {"dtype": torch.bfloat16, "int8": True}),
        (-torch.inf, torch.bfloat16, {"dtype": torch.float32, "int8": True}),
    ],
)
def test_values_that_are_not_finite_as_cast_are_named(folder, value, stored, options):
    weight = torch.zeros(12, 24, dtype=stored)
    weight[11, 23] = value
    change(folder, **{QUERY.replace(".", "__"): weight})
    with pytest.raises(ModelError, match=r"q\.weight holds values that are not finite in torch"):
        load_model(folder, **options)


@pytest.mark.parametrize(
    "scale",
    [
        torch.full((12,), torch.nan),
        torch.full((12,), torch.inf),
        torch.full((12,), 1e300, dtype=torch.float64),
        torch.ones(12, dtype=torch.int8),
        torch.ones(11),
        torch.tensor(1.0),
    ],
)
@pytest.mark.parametrize("int8", [False, True])
def test_scales_that_cannot_be_are_named(folder, scale, int8):
    values = torch.ones(12, 24, dtype=torch.int8)
    change(folder, **{QUERY.replace(".", "__"): values, f"{QUERY}.scale".replace(".", "__"): scale})
    with pytest.raises(ModelError, match=r"q\.weight.*(not finite|floats \(12,\) are needed)"):
        load_model(folder, dtype=torch.float32, int8=int8)


def test_fused_and_single_tensors_of_one_kind_are_named(folder):
    content, file = load_file(folder / "model.safetensors"), folder / "model.safetensors"
    for fused, parts in FUSED.items():
        for kind in ("weight", "bias"):
            names = [f"backbone.blocks.1.{part}.{kind}" for part in parts]
            if names[0] not in content:
                continue
            twin = f"backbone.blocks.1.{fused}.{kind}"
            whole = {twin: torch.cat([content[name] for name in names])}
            for left in (names, names[:1], names[-1:]):
                rest = {k: v for k, v in content.items() if k not in names or k in left}
                save_file(rest | whole, file)
                with pytest.raises(ModelError, match="holds the same weights as") as error:
                    load_model(folder)
                assert twin in str(error.value) and any(n in str(error.value) for n in left)


@pytest.mark.parametrize("name", ["lm_head.weight", "backbone.embeddings.weight", QUERY])
@pytest.mark.parametrize("tied", [False, True])
def test_a_scalar_for_a_matrix_is_named(tmp_path, name, tied):
    folder = save_model(small(torch.float32, tie_word_embeddings=tied), tmp_path / "m")
    change(folder, **{name.replace(".", "__"): torch.tensor(1.0)})
    with pytest.raises(ModelError, match=r"weight has shape \(\)"):
        load_model(folder)


def test_a_tied_int8_head_of_other_scales_is_its_own(tmp_path):
    folder = save_model(small(torch.float32), tmp_path / "m", int8=True)
    content = load_file(folder / "model.safetensors")
    for kind, factor in (("weight", 1), ("weight.scale", 2)):
        content[f"lm_head.{kind}"] = content[f"backbone.embeddings.{kind}"] * factor
    save_file(content, folder / "model.safetensors")
    file = folder / "config.json"
    file.write_text(file.read_text().replace('embeddings": false', 'embeddings": true'))
    model = load_model(folder, dtype=torch.float32, int8=False)
    torch.testing.assert_close(model.head.weight, 2 * model.embedding.weight)


@pytest.mark.parametrize("shard", ["x" * 5000, "x\0y", "..", ".", "", "/", "no\udcff"])
def test_shard_names_that_no_file_has_are_refused(folder, shard):
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": shard}}))
    with pytest.raises(ModelError, match="names files that are absent"):
        load_model(folder)
    index.write_text(json.dumps({"weight_map": {}}))
    with pytest.raises(ModelError, match="none at all"):
        load_model(folder)


def test_many_more_blocks_than_tensors_are_refused_at_once(folder):
    text = (folder / "config.json").read_text()
    for blocks in (10**6, 10**15):
        changed = text.replace('_blocks": 2', f'_blocks": {blocks}')
        changed = changed.replace('_layers": 2', f'_layers": {blocks}')
        (folder / "config.json").write_text(changed)
        with pytest.raises(ModelError, match=rf"{blocks} blocks; the checkpoint holds \d+ tensors"):
            load_model(folder)


def test_int8_without_scale_is_named(folder):
    change(folder, **{QUERY.replace(".", "__"): torch.ones(12, 24, dtype=torch.int8)})
    with pytest.raises(ModelError, match=r"q\.weight is int8 without a scale"):
        load_model(folder)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_a_file_cut_short_is_named(folder, share):
    file = folder / "model.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ModelError, match=r"model\.safetensors: damaged or cut short"):
        load_model(folder)


def test_an_absent_shard_is_named(tmp_path):
    folder = save_model(small(torch.float32), tmp_path / "m", shard_bytes=9000)
    shard = sorted(folder.glob("model-*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(ModelError, match=f"absent: {shard.name}"):
        load_model(folder)


def test_one_tensor_in_two_shards_is_named(tmp_path):
    folder = save_model(small(torch.float32), tmp_path / "m", shard_bytes=9000)
    first, second = sorted(folder.glob("model-*.safetensors"))[:2]
    save_file(load_file(second) | {"backbone.embeddings.weight": torch.ones(61, 24)}, second)
    with pytest.raises(ModelError, match=f"embeddings.weight stands in {first.name} too"):
        load_model(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", None, "neither config.json nor config.yaml"),
        ("config.json", "{", "config.json: cannot be read"),
        ("config.json", "[]", "mapping"),
        ("model.safetensors.index.json", "{}", "not an index"),
        ("model.safetensors", None, "no model.safetensors and no shards"),
    ],
)
def test_damaged_folders_are_named(folder, name, content, message):
    file = folder / name
    file.unlink(missing_ok=True)
    if content is not None:
        file.write_text(content)
    with pytest.raises(ModelError, match=message):
        load_model(folder)


def test_pickled_weights_are_not_looked_at(folder):
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="no model.safetensors"):
        load_model(folder)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ModelError, match="no such model folder"):
        locate(tmp_path / "nowhere")
    for name in ("/" + "x" * 5000, "a\0b"):
        with pytest.raises(ModelError, match="no such model folder"):
            locate(name)
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE=0"):
        locate("nobody-at-all/no-such-model")


def test_unknown_kernels_are_refused_before_reading(tmp_path):
    with pytest.raises(ValueError, match="not known; known: auto, native"):
        load_model(tmp_path / "nowhere", kernels="fastest")


def test_a_numbered_large_checkpoint_is_read(folder, tmp_path):
    import yaml

    values = json.loads((folder / "config.json").read_text())
    large = tmp_path / "large"
    large.mkdir()
    keys = ("embedding_dim", "num_blocks", "num_heads", "vocab_size", "qk_dim_factor")
    keys += ("ffn_proj_factor", "ffn_round_up_to_multiple_of")
    (large / "config.yaml").write_text(yaml.safe_dump({k: values[k] for k in keys}))
    content = load_file(folder / "model.safetensors")
    content["embedding.weight"] = content.pop("backbone.embeddings.weight")
    names = sorted(content)
    for part in range(2):
        save_file({n: content[n] for n in names[part::2]}, large / f"model_{part}.safetensors")
    a, b = (load_model(f, dtype=torch.float32) for f in (folder, large))
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters()))


def test_a_save_never_replaces_and_never_leaves_half(folder, monkeypatch):
    with pytest.raises(ModelError, match="is there already"):
        save_model(small(torch.float32), folder)
    monkeypatch.setattr("app.model.save.save_file", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_model(small(torch.float32), folder.parent / "other")
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_what_the_layout_cannot_say_is_refused(tmp_path):
    for change in ({"add_out_norm": False}, {"use_bias": True, "out_norm_bias": True}):
        with pytest.raises(ModelError, match="last norm"):
            save_model(small(torch.float32, **change), tmp_path / "m")


def test_a_copied_folder_loads_anywhere(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "elsewhere")
    assert torch.equal(load_model(copy).embedding.weight, load_model(folder).embedding.weight)

"""A look before a run, and the folder that ships."""

import pytest
import torch
from tests.train.toy import TINY, toy_maker

from app.answer.reader import load_reader
from app.model.checkpoint import load_model
from app.model.config import XLSTMConfig
from app.model.save import save_model
from app.model.tokenizer import load_tokenizer
from app.model.xlstm import XLSTM
from app.train.export import averaged, export
from app.train.look import inspected
from app.train.phases import ANSWERING, Phase, mix
from app.train.run import architecture, fresh_model


def saved(folder, seed, config=TINY):
    return save_model(fresh_model(config, seed=seed), folder)


def test_weights_are_averaged(tmp_path):
    folders = [saved(tmp_path / str(seed), seed) for seed in range(3)]
    models = [load_model(folder, dtype=torch.float32) for folder in folders]
    mean = dict(averaged(folders).named_parameters())
    for name, weight in mean.items():
        expected = sum(dict(m.named_parameters())[name] for m in models) / 3
        torch.testing.assert_close(weight, expected, msg=name)
    other = TINY.__class__(**{**TINY.__dict__, "ffn_dim": 64})
    with pytest.raises(ValueError, match="another architecture"):
        averaged([folders[0], saved(tmp_path / "other", 0, other)])
    with pytest.raises(ValueError, match="no model"):
        averaged([])


def test_what_ships_is_a_reader_in_int8(tmp_path):
    reader = toy_maker(tmp_path / "toy").reader
    out = export([saved(tmp_path / "a", 0)], reader, tmp_path / "out")
    shipped = load_reader(out, dtype=torch.float32, int8=False)
    for (name, a), b in zip(
        fresh_model(TINY, seed=0).named_parameters(), shipped.model.parameters()
    ):
        bound = a.abs().amax(-1, keepdim=True) / 127  # a step of the row's scale
        assert ((a - b).abs() <= 0.51 * bound + 1e-8).all(), name
    files = {path.name for path in out.iterdir()}
    assert {"config.json", "tokenizer.json", "prompt.json"} < files


def test_a_look_shows_every_kind_that_is_read(tmp_path):
    maker = toy_maker(tmp_path, tokens=1025, documents=4)
    lines = list(inspected(maker, [Phase(1.0, mix(1, 1, 0, 1), ANSWERING)]))
    text = "\n".join(lines)
    assert "text: 1 jobs a pass, of books" in text and "own: 1 jobs a pass" in text
    assert "pairs:" not in text and "documents 4" in text
    assert text.count("<|bos|>") >= 3 and "<|quote|>" in text
    with pytest.raises(ValueError, match="makes no row"):
        list(inspected(toy_maker(tmp_path, tokens=33), [Phase(1.0, mix(0, 1), ANSWERING)]))


def test_the_default_architecture_is_the_readers(tmp_path):
    tokenizer = load_tokenizer(toy_maker(tmp_path).reader)
    config = architecture(tokenizer)
    reader = XLSTMConfig(**{**config.__dict__, "vocab_size": 24_576})
    with torch.device("meta"):
        weights = sum(weight.numel() for weight in XLSTM(reader).parameters())
    # q, k, v, o, out: 5 E^2; feed-forward: 3 E U; gates: 12 (E + 1); convolution 4 E; norms 3 E
    block = 5 * 768**2 + 3 * 768 * 2048 + 12 * 769 + 7 * 768
    assert weights == 24_576 * 768 + 12 * block + 768 == 111_062_928
    assert architecture(tokenizer, conv=0).conv1d_kernel_size == 0
    assert (config.bos_token_id, config.eos_token_id) == (1, 0)

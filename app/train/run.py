"""Putting a run together: model, data, phases and schedule, from folders to a trained folder."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from app.answer.prompt import CHOICES, PromptSpec
from app.model.checkpoint import load_model
from app.model.config import XLSTMConfig
from app.model.save import save_model
from app.model.tokenizer import Tokenizer, load_tokenizer
from app.model.xlstm import XLSTM
from app.train.feed import Feed
from app.train.held_out import held_out_rows
from app.train.loop import Say, train
from app.train.loss import PackedLoss
from app.train.phases import Phase
from app.train.rows import RowMaker
from app.train.schedule import TrainConfig
from app.train.world import World, joined

INPUT_GATE_BIAS = -2.0  # what every trial trained with: gates that start nearly closed learn later
HELD_OUT_ROWS = 32
# The default reader: 111 M weights, under 115 MB as int8. And one that a CPU trains in a minute.
READER = {"embedding_dim": 768, "num_blocks": 12, "num_heads": 6, "ffn_dim": 2048}
SMALLEST = {"embedding_dim": 64, "num_blocks": 2, "num_heads": 2, "ffn_dim": 128}


@dataclass(frozen=True)
class RunOptions:
    """How a run uses the machine.

    Args:
        device: "cpu" or "cuda".
        kernels: of the mLSTM; "auto" takes Triton on a GPU and the native form on a CPU.
        compile: compile what is around each block's cell.
        workers: processes that make rows.
        held_out: measure on the corpus's held-out file.
    """

    device: str = "cpu"
    kernels: str = "auto"
    compile: bool = False
    workers: int = 0
    held_out: bool = False


def architecture(tokenizer: Tokenizer, *, smallest: bool = False, conv: int = 4) -> XLSTMConfig:
    """The reader's architecture for a tokenizer; `conv` is the width of its convolution, 0 none."""
    return XLSTMConfig(
        **(SMALLEST if smallest else READER),
        vocab_size=tokenizer.vocab_size,
        qk_dim_factor=1.0,
        conv1d_kernel_size=conv,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.start,
        eos_token_id=min(tokenizer.stop_ids, default=None),
    )


def fresh_model(config: XLSTMConfig, seed: int = 0, device: str | torch.device = "cpu") -> XLSTM:
    """A model with drawn weights, float32, ready to be trained."""
    model = XLSTM(config).to(device).initialise(seed)
    with torch.no_grad():
        for block in model.blocks:
            block.mlstm.gates.bias[: config.num_heads] = INPUT_GATE_BIAS
    return model.train().requires_grad_(True)


def trained_model(folder: Path, kernels: str, device: str | torch.device = "cpu") -> XLSTM:
    """A model's weights alone, float32, to be gone on with; int8 ones are widened.

    Raises:
        ModelError: they cannot be read.
    """
    model = load_model(folder, device=device, dtype=torch.float32, int8=False, kernels=kernels)
    return model.train().requires_grad_(True)


def train_reader(
    maker: RowMaker,
    phases: Sequence[Phase],
    config: TrainConfig,
    out: Path,
    *,
    fresh: XLSTMConfig | None = None,
    start_from: Path | None = None,
    options: RunOptions = RunOptions(),  # noqa: B008 - frozen
    say: Say = print,
) -> Path:
    """Train from an architecture or from weights, and write the reader's folder.

    A run that was stopped goes on from its last checkpoint in `out`.

    Args:
        maker: makes the rows.
        phases: what is read when.
        config: the schedule.
        out: takes checkpoints, log.csv, loss.png and at the end `model`.
        fresh: the architecture of fresh weights.
        start_from: folder of trained weights instead; optimizer and schedule start anew.
        options: how the machine is used.
        say: takes each line of the log.

    Returns:
        `out/model`: config, weights (bfloat16), tokenizer and prompt form.

    Raises:
        ValueError: neither or both of architecture and weights, or what the parts refuse.
        ModelError: tokenizer or weights cannot be used.
    """
    if (fresh is None) == (start_from is None):
        raise ValueError("say what to train: an architecture, or a folder of weights")
    with joined(options.device) as world:
        model = _model(fresh, start_from, config, options, world)
        say = say if world.first else (lambda line: None)
        spec, tokenizer = PromptSpec.load(maker.reader), load_tokenizer(maker.reader)
        if tokenizer.vocab_size > model.config.vocab_size:
            raise ValueError(
                f"the tokenizer has {tokenizer.vocab_size} ids, the model {model.config.vocab_size}"
            )
        loss_of = PackedLoss(
            model,
            start_id=tokenizer.id_of(spec.tokens["start"]),
            choice_ids=tuple(tokenizer.id_of(spec.tokens[t]) for t in CHOICES),
            dtype=torch.bfloat16 if world.device.type == "cuda" else torch.float32,
            compiler=_compiler(options),
        )
        held_out = held_out_rows(maker, HELD_OUT_ROWS) if options.held_out else None
        feed = Feed(maker, phases, workers=options.workers, rank=world.rank, world=world.size)
        weights = sum(weight.numel() for weight in model.parameters())
        kernel = model.backend.chunkwise_kernel
        say(f"{weights:,} weights on {world.size} x {world.device.type}, {kernel}")
        try:
            train(model, loss_of, feed, phases, config, out, world, held_out=held_out, say=say)
        finally:
            feed.close()
        if world.first:
            _write_reader(model, maker.reader, out / "model")
        world.wait()
    return out / "model"


def _model(
    fresh: XLSTMConfig | None,
    start_from: Path | None,
    config: TrainConfig,
    options: RunOptions,
    world: World,
) -> XLSTM:
    if fresh is None:
        return trained_model(start_from, options.kernels, world.device)
    model = fresh_model(fresh, config.seed, world.device)
    model.kernels = options.kernels
    return model


def _compiler(options: RunOptions) -> Callable | None:
    """What compiles the blocks."""
    if not options.compile:
        return None
    return lambda function: torch.compile(function, dynamic=False)


def _write_reader(model: XLSTM, reader: Path, folder: Path) -> None:
    """The trained weights with the tokenizer and the prompt form that they were trained with."""
    if folder.exists():
        shutil.rmtree(folder)
    save_model(model, folder, dtype=torch.bfloat16)
    for name in ("tokenizer.json", "prompt.json"):
        shutil.copyfile(reader / name, folder / name)

"""Training the ranker: one loop that moves adapters, never MiniLM's own weights.

The loss is a listwise softmax over every sentence of an example's passages and "none" (ListNet's
top-one form, Cao et al. 2007, with several right sentences counted together).
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from app.rank import adapters as low_rank
from app.rank.encoder import scores
from app.train.ranker_batch import Batch, batches, held_batches
from app.train.ranker_data import RankData

_AHEAD = 4  # batches that are made while others are learnt


@dataclass(frozen=True)
class RankerConfig:
    """How the ranker is trained.

    Args:
        rank: of the adapters; None fine-tunes all layers, to see what adapters cost.
        hidden: width of the head's hidden layers.
        rates: peak learning rates of low-rank parts, of other changes to MiniLM, and of the head.
        steps: how many; 0 trains for `seconds`.
        seconds: how long, where there are no `steps`.
        tokens: of a step, padding left out.
        warm: share of the run in which the rate rises; then it falls to 0 in a straight line.
        log_every: steps between two lines of the log.
        seed: of the order and of what is drawn.
    """

    rank: int | None = 16
    hidden: int = 64
    rates: tuple[float, float, float] = (2e-3, 5e-4, 1e-3)
    steps: int = 0
    seconds: float = 0.0
    tokens: int = 49_152
    warm: float = 0.06
    log_every: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.steps > 0) == (self.seconds > 0):
            raise ValueError("say how long to train: steps or seconds")


def train(
    base: Mapping[str, Tensor],
    data: RankData,
    config: RankerConfig,
    device: str = "cpu",
    say: Callable[[str], None] = print,
) -> dict[str, Tensor]:
    """Adapters, float32, trained on what of the data is not held out."""
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    base = placed(base, device, dtype)
    made = low_rank.fresh(base, config.rank, config.hidden, config.seed)
    made = {name: tensor.to(device).requires_grad_(True) for name, tensor in made.items()}
    optimizer = torch.optim.AdamW(_groups(made, config), betas=(0.9, 0.98), weight_decay=0.0)
    start, lost, step = time.perf_counter(), torch.zeros((), device=device), 0
    for batch in _ahead(batches(data, config.tokens, config.seed)):
        spent = time.perf_counter() - start
        progress = step / config.steps if config.steps else spent / config.seconds
        if progress >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * rate_at(progress, config.warm)
        loss = loss_of(low_rank.merged(base, made, dtype), batch, device)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(made.values()), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        lost, step = lost + loss.detach(), step + 1
        if step % config.log_every == 0:
            mean = lost.item() / config.log_every
            spent = time.perf_counter() - start
            if not math.isfinite(mean):
                raise ArithmeticError(f"step {step}: the loss is {mean}")
            say(f"step {step} loss {mean:.4f} {spent:.0f} s {batch.tokens * step / spent:,.0f} t/s")
            lost = torch.zeros((), device=device)
    return {name: tensor.detach() for name, tensor in made.items()}


def placed(base: Mapping[str, Tensor], device: str, dtype: torch.dtype) -> dict[str, Tensor]:
    """MiniLM's weights on the device: the large tables in the dtype they are read in."""
    moved = {name: tensor.to(device) for name, tensor in base.items()}
    for name in ("embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight"):
        moved[name] = moved[name].to(dtype)
    return moved


def rate_at(progress: float, warm: float) -> float:
    """Share of the peak rate at progress 0 to 1."""
    return min(progress / warm, 1.0) * min(1.0, (1 - progress) / (1 - warm)) if warm else 1.0


def logits_of(weights: Mapping[str, Tensor], batch: Batch, device: str) -> Tensor:
    """Scores of each example's sentences (E, M) float32, -inf where there is none or it is open."""
    logits = torch.full((batch.right.shape[0] * batch.right.shape[1],), -math.inf, device=device)
    rows, values = [], []
    for part in batch.parts:
        ids, owner, source, target = (
            torch.from_numpy(each).to(device, non_blocking=True)
            for each in (part.ids, part.owner, part.source, part.target)
        )
        found = scores(weights, ids.long(), owner.long(), part.most).flatten()
        rows.append(target)
        values.append(found[source])
    return logits.scatter(0, torch.cat(rows), torch.cat(values)).view(batch.right.shape)


def loss_of(weights: Mapping[str, Tensor], batch: Batch, device: str) -> Tensor:
    """Mean nats by which what is right is unlikely."""
    logits = logits_of(weights, batch, device)
    right = torch.from_numpy(batch.right).to(device)
    none = torch.zeros(len(logits), 1, device=device)
    every = torch.cat([none, logits], 1).logsumexp(1)
    wanted = torch.cat([~right.any(1, keepdim=True), right], 1)
    chosen = torch.cat([none, logits], 1).masked_fill(~wanted, -math.inf).logsumexp(1)
    return (every - chosen).mean()


@torch.inference_mode()
def measured(
    base: Mapping[str, Tensor],
    made: Mapping[str, Tensor],
    data: RankData,
    device: str = "cpu",
    most: int = 1_000,
) -> dict[str, float]:
    """On the examples held out: share whose right sentence is first, and among three; refusals.

    `told` is the chance that an answerable example has higher log-odds than one without an answer,
    `declined` the share of the latter below what 5 % of the answerable have.
    """
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    weights = low_rank.merged(placed(base, device, dtype), made, dtype)
    first, third, odds, answered = [], [], [], []
    for batch in held_batches(data, 49_152, most):
        logits = logits_of(weights, batch, device).cpu()
        right = torch.from_numpy(batch.right)
        order = logits.argsort(1, descending=True)[:, :3]
        hits, has = right.gather(1, order), right.any(1)
        first += hits[has, 0].tolist()
        third += hits[has].any(1).tolist()
        odds += logits.logsumexp(1).tolist()
        answered += has.tolist()
    own = torch.tensor([x for x, has in zip(odds, answered) if has])
    others = torch.tensor([x for x, has in zip(odds, answered) if not has])
    return {
        "first": sum(first) / len(first),
        "among three": sum(third) / len(third),
        "told": (own[:, None] > others).float().mean().item(),
        "declined": (others < own.quantile(0.05)).float().mean().item(),
        "answerable": len(own),
        "unanswerable": len(others),
    }


def _groups(made: Mapping[str, Tensor], config: RankerConfig) -> list[dict]:
    groups: dict[float, list[Tensor]] = {}
    low, delta, head = config.rates
    for name, tensor in made.items():
        rate = head if name.startswith(low_rank.HEAD) else delta
        rate = low if name.endswith((low_rank.UP, low_rank.DOWN)) else rate
        groups.setdefault(rate, []).append(tensor)
    return [{"params": tensors, "peak": rate, "lr": 0.0} for rate, tensors in groups.items()]


def _ahead(made: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches, a few of them made in another thread beforehand."""
    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(next, made, None) for _ in range(_AHEAD)]
        while (batch := waiting.pop(0).result()) is not None:
            waiting.append(pool.submit(next, made, None))
            yield batch

"""Loss, optimizer and schedule against what they are defined to be."""

import math

import pytest
import torch
import torch.nn.functional as F
from tests.model.small import CONFIG, small

from app.train.loss import PackedLoss
from app.train.optimizer import Optimizer, orthogonalised
from app.train.schedule import TrainConfig

START = 1


def rows(count=3, tokens=40, seed=0):
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(2, CONFIG.vocab_size, (count, tokens), generator=draw)
    ids[:, 0] = START
    ids[:, 17] = START
    weights = torch.rand(count, tokens, generator=draw, dtype=torch.float64)
    return ids, weights


@pytest.mark.parametrize("tied", [False, True])
def test_the_loss_is_the_weighted_cross_entropy(monkeypatch, tied):
    monkeypatch.setattr("app.train.loss._POSITIONS", 7)
    model = small(conv1d_kernel_size=4, tie_word_embeddings=tied).requires_grad_(True)
    ids, weights = rows()
    logits = model.project(model.hidden(ids[:, :-1], starts=ids[:, :-1] == START)[0])
    each = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    expected = (each * weights[:, 1:].flatten()).sum()
    loss_of = PackedLoss(model, start_id=START, dtype=torch.float64)
    found = loss_of(ids, weights)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    parameters = list(model.parameters())
    wanted = torch.autograd.grad(expected, parameters, allow_unused=True)
    for got, want in zip(torch.autograd.grad(found, parameters, allow_unused=True), wanted):
        if want is not None:
            torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-12)
    lost, right = loss_of.judge(ids)
    torch.testing.assert_close(lost.flatten(), each.detach())
    assert torch.equal(right.flatten(), logits.argmax(-1).flatten() == ids[:, 1:].flatten())


def test_the_choice_is_among_the_sentences_of_a_document_and_none():
    model = small(conv1d_kernel_size=4).requires_grad_(True)
    ids, weights = rows()
    ends = torch.zeros_like(ids)
    ends[0, [3, 9, 14]] = torch.tensor([1, 2, 1])  # one is evidence
    ends[0, [20, 30]] = 1  # the next document of the row: none is
    ends[2, [5, 6, 39]] = torch.tensor([2, 2, 1])  # two are; the last token of a row is not read
    logits = model.project(model.hidden(ids[:, :-1], starts=ids[:, :-1] == START)[0])
    score = logits[..., 7] - logits[..., 5]
    wanted, hits = [], []
    for row, others, right in ((0, [3, 14], [9]), (0, [20, 30], []), (2, [], [5, 6])):
        every = [score[row, t].exp() for t in (*others, *right)] + [torch.ones(()).double()]
        held = sum(score[row, t].exp() for t in right) if right else torch.ones(()).double()
        wanted.append(-(held / sum(every)).log())
        best = max((*others, *right), key=lambda t: score[row, t].item())
        hits.append(best in right and score[row, best] > 0 if right else score[row, best] <= 0)
    loss_of = PackedLoss(model, start_id=START, choice_ids=(7, 5), dtype=torch.float64)
    nats, found = loss_of.chosen(ids, ends)
    torch.testing.assert_close(nats, torch.stack(wanted).detach())
    assert found.tolist() == [bool(hit) for hit in hits]
    both = loss_of(ids, weights, ends, 0.5)
    torch.testing.assert_close(both, loss_of(ids, weights) + 0.5 * sum(wanted))
    got, want = (
        torch.autograd.grad(loss, model.blocks[0].mlstm.qk.weight, retain_graph=True)[0]
        for loss in (both - loss_of(ids, weights), 0.5 * sum(wanted))
    )
    torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-12)
    assert loss_of.chosen(ids, torch.zeros_like(ends))[0].shape == (0,)


def test_gradients_of_a_bfloat16_run_reach_float32_weights():
    model = small(torch.float32, tie_word_embeddings=True, scale=0.2).requires_grad_(True)
    ids, weights = rows()
    results = {}
    for dtype in (torch.float32, torch.bfloat16):
        model.zero_grad()
        loss = PackedLoss(model, start_id=START, dtype=dtype)(ids, weights.float())
        loss.backward()
        results[dtype] = (loss.item(), model.blocks[0].mlstm.qk.weight.grad.clone())
        assert all(w.grad is None or w.grad.dtype == torch.float32 for w in model.parameters())
    (exact, wanted), (rough, got) = results[torch.float32], results[torch.bfloat16]
    assert exact != rough == pytest.approx(exact, rel=0.02)
    assert F.cosine_similarity(wanted.flatten(), got.flatten(), dim=0) > 0.95


def test_a_compiled_run_gives_the_same():
    model = small(conv1d_kernel_size=4, num_blocks=3).requires_grad_(True)
    ids, weights = rows()
    graphs = []

    def backend(graph, _):
        graphs.append(graph)
        return graph.forward

    def compiler(function):
        return torch.compile(function, backend=backend, dynamic=False)

    loss_of = PackedLoss(model, start_id=START, dtype=torch.float64, compiler=compiler)
    loss_of(ids, weights).backward()
    compiled = model.blocks[1].ffn.up.weight.grad.clone()
    model.zero_grad()
    PackedLoss(model, start_id=START, dtype=torch.float64)(ids, weights).backward()
    torch.testing.assert_close(compiled, model.blocks[1].ffn.up.weight.grad)
    # What is before the cell and what is after it, for all blocks; and the loss over logits.
    assert len(graphs) == 3


def test_orthogonalised_keeps_the_directions_and_levels_the_lengths():
    draw = torch.Generator().manual_seed(0)
    for shape in ((24, 8), (8, 24), (16, 16)):
        g = torch.randn(2, *shape, generator=draw, dtype=torch.float64)
        u, _, vh = torch.linalg.svd(g, full_matrices=False)
        inner = u.mT @ orthogonalised(g) @ vh.mT  # diagonal: the same singular vectors
        values = inner.diagonal(dim1=-2, dim2=-1)
        torch.testing.assert_close(inner, torch.diag_embed(values), atol=1e-9, rtol=0)
        assert values.min() > 0.3 and values.max() < 1.3


def test_fused_matrices_are_moved_one_by_one():
    model = small(torch.float32).requires_grad_(True)
    weight = model.blocks[0].mlstm.qk.weight
    before = weight.detach().clone()
    optimizer = Optimizer(model, muon_rate=0.1, adam_rate=0.01)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    draw = torch.Generator().manual_seed(0)
    weight.grad = torch.randn(weight.shape, generator=draw)
    weight.grad[: len(weight) // 2] *= 1_000
    optimizer.step(1.0)
    moved = (before - weight.detach()).chunk(2)
    for part in moved:
        values = torch.linalg.svdvals(part)
        assert values.max() < 0.13 and values.min() > 0.03


def test_adamw_moves_what_muon_does_not():
    model = small(torch.float32).requires_grad_(True)
    before = {n: w.detach().clone() for n, w in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    Optimizer(model, muon_rate=0.0, adam_rate=0.01).step(0.5)
    moved = {n for n, w in model.named_parameters() if not torch.equal(w, before[n])}
    still = {n for n in before if n not in moved}
    assert {n.split(".", 2)[2] for n in still} == {
        "mlstm.qk.weight",
        "mlstm.vo.weight",
        "mlstm.out.weight",
        "ffn.up.weight",
        "ffn.down.weight",
    }
    gates = "blocks.0.mlstm.gates.bias"

    step = before[gates] - model.blocks[0].mlstm.gates.bias
    torch.testing.assert_close(step, torch.full((6,), 0.005))


def test_a_state_of_other_weights_is_refused():
    state = Optimizer(small(torch.float32), muon_rate=1, adam_rate=1).state()
    other = Optimizer(small(torch.float32, num_blocks=3), muon_rate=1, adam_rate=1)
    with pytest.raises(ValueError, match="another architecture"):
        other.restore(state)


def test_the_schedule():
    config = TrainConfig(steps=1_000, warm=100, cool=0.25, peak=0.8, first_rows=2, rows=4, ramp=0.5)
    rates = [config.rate(step, config.progress(step, 0.0)) for step in (0, 49, 99, 500, 750, 875)]
    assert rates == pytest.approx([0.008, 0.4, 0.8, 0.8, 0.8, 0.8 * 0.51])
    assert config.rate(999, 1.0) == pytest.approx(0.8 * 0.02)
    assert [config.rows_at(p) for p in (0.0, 0.49, 0.5, 1.0)] == [2, 2, 4, 4]
    timed = TrainConfig(seconds=600)
    assert timed.progress(7, 150.0) == 0.25 and math.isclose(timed.rate(200, 0.1), 1.0)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({}, "either `steps` or `seconds`"),
        ({"steps": 1, "seconds": 1.0}, "either `steps` or `seconds`"),
        ({"steps": 1, "rows": 2, "first_rows": 3}, "not above rows"),
        ({"steps": 1, "cool": 2.0}, "between 0 and 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**changes)


def test_triton_kernels_train_as_the_native_ones_do():
    pytest.importorskip("triton")
    ids, weights = rows(count=1, tokens=24)
    results = []
    for kernels in ("native", "triton"):
        model = small(torch.float32, conv1d_kernel_size=4, scale=0.2, chunk_size=16)
        model.requires_grad_(True).kernels = kernels
        loss = PackedLoss(model, start_id=START)(ids, weights.float())
        loss.backward()
        results.append((loss.detach(), model.blocks[0].mlstm.gates.weight.grad))
    for got, wanted in zip(*results):
        torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-4)

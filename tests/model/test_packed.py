"""Documents packed into one row: each comes out as if it were alone, and learns as if it were."""

import pytest
import torch
from tests.model.small import CONFIG, prompt, small

from app.model.errors import ModelError

LENGTHS = (7, 1, 2, 30, 65, 3)
# eps in the denominator weighs against the stabiliser, which remembers what the gates forgot.
EXACT = {"eps": 1e-14, "chunk_size": 16}


def packed(lengths=LENGTHS):
    """Documents, the one row that holds them, and where each begins."""
    documents = [prompt(length, seed=n) for n, length in enumerate(lengths)]
    row = torch.tensor([[token for document in documents for token in document]])
    starts = torch.zeros_like(row, dtype=torch.bool)
    at = 0
    for length in lengths:
        starts[0, at] = True
        at += length
    return documents, row, starts


@pytest.mark.parametrize("kernel", [0, 1, 4])
@pytest.mark.parametrize(
    "kernels", ["native", "parallel--native_autograd", "native_sequence__native"]
)
def test_packed_documents_equal_separate_ones(kernel, kernels):
    model = small(conv1d_kernel_size=kernel, **EXACT)
    model.kernels = kernels
    documents, row, starts = packed()
    together, _ = model.hidden(row, starts=starts)
    alone = [model.hidden(torch.tensor([document]))[0] for document in documents]
    torch.testing.assert_close(together, torch.cat(alone, dim=1), rtol=1e-9, atol=1e-9)


def test_gradients_of_packed_documents_are_those_of_separate_ones():
    model = small(conv1d_kernel_size=4, **EXACT).requires_grad_(True)
    documents, row, starts = packed()
    names, weights = zip(*model.named_parameters())
    together = torch.autograd.grad(
        model.hidden(row, starts=starts)[0].square().sum(), weights, allow_unused=True
    )
    alone = sum(model.hidden(torch.tensor([d]))[0].square().sum() for d in documents)
    expected = torch.autograd.grad(alone, weights, allow_unused=True)
    for name, got, wanted in zip(names, together, expected):
        if wanted is not None:
            torch.testing.assert_close(got, wanted, rtol=1e-7, atol=1e-7, msg=name)


def test_a_row_without_a_start_goes_on_from_its_state():
    model = small(conv1d_kernel_size=4, **EXACT)
    before, row = torch.tensor([prompt(9)]), torch.tensor([prompt(12, seed=3)])
    _, state = model.hidden(before)
    starts = torch.zeros_like(row, dtype=torch.bool)
    assert torch.equal(model.hidden(row, state, starts=starts)[0], model.hidden(row, state)[0])


def test_the_state_after_a_packed_row_is_that_of_its_last_document():
    model = small(conv1d_kernel_size=4, **EXACT)
    documents, row, starts = packed((8, 2))
    _, state = model.hidden(row, starts=starts)
    _, alone = model.hidden(torch.tensor([documents[-1]]))
    more = torch.tensor([prompt(5, seed=9)])
    torch.testing.assert_close(
        model.hidden(more, state)[0], model.hidden(more, alone)[0], rtol=1e-9, atol=1e-9
    )
    assert torch.equal(state.blocks[0].window, alone.blocks[0].window)


def test_packed_rows_are_not_padded():
    model, row = small(), torch.tensor([prompt(4)])
    starts = torch.zeros_like(row, dtype=torch.bool)
    with pytest.raises(ModelError, match="no `lengths`"):
        model.hidden(row, lengths=torch.tensor([3]), starts=starts)
    with pytest.raises(ModelError, match="shape"):
        model.hidden(row, starts=starts[:, :2])
    assert CONFIG.conv1d_kernel_size == 0

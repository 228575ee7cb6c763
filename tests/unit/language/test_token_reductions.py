"""Sums over responses, reductions and penalties, against plain loops; and that micro-batches change nothing."""

import pytest
import torch
from torch import Generator, Tensor

from clipper.functional import sequences
from clipper.functional.sequences import adapt_kl, column_mean, column_sum, overlong_penalty, sequence_log_ratio

LENGTHS = [3, 1, 0, 5, 2]
COLUMN = torch.tensor([n for t in range(5) for n, length in enumerate(LENGTHS) if t < length])
X = torch.randn(len(COLUMN), generator=Generator().manual_seed(0), dtype=torch.float64)
OF = [X[n == COLUMN] for n in range(5)]


def double(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def test_sums_and_means_of_columns() -> None:
    torch.testing.assert_close(column_sum(X, COLUMN, 5), torch.stack([x.sum() for x in OF]))
    expected = torch.stack([x.mean() if len(x) else double(0)[0] for x in OF])
    torch.testing.assert_close(column_mean(X, COLUMN, 5), expected)


REDUCTIONS = {
    "token mean": (sequences.token_mean(COLUMN, 11), [1 / 11] * 5),
    "sequence mean": (sequences.sequence_mean(COLUMN, 5, 5), [1 / (5 * max(n, 1)) for n in LENGTHS]),
    "constant": (sequences.constant(COLUMN, 5, 8), [1 / 40] * 5),
    "sequence sum": (sequences.sequence_sum(COLUMN, 5), [1 / 5] * 5),
}


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_by_hand(name: str) -> None:
    denominator, weight = REDUCTIONS[name]
    expected = sum(w * x.sum().item() for w, x in zip(weight, OF, strict=True))
    assert (X / denominator).sum().item() == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("size", [1, 2, 3])
def test_micro_batches_of_weighed_losses_are_the_whole(name: str, size: int) -> None:
    """Weights are fixed before the split; a mean within each micro-batch would be another loss."""
    denominator, _ = REDUCTIONS[name]
    parts = [torch.isin(COLUMN, torch.arange(start, start + size)) for start in range(0, 5, size)]
    total = sum((X[part] / denominator[part]).sum() for part in parts)
    torch.testing.assert_close(torch.as_tensor(total), (X / denominator).sum(), rtol=1e-13, atol=1e-14)
    apart = torch.stack([X[part].mean() for part in parts if part.any()]).mean()
    assert abs(apart - X.mean()) > 0.01


def test_sequence_ratio_is_the_geometric_mean_with_the_tokens_own_gradient() -> None:
    x = X.clone().requires_grad_()
    log_ratio = sequence_log_ratio(x, COLUMN, 5)
    torch.testing.assert_close(log_ratio.detach(), torch.stack([OF[n].mean() for n in COLUMN]))
    [gradient] = torch.autograd.grad(log_ratio.sum(), x)
    assert gradient.tolist() == [1.0] * len(COLUMN)


def test_overlong_penalty() -> None:
    length = torch.tensor([1, 60, 61, 80, 99, 100, 101, 500])
    expected = double(0, 0, -1 / 40, -0.5, -39 / 40, -1, -1, -1)
    torch.testing.assert_close(overlong_penalty(length, 100, 40).double(), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize(("kl", "error"), [(6.0, 0.0), (6.6, 0.1), (60.0, 0.2), (0.0, -0.2), (5.7, -0.05)])
def test_adaptive_kl(kl: float, error: float) -> None:
    beta = adapt_kl(double(0.2)[0], double(kl)[0], 6.0, 10_000, 512)
    assert beta.item() == pytest.approx(0.2 * (1 + error * 512 / 10_000), rel=1e-12)

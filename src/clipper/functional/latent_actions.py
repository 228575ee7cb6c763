"""Actions with a choice, seen through a latent space: HyAR (Li et al. 2022, arXiv:2109.05490)."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clipper.functional.intrinsic import squared_error


def nearest_choice(
    e: Float[Tensor, "*batch D"], table: Float[Tensor, "K D"], legal: Bool[Tensor, "*batch K"] | None = None
) -> Int[Tensor, "*batch"]:
    """K = argminₖ ‖e − eₖ‖ over the legal choices (arXiv:2109.05490, eq 2)."""
    distance = (e.unsqueeze(-2) - table).square().sum(-1)
    return (distance if legal is None else distance.masked_fill(~legal, torch.inf)).argmin(-1)


def evidence_bound(
    x: Float[Tensor, "*batch A"], again: Float[Tensor, "*batch A"], mean: Float[Tensor, "*batch Z"],
    log_std: Float[Tensor, "*batch Z"], kl_weight: float = 1.0,
) -> Float[Tensor, "*batch"]:  # fmt: skip
    """‖x − x̃‖² + w KL(N(μ, σ²) ‖ N(0, 1)): arguments come back, by numbers near a unit Gaussian
    (arXiv:2109.05490, eq 4, where w is 1; Higgins et al. 2017, "beta-VAE").
    """
    kl = 0.5 * (mean.square() + (2 * log_std).exp() - 1) - log_std
    return squared_error(again, x) + kl_weight * kl.sum(-1)


def central_range(z: Float[Tensor, "B Z"], share: float) -> tuple[Float[Tensor, " Z"], Float[Tensor, " Z"]]:
    """[Q((1 − c) / 2), Q((1 + c) / 2)] of each component: its central share c lies between (arXiv:2109.05490, 4.2)."""
    tail = torch.tensor([(1 - share) / 2, (1 + share) / 2], dtype=z.dtype)
    low, high = z.quantile(tail, 0)
    return low, high


def relabelled(
    kept: Float[Tensor, "B L"], now: Float[Tensor, "B L"], stale_choice: Bool[Tensor, " B"], stale: Bool[Tensor, " B"],
    choice_size: int,
) -> Float[Tensor, "B L"]:  # fmt: skip
    """E ← eₖ where another choice is nearest, and z ← q(z|s, k, x) where that, or ‖δ − δ̃‖², is wrong; the
    rest is as it was kept (representation shift correction, arXiv:2109.05490, section 4.2).
    """
    e = torch.where(stale_choice[:, None], now[:, :choice_size], kept[:, :choice_size])
    z = torch.where((stale_choice | stale)[:, None], now[:, choice_size:], kept[:, choice_size:])
    return torch.cat([e, z], -1)

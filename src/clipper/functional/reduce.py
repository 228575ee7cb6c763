"""From one number per decision to one number per batch. Masked rows are selected away, never multiplied by 0."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clipper.functional.returns import total_return


def masked_mean(x: Float[Tensor, "..."], mask: Bool[Tensor, "*batch"]) -> Float[Tensor, "..."]:
    """(1/|D|) Σ_{t∈D} xₜ over the decisions D; 0 where there is none.

    ``x`` is ``[*batch]``, or ``[K, *batch]`` for the means of K quantities at once.
    """
    total = x.masked_fill(~mask, 0).sum(tuple(range(-mask.ndim, 0)))
    return total / mask.sum().clamp(min=1)


def trajectory_sum(
    x: Float[Tensor, "*batch"], mask: Bool[Tensor, "*batch"], trajectories: int | Int[Tensor, ""]
) -> Float[Tensor, ""]:
    """(1/M) Σ over M trajectories of Σₜ xₜ within each: the reduction that REINFORCE's derivation asks for.

    A mean over decisions divides by the sum of lengths, which actions have a part in: it is biased where they differ
    (Williams 1992, doi:10.1007/BF00992696; Nota & Thomas 2020, arXiv:1906.07073, on such omissions).
    """
    return x.masked_fill(~mask, 0).sum() / trajectories


def standardise(
    x: Float[Tensor, "*batch"], mask: Bool[Tensor, "*batch"], correction: int = 1, eps: float = 1e-8
) -> Float[Tensor, "*batch"]:
    """(x − mean) / (std + ε) over the decisions.

    ``correction`` 1 divides the variance by n − 1 (torch's habit), 0 by n (numpy's). Where the spread is rounding
    noise (one decision, or constant x) the result is 0, not noise scaled up to 1; NaN stays NaN. "The 37 implementation
    details of PPO" (2022), core detail 7.
    """
    mean = masked_mean(x, mask)
    centred = (x - mean).masked_fill(~mask, 0)
    variance = centred.square().sum() / (mask.sum() - correction).clamp(min=1)
    std = variance.sqrt()
    noise = 1e-6 * mean.abs() + eps
    return torch.where(std <= noise, torch.zeros_like(centred), centred / (std + eps))


def trajectory_moments(
    x: Float[Tensor, "T N"], done: Bool[Tensor, "T N"], mask: Bool[Tensor, "T N"]
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """μ = (1/M) Σᵢ (1/Tᵢ) Σₜ xₜⁱ and σ, σ² = (1/M) Σᵢ (1/Tᵢ) Σₜ (xₜⁱ − μ)²: each of M trajectories counts once.

    Where x is the same in all Tᵢ decisions of a trajectory, as its whole return is, these are mean and population
    deviation over trajectories. Over decisions (``standardise``) a trajectory counts as often as it is long.
    """
    length = total_return(mask.to(x.dtype), done, mask, gamma=1.0)
    weight = mask / length.clamp(min=1)
    weight = weight / weight.sum().clamp(min=1)
    mean = (weight * x.masked_fill(~mask, 0)).sum()
    return mean, (weight * (x - mean).masked_fill(~mask, 0).square()).sum().sqrt()


def standardise_trajectories(
    x: Float[Tensor, "T N"], done: Bool[Tensor, "T N"], mask: Bool[Tensor, "T N"], eps: float = 1e-8
) -> Float[Tensor, "T N"]:
    """(x − μ) / (σ + ε) with μ and σ over trajectories (``trajectory_moments``); 0 where σ is rounding noise.

    Trajectories are what REINFORCE takes its mean over (Williams 1992, doi:10.1007/BF00992696).
    """
    mean, std = trajectory_moments(x, done, mask)
    centred = (x - mean).masked_fill(~mask, 0)
    return torch.where(std <= 1e-6 * mean.abs() + eps, torch.zeros_like(centred), centred / (std + eps))

"""Moments of samples and how well a prediction explains a target."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor


class Moments(NamedTuple):
    """Count, mean and population variance of a set of samples."""

    n: Float[Tensor, ""]
    mean: Float[Tensor, "*shape"]
    variance: Float[Tensor, "*shape"]


def moments(x: Float[Tensor, "batch *shape"]) -> Moments:
    """n, x̄ = Σx/n, s² = Σ(x − x̄)²/n over the first dimension, in float64."""
    x = x.double()
    variance, mean = torch.var_mean(x, dim=0, correction=0)
    return Moments(torch.tensor(float(len(x)), dtype=torch.float64, device=x.device), mean, variance)


def merge(a: Moments, b: Moments) -> Moments:
    """Moments of the union of two sets (Chan, Golub & LeVeque 1979, "Updating formulae", eq 2.1).

    n = n_a + n_b,  d = x̄_b − x̄_a,  x̄ = x̄_a + d n_b/n,  n s² = n_a s_a² + n_b s_b² + d² n_a n_b/n
    """
    n = a.n + b.n
    shift = b.mean - a.mean
    mean = a.mean + shift * (b.n / n)
    spread = a.n * a.variance + b.n * b.variance + shift.square() * (a.n * b.n / n)
    return Moments(n, mean, spread / n)


def weighted_average(
    average: Float[Tensor, "*shape"], latest: Float[Tensor, "*shape"], weight: float, beta: float
) -> Float[Tensor, "*shape"]:
    """(β w x̄ + x) / (β w + 1): x̄ₙ = Σᵢ βⁿ⁻ⁱ xᵢ / Σᵢ βⁿ⁻ⁱ where the ``weight`` w is its denominator one step before
    (Hilton et al. 2022, arXiv:2110.00641, whose average is so from its first member on, without a bias to correct).
    """
    return (beta * weight * average + latest) / (beta * weight + 1)


def explained_variance(
    prediction: Float[Tensor, "*batch"], target: Float[Tensor, "*batch"], mask: Bool[Tensor, "*batch"]
) -> Float[Tensor, ""]:
    """1 − Var(target − prediction) / Var(target): 1 is perfect, 0 no better than a constant, negative worse.

    The fraction of variance unexplained of regression analysis; logged by every PPO since openai/baselines. NaN where
    the target is constant.
    """
    prediction, target = prediction[mask], target[mask]
    variance = target.var(correction=0)
    return torch.where(
        variance > 0, 1 - (target - prediction).var(correction=0) / variance, torch.full_like(variance, torch.nan)
    )

"""Importance weights of trajectories: what π′ would have made of what μ did. Logarithms, ``[T, N]``, time downwards.

``log_ratio`` is log π′(aₜ|sₜ) − log μ(aₜ|sₜ) and 0, or anything finite, in rows that are no decision. A product over T
steps leaves the numbers of any dtype soon; its logarithm does not.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clipper.functional.objectives import LARGEST_LOG_RATIO
from clipper.functional.returns import discounted_sum_so_far, reward_to_go


def log_product_so_far(
    log_ratio: Float[Tensor, "T N"], done: Bool[Tensor, "T N"], mask: Bool[Tensor, "T N"]
) -> Float[Tensor, "T N"]:
    """Σ_{k≤t} log rₖ from the episode's first decision on: what a reward at t is weighed by, since later actions cannot
    have changed it (per-decision importance sampling; Levine et al. 2020, arXiv:2005.01643, section 3.1).
    """
    return discounted_sum_so_far(log_ratio, done, mask, 1.0, torch.zeros_like(log_ratio[0]))[0]


def log_whole_product(
    log_ratio: Float[Tensor, "T N"], done: Bool[Tensor, "T N"], mask: Bool[Tensor, "T N"]
) -> Float[Tensor, "T N"]:
    """Σ_{k∈τ} log rₖ over the whole episode, the same in each of its rows: log p(τ; θ′) / p(τ; θ).

    The dynamics cancel. Unbiased, with a variance that grows exponentially with the episode's length
    (Levine et al. 2020, arXiv:2005.01643, section 3.1).
    """
    so_far, to_go = log_product_so_far(log_ratio, done, mask), reward_to_go(log_ratio, done, mask, 1.0)
    return so_far + to_go - log_ratio


def importance_weight(log_weight: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """W = exp(log w) = Π r, bounded at e²⁰ and 0 where it underflows (arXiv:2005.01643, section 3.1)."""
    return log_weight.clamp(max=LARGEST_LOG_RATIO).exp()


def truncated_weight(log_weight: Float[Tensor, "*batch"], most: float) -> Float[Tensor, "*batch"]:
    """min(C, w), without gradient, for samples of another policy: w = π_prox/μ of older segments (Hilton et al. 2022,
    arXiv:2110.00641), or π_old/μ of another program's tokens (Espeholt et al. 2018, arXiv:1802.01561, section 4.1, of
    ρ̄; Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL training"). C may be infinite.
    """
    return importance_weight(log_weight.detach()).clamp(max=most)


def masked_weight(log_weight: Float[Tensor, "*batch"], least: float, most: float) -> Float[Tensor, "*batch"]:
    """1[least ≤ w ≤ most] · w, without gradient: samples outside are left out (IcePop, arXiv:2510.18855)."""
    w = importance_weight(log_weight.detach())
    return w.where((w >= least) & (w <= most), 0.0)


def effective_sample_size(log_weight: Float[Tensor, " M"]) -> Float[Tensor, ""]:
    """(Σ w)² / Σ w²: how many equal weights are worth as much as these M (Kong, Liu & Wong 1994,
    doi:10.1080/01621459.1994.10476469). M where all are equal, 1 where one of them is all.
    """
    return (2 * log_weight.logsumexp(0) - (2 * log_weight).logsumexp(0)).exp()


def self_normalised_credit(
    log_weight: Float[Tensor, "T N"], returns: Float[Tensor, "T N"], ends: Bool[Tensor, "T N"], regulariser: float
) -> Float[Tensor, "T N"]:
    """M (wᵢ/Z) (Rᵢ − J + λ) with Z = Σᵢ wᵢ and J = Σᵢ wᵢ Rᵢ / Z over M trajectories: times ∇log π, and as a mean over
    trajectories, the gradient of J + λ log Z (guided policy search, Levine & Koltun 2013, ICML, section 4; of weights
    that are normalised by their sum see Levine et al. 2020, arXiv:2005.01643, section 3.1).

    wᵢ and Rᵢ are the same in all rows of a trajectory, of which each has one where it ``ends``.
    """
    log_w = log_weight[ends]
    log_z = log_w.logsumexp(0)
    mean = ((log_w - log_z).exp() * returns[ends]).sum()
    return len(log_w) * (log_weight - log_z).exp() * (returns - mean + regulariser)


def weighted_cross_entropy(
    logits: Float[Tensor, "*batch K"], action: Tensor, credit: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch"]:
    """H(onehot(a), π) · c = −log π(a|s) c: the policy gradient as a classifier's loss, the action its label.

    The same numbers as ``policy_gradient`` (Williams 1992, doi:10.1007/BF00992696); c is the return, times whatever
    weight it has.
    """
    flat = torch.nn.functional.cross_entropy(logits.flatten(0, -2), action.flatten(), reduction="none")
    return flat.view_as(credit) * credit

"""Policy and value losses: one number per decision, to be minimised. The caller reduces them (``reduce.py``)."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

LARGEST_LOG_RATIO = 20.0
"""Bounds r = exp(log r) at e²⁰: far outside any clip range, and no product of it overflows. Beyond it r is constant, so
the losses below have no gradient there, also where  is negative and −r Â's would pull the ratio back; metrics count
such decisions (``policy/ratio_clamped``)."""


def policy_gradient(log_prob: Float[Tensor, "*batch"], advantage: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """−log π(a|s) Â (Williams 1992, doi:10.1007/BF00992696): its gradient is the score-function estimator."""
    return -log_prob * advantage


def conservative(log_ratio: Float[Tensor, "*batch"], advantage: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """−r Â, the conservative policy iteration surrogate L^CPI, unclipped (arXiv:1707.06347, eq 6)."""
    return -log_ratio.clamp(max=LARGEST_LOG_RATIO).exp() * advantage


def clip(
    log_ratio: Float[Tensor, "*batch"], advantage: Float[Tensor, "*batch"], low: float, high: float
) -> Float[Tensor, "*batch"]:
    """−min(r Â, clip(r, 1−ε_low, 1+ε_high) Â) (Schulman et al. 2017, arXiv:1707.06347, eq 7).

    The gradient is that of −r Â, except where the ratio has already moved past the bound in the direction that the
    advantage favours: there it is 0. So it is, whatever the advantage, beyond ``LARGEST_LOG_RATIO``. Unequal bounds are
    "clip-higher" (DAPO, arXiv:2503.14476, eq 10).
    """
    r = log_ratio.clamp(max=LARGEST_LOG_RATIO).exp()
    return -torch.minimum(r * advantage, r.clamp(1 - low, 1 + high) * advantage)


def dual_clip(
    log_ratio: Float[Tensor, "*batch"], advantage: Float[Tensor, "*batch"], low: float, high: float, c: float
) -> Float[Tensor, "*batch"]:
    """−max(min(r Â, clip(r) Â), c Â) where Â < 0, else ``clip`` (Ye et al. 2020, arXiv:1912.09729, section 3).

    A bad action that has become likely all the same pulls with at most c |Â|, c > 1: where behaviour and policy differ
    much, r |Â| has no bound.
    """
    loss = clip(log_ratio, advantage, low, high)
    return torch.where(advantage < 0, torch.minimum(loss, -c * advantage), loss)


def rollback(
    log_ratio: Float[Tensor, "*batch"], advantage: Float[Tensor, "*batch"], low: float, high: float, alpha: float
) -> Float[Tensor, "*batch"]:
    """−min(r Â, F(r) Â) with F(r) = b − α (r − b), b = clip(r) (PPO-RB, Wang et al. 2019, arXiv:1903.07940).

    Within the bounds F(r) = r. Outside, where ``clip`` lets go, the slope is turned round: α pulls the ratio back.
    """
    r = log_ratio.clamp(max=LARGEST_LOG_RATIO).exp()
    bound = r.clamp(1 - low, 1 + high)
    return -torch.minimum(r * advantage, (bound - alpha * (r - bound)) * advantage)


def trust_region(
    log_ratio: Float[Tensor, "*batch"], advantage: Float[Tensor, "*batch"], kl: Float[Tensor, "*batch"], delta: float
) -> Float[Tensor, "*batch"]:
    """−min(r Â, Â) where KL(π_old ‖ π)(s) ≥ δ, else −r Â (TR-PPO, Wang et al. 2019, arXiv:1903.07940).

    The state's whole distribution, not the chosen action's ratio, decides when to let go. The ratio is clipped to 1,
    so the value jumps at δ; its gradient is 0 beyond, in the direction that the advantage favours.
    """
    r = log_ratio.clamp(max=LARGEST_LOG_RATIO).exp()
    return torch.where(kl >= delta, -torch.minimum(r * advantage, advantage), -r * advantage)


def trust_region_rollback(
    log_ratio: Float[Tensor, "*batch"], advantage: Float[Tensor, "*batch"], kl: Float[Tensor, "*batch"], delta: float,
    alpha: float,
) -> Float[Tensor, "*batch"]:  # fmt: skip
    """−r Â + α (KL − δ) where KL(π_old ‖ π)(s) ≥ δ and r Â ≥ Â, else −r Â (Truly PPO, arXiv:1903.07940).

    The paper writes constants that differ and the same gradient. α has to outweigh the surrogate's slope.
    """
    r = log_ratio.clamp(max=LARGEST_LOG_RATIO).exp()
    left = (kl >= delta) & (r * advantage >= advantage)
    return torch.where(left, alpha * (kl - delta), torch.zeros_like(kl)) - r * advantage


def spo(
    log_ratio: Float[Tensor, "*batch"], advantage: Float[Tensor, "*batch"], low: float, high: float
) -> Float[Tensor, "*batch"]:
    """−(r Â − |Â| (r − 1)² / 2ε) (simple policy optimisation, Xie et al. 2025, arXiv:2401.16025).

    A parabola whose best ratio is 1 + ε_high where Â > 0 and 1 − ε_low where Â < 0: what has gone farther comes back,
    with no flat region. ε must not be 0.
    """
    r = log_ratio.clamp(max=LARGEST_LOG_RATIO).exp()
    weight = torch.where(advantage > 0, advantage / (2 * high), -advantage / (2 * low))
    return weight * (r - 1).square() - r * advantage


def cispo(
    log_ratio: Float[Tensor, "*batch"], advantage: Float[Tensor, "*batch"], low: float, high: float
) -> Float[Tensor, "*batch"]:
    """−sg(min(r, 1+ε_high)) Â log r, sg without gradient (CISPO: MiniMax 2025, arXiv:2506.13585, eqs 4 and 5).

    The weight is clipped, not the loss: no decision loses its gradient, −min(r, 1+ε_high) Â ∇log π. ``low`` is not
    used, as in the paper's runs. log r stands for log π, from which it differs by a constant.
    """
    return -log_ratio.detach().exp().clamp(max=1 + high) * advantage * log_ratio


def pairwise_joint(
    gap: Float[Tensor, "*batch"], first: Float[Tensor, "*batch"], second: Float[Tensor, "*batch"], bound: float,
    c: float,
) -> Float[Tensor, "*batch"]:  # fmt: skip
    """max(−q w D, −q w clip(D, ±ε)) / 2 of pairs of responses (P3O, joint clipping: Wu et al. 2023, arXiv:2310.00212).

    ``first`` and ``second`` are log π(y|x) − log π_old(y|x) of the two, D = first − second, q = ``gap`` the difference
    of their rewards and w = sg(clip(exp(first + second), 1/c, c)). At π_old the gradient is that of leave-one-out with
    two responses, −q ∇(log π(y₁) − log π(y₂)) / 2. The paper's D has log π in place of log π − log π_old: that adds a
    constant to both sides of the maximum.
    """
    log_c = math.log(c)
    weighted = gap * (first + second).detach().clamp(-log_c, log_c).exp()
    distance = first - second
    return torch.maximum(-weighted * distance, -weighted * distance.clamp(-bound, bound)) / 2


def pairwise_separate(
    gap: Float[Tensor, "*batch"], first: Float[Tensor, "*batch"], second: Float[Tensor, "*batch"], bound: float,
    c: float,
) -> Float[Tensor, "*batch"]:  # fmt: skip
    """Half the clipped surrogates of both responses, each with its own ratio and Â = ±q sg(clip(r_other, 1/c, c)).

    One reading of P3O's separate clipping (arXiv:2310.00212, section 4.2), whose exact formula could not be checked;
    the authors' code has the joint one only. Arguments as in ``pairwise_joint``.
    """
    log_c = math.log(c)
    of_first, of_second = (x.detach().clamp(-log_c, log_c).exp() for x in (first, second))
    return (clip(first, gap * of_second, bound, bound) + clip(second, -gap * of_first, bound, bound)) / 2


def adapt_penalty(beta: Float[Tensor, ""], kl: Float[Tensor, ""], target: float) -> Float[Tensor, ""]:
    """β ← β/2 where d < d_targ/1.5, β ← 2·β where d > 1.5·d_targ, else β (arXiv:1707.06347, section 4)."""
    return torch.where(kl < target / 1.5, beta / 2, torch.where(kl > 1.5 * target, beta * 2, beta))


def adapt_learning_rate(
    rate: Float[Tensor, ""], kl: Float[Tensor, ""], target: float, least: float, most: float
) -> Float[Tensor, ""]:
    """α′ = max(α/1.5, least) where d > 2·d_targ, α′ = min(1.5·α, most) where 0 < d < d_targ/2, else α′ = α.

    The rule of rsl_rl (Rudin et al. 2022, arXiv:2109.11978, appendix). A KL of 0 says nothing: no step was taken yet.
    Computed in float32 it is then rounding noise instead, so it is the caller who knows whether there was a step.
    """
    faster = torch.where((kl > 0) & (kl < target / 2), (1.5 * rate).clamp(max=most), rate)
    return torch.where(kl > 2 * target, (rate / 1.5).clamp(min=least), faster)


def huber(value: Float[Tensor, "*batch"], target: Float[Tensor, "*batch"], delta: float) -> Float[Tensor, "*batch"]:
    """Twice the Huber loss (1964, doi:10.1214/aoms/1177703732): (V − R)² up to |V − R| = δ, then 2δ|V − R| − δ²."""
    error = (value - target).abs()
    return torch.where(error <= delta, error.square(), delta * (2 * error - delta))


def clipped_squared_error(
    value: Float[Tensor, "*batch"],
    old_value: Float[Tensor, "*batch"],
    target: Float[Tensor, "*batch"],
    bound: float,
) -> Float[Tensor, "*batch"]:
    """max((V − R)², (V_old + clip(V − V_old, ±bound) − R)²), PPO's value clip.

    Not in the paper, but in its code; see "The 37 implementation details of PPO" (2022), core detail 9.
    """
    near_old = old_value + (value - old_value).clamp(-bound, bound)
    return torch.maximum((value - target).square(), (near_old - target).square())


def symexp(x: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """sign(x) (exp|x| − 1), the inverse of sign(x) log(|x| + 1) (DreamerV3, Hafner et al. 2023, arXiv:2301.04104)."""
    return x.sign() * x.abs().expm1()


def rescale(x: Float[Tensor, "*batch"], epsilon: float) -> Float[Tensor, "*batch"]:
    """h(x) = sign(x) (√(|x| + 1) − 1) + ε x, which makes returns of every size small (Pohlen et al. 2018,
    arXiv:1805.11593, section 3.2).

    Computed as x / (√(|x| + 1) + 1) + ε x: nothing cancels near 0, and the slope there, ½ + ε, is right.
    """
    return x / ((x.abs() + 1).sqrt() + 1) + epsilon * x


def restore(y: Float[Tensor, "*batch"], epsilon: float) -> Float[Tensor, "*batch"]:
    """h⁻¹(y) = sign(y) (((√(1 + 4ε (|y| + 1 + ε)) − 1) / 2ε)² − 1) (arXiv:1805.11593, proposition A.2).

    Computed as s (|s| + 2) with s = 2y / (1 + 2ε + √((1 + 2ε)² + 4ε |y|)), which holds for ε = 0, too.
    """
    slope = 1 + 2 * epsilon
    s = 2 * y / (slope + (slope * slope + 4 * epsilon * y.abs()).sqrt())
    return s * (s.abs() + 2)


def two_hot(x: Float[Tensor, "*batch"], bins: Float[Tensor, " K"]) -> Float[Tensor, "*batch K"]:
    """Weights p ≥ 0 of the two neighbouring bins, Σₖ pₖ = 1 and Σₖ pₖ bₖ = x (arXiv:2301.04104, "two-hot").

    ``bins`` increase; what lies beyond the outermost counts as that one.
    """
    below = (torch.searchsorted(bins, x.detach(), right=True) - 1).clamp(0, len(bins) - 2)
    low, high = bins[below], bins[below + 1]
    share = ((x - low) / (high - low)).clamp(0, 1)[..., None]
    weights = torch.zeros(*x.shape, len(bins), dtype=x.dtype, device=x.device)
    return weights.scatter(-1, below[..., None], 1 - share).scatter(-1, below[..., None] + 1, share)


def two_hot_cross_entropy(
    logits: Float[Tensor, "*batch K"], target: Float[Tensor, "*batch"], bins: Float[Tensor, " K"]
) -> Float[Tensor, "*batch"]:
    """−Σₖ two_hot(R)ₖ log softmax(z)ₖ (arXiv:2301.04104)."""
    return -(two_hot(target, bins) * logits.log_softmax(-1)).sum(-1)


def kl_estimates(
    log_ratio: Float[Tensor, "*batch"],
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """KL(μ ‖ π) from a ~ μ, three ways: k1 = −log r, k2 = ½ (log r)², k3 = (r − 1) − log r.

    Schulman 2020, "Approximating KL divergence". k1 is unbiased, of either sign, and of the largest variance. k2 is ≥ 0
    and biased: its expectation is an f-divergence that agrees with the KL to second order where π ≈ μ. k3 is unbiased
    and ≥ 0.
    """
    k3 = log_ratio.clamp(max=LARGEST_LOG_RATIO).expm1() - log_ratio
    return -log_ratio, 0.5 * log_ratio.square(), k3

"""What an action value is fitted to: Bellman's equation for Q, and the estimates of V(s′) in it."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def td_target(
    reward: Float[Tensor, "*batch"], discount: Float[Tensor, "*batch"], next_value: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch"]:
    """Y = R + γᵐ V(sₜ₊ₘ), with R = Σ_{i<m} γⁱ rₜ₊ᵢ (Sutton & Barto 2018, eq 7.1).

    ``discount`` is γᵐ, and 0 where sₜ₊ₘ is terminal: nothing follows then. With m > 1 the rewards between are those of
    the policy that collected; as in Rainbow (Hessel et al. 2018, arXiv:1710.02298) that is not corrected.
    """
    return reward + discount * next_value


def legal_values(q: Float[Tensor, "*batch K"], legal: Bool[Tensor, "*batch K"] | None) -> Float[Tensor, "*batch K"]:
    """Q(s, a) where a is legal, −∞ where it is not; without a mask all are (Huang & Ontañón 2022, arXiv:2006.14171)."""
    return q if legal is None else q.masked_fill(~legal, -torch.inf)


def greedy_value(
    q: Float[Tensor, "*batch K"], legal: Bool[Tensor, "*batch K"] | None = None
) -> Float[Tensor, "*batch"]:
    """V = maxₐ Q⁻(s′, a) over the legal actions (Mnih et al. 2015, doi:10.1038/nature14236, algorithm 1)."""
    return legal_values(q, legal).amax(-1)


def double_q_value(
    lagged: Float[Tensor, "*batch K"], q: Float[Tensor, "*batch K"], legal: Bool[Tensor, "*batch K"] | None = None
) -> Float[Tensor, "*batch"]:
    """V = Q⁻(s′, argmaxₐ Q(s′, a)): one chooses, one judges (van Hasselt et al. 2016, arXiv:1509.06461)."""
    return chosen_value(lagged, legal_values(q, legal).argmax(-1))


def chosen_value(q: Float[Tensor, "*batch K"], action: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Σₖ 1[k = a] Q(s, k): the value of one action for each state (Mnih et al. 2015, doi:10.1038/nature14236)."""
    return q.gather(-1, action.unsqueeze(-1)).squeeze(-1)


def epsilon_greedy(
    q: Float[Tensor, "*batch K"], legal: Bool[Tensor, "*batch K"] | None, epsilon: float
) -> Float[Tensor, "*batch K"]:
    """π(a) = ε / K + (1 − ε) 1[a = argmax Q] over the K legal actions (Sutton & Barto 2018, section 2.2).

    Where nothing is legal, which no decision meets, the numbers mean nothing.
    """
    allowed = torch.ones_like(q) if legal is None else legal.to(q.dtype)
    greedy = torch.nn.functional.one_hot(legal_values(q, legal).argmax(-1), q.shape[-1])
    return epsilon * allowed / allowed.sum(-1, keepdim=True).clamp(min=1) + (1 - epsilon) * greedy


def clipped_double_q(q: Float[Tensor, "M *batch"]) -> Float[Tensor, "*batch"]:
    """V = minᵢ Qᵢ(s, a) of M critics: errors are no value (Fujimoto et al. 2018, arXiv:1802.09477, eq 10)."""
    return q.amin(0)


def smoothed_action(
    action: Float[Tensor, "*batch A"], noise: Float[Tensor, "*batch A"], bound: float
) -> Float[Tensor, "*batch A"]:
    """ã = clip(μ⁻(s′) + clip(ε, ±c), −1, 1): near actions are worth about the same (TD3, arXiv:1802.09477, eq 14)."""
    return (action + noise.clamp(-bound, bound)).clamp(-1, 1)


def soft_value(
    q: Float[Tensor, "*batch"], log_prob: Float[Tensor, "*batch"], alpha: float | Float[Tensor, ""]
) -> Float[Tensor, "*batch"]:
    """Q(s′, a′) − α log π(a′|s′) for a′ ~ π: one sample of V (Haarnoja et al. 2018, arXiv:1812.05905, eq 3)."""
    return q - alpha * log_prob


def expected_soft_value(
    q: Float[Tensor, "*batch K"], log_p: Float[Tensor, "*batch K"], alpha: float | Float[Tensor, ""]
) -> Float[Tensor, "*batch"]:
    """Σₐ π(a|s) (Q(s, a) − α log π(a|s)): V with discrete actions (Christodoulou 2019, arXiv:1910.07207, eq 10).

    ``log_p`` of an illegal action is so low that its probability is 0; then it adds nothing.
    """
    return (log_p.exp() * (q - alpha * log_p)).sum(-1)


def hybrid_soft_value(
    q: Float[Tensor, "*batch K"], log_p: Float[Tensor, "*batch K"], log_density: Float[Tensor, "*batch K"],
    alpha: float | Float[Tensor, ""], argument_alpha: float | Float[Tensor, ""],
) -> Float[Tensor, "*batch"]:  # fmt: skip
    """Σₖ π(k|s) (Q(s, k, xₖ) − α_d log π(k|s) − α_c log πₖ(xₖ|s)), one xₖ ~ πₖ for each choice k.

    The sum over choices is exact (Delalleau et al. 2019, arXiv:1912.11077); arguments are sampled.
    """
    return expected_soft_value(q - argument_alpha * log_density, log_p, alpha)


def inverted_gradient(
    gradient: Float[Tensor, "*batch A"], action: Float[Tensor, "*batch A"], low: float = -1.0, high: float = 1.0
) -> Float[Tensor, "*batch A"]:
    """A gradient of ascent that shrinks towards the bounds it would cross, and turns back beyond them.

    ∇ (high − a)/(high − low) where it raises a, else ∇ (a − low)/(high − low) (Hausknecht & Stone 2016,
    arXiv:1511.04143, eq 11).
    """
    room = torch.where(gradient > 0, high - action, action - low) / (high - low)
    return gradient * room

"""Return and advantage estimators: each is the reverse linear recurrence ``xₜ = bₜ + aₜ xₜ₊₁``.

Time runs down dimension 0. Tensors are ``[T, N]``: times 0 … T − 1 of ``N`` environments, or of ``N`` token sequences;
values have one row more, times 0 … T.
A row whose ``mask`` is False is not a decision (the row between two episodes, a prompt, padding): it adds
nothing, carries nothing, and what stands in it is never read, so it may be NaN.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def linear_recurrence(b: Float[Tensor, "T N"], a: Float[Tensor, "T N"]) -> Float[Tensor, "T N"]:
    """xₜ = bₜ + aₜ xₜ₊₁, with x_T = 0.

    Pointer doubling (Hillis & Steele 1986, doi:10.1145/7902.7903): ⌈log₂ T⌉ steps over the whole array
    instead of T steps over a row. Both arguments must be finite: a zero coefficient does not hide a NaN.
    """
    span = 1
    while span < len(b):
        b = b + a * F.pad(b[span:], (0, 0, 0, span))
        a = a * F.pad(a[span:], (0, 0, 0, span))
        span *= 2
    return b


def gae(
    reward: Float[Tensor, "T N"], value: Float[Tensor, "T+1 N"], terminated: Bool[Tensor, "T N"],
    done: Bool[Tensor, "T N"], mask: Bool[Tensor, "T N"], gamma: float, lam: float,
) -> Float[Tensor, "T N"]:  # fmt: skip
    """Generalised advantage estimate (Schulman et al. 2016, arXiv:1506.02438, eqs 11 to 16).

    δₜ = rₜ + γ (1 − terminatedₜ) V(sₜ₊₁) − V(sₜ)
    Âₜ = δₜ + γλ (1 − doneₜ) Âₜ₊₁

    As a loop, from the last row to the first::

        following = 0.0  # Âₜ₊₁
        for t in reversed(range(T)):
            # TD error: δₜ = rₜ + γ V(sₜ₊₁) − V(sₜ), without V(sₜ₊₁) where the episode terminated
            delta = reward[t] + gamma * ~terminated[t] * value[t + 1] - value[t]
            # Âₜ = δₜ + γλ Âₜ₊₁, without Âₜ₊₁ where the episode ended
            following = mask[t] * (delta + gamma * lam * ~done[t] * following)
            advantage[t] = following

    Times are 0 … T − 1 of ``reward``, the flags and the result, and 0 … T of ``value``: ``value[t + 1]`` is V of the
    true successor, also where a time limit cut an episode, since there the row that follows holds the last observation.
    So a truncated step bootstraps, but carries no Â across the episode's edge. λ = 0 gives δ, λ = 1 the discounted
    return minus V(sₜ). Rows that are no decision get 0.
    """
    delta = reward + gamma * value[1:].masked_fill(terminated, 0) - value[:-1]
    return linear_recurrence(delta.masked_fill(~mask, 0), gamma * lam * (mask & ~done).to(delta.dtype))


def lambda_return(
    reward: Float[Tensor, "T N"], value: Float[Tensor, "T+1 N"], terminated: Bool[Tensor, "T N"],
    done: Bool[Tensor, "T N"], mask: Bool[Tensor, "T N"], gamma: float, lam: float,
) -> Float[Tensor, "T N"]:  # fmt: skip
    """Gₜ = rₜ + γ (1 − terminatedₜ) ((1 − λ) V(sₜ₊₁) + λ Gₜ₊₁), TD(λ)'s target (Sutton & Barto 2018, eqs 12.2, 12.3).

    It is Âₜ + V(sₜ) of ``gae``, which bootstraps and cuts the same way: V(sₜ₊₁) stands for Gₜ₊₁ where an episode or the
    segment was cut. λ = 0 is TD(0), λ = 1 the Monte Carlo return. What stands where the mask is False is undefined.
    """
    return gae(reward, value, terminated, done, mask, gamma, lam) + value[:-1]


def reward_to_go(
    reward: Float[Tensor, "T N"], done: Bool[Tensor, "T N"], mask: Bool[Tensor, "T N"], gamma: float
) -> Float[Tensor, "T N"]:
    """Gₜ = rₜ + γ (1 − doneₜ) Gₜ₊₁ (Williams 1992, doi:10.1007/BF00992696; Sutton & Barto 2018, eq 3.9).

    Rewards after the last row count as 0, so a segment that was cut must be bootstrapped (``gae``) instead.
    """
    return linear_recurrence(reward.masked_fill(~mask, 0), gamma * (mask & ~done).to(reward.dtype))


def total_return(
    reward: Float[Tensor, "T N"], done: Bool[Tensor, "T N"], mask: Bool[Tensor, "T N"], gamma: float
) -> Float[Tensor, "T N"]:
    """G(τ) = Σₖ γᵏ rₖ over the whole episode, the same in each of its rows: what REINFORCE's derivation first has
    (Williams 1992, doi:10.1007/BF00992696). Rewards of the past come with it: no bias, and the more variance.
    """
    start = mask.clone()
    start[1:] &= done[:-1] | ~mask[:-1]
    first = reward_to_go(reward, done, mask, gamma).where(start, 0)
    return discounted_sum_so_far(first, done, mask, 1.0, torch.zeros_like(first[0]))[0]


def n_step(
    reward: Float[Tensor, "T N"], value: Float[Tensor, "T+1 N"], terminated: Bool[Tensor, "T N"],
    done: Bool[Tensor, "T N"], mask: Bool[Tensor, "T N"], gamma: float, n: int,
) -> Float[Tensor, "T N"]:  # fmt: skip
    """rₜ + γ rₜ₊₁ + … + γⁿ V(sₜ₊ₙ), fewer rewards where the episode or the segment ends before (Sutton & Barto 2018,
    eq 7.1; arXiv:1602.01783). n = 1 is TD(0)'s target; bootstrapped and cut as in ``gae``.
    """
    cut = done | ~mask
    cut[-1] = True  # where nothing further was recorded
    reward = reward.masked_fill(~mask, 0)
    successor = value[1:].masked_fill(terminated | ~mask, 0)
    target = reward + gamma * successor
    for _ in range(n - 1):  # the target of k + 1 steps is one reward and the successor's target of k
        target = reward + gamma * torch.where(cut, successor, target.roll(-1, 0))
    return target


def vtrace(
    reward: Float[Tensor, "T N"], value: Float[Tensor, "T+1 N"], log_ratio: Float[Tensor, "T N"],
    terminated: Bool[Tensor, "T N"], done: Bool[Tensor, "T N"], mask: Bool[Tensor, "T N"], gamma: float,
    lam: float = 1.0, rho_bar: float = 1.0, c_bar: float = 1.0,
) -> Float[Tensor, "T N"]:  # fmt: skip
    """vₜ − V(sₜ) of off-policy data (V-trace, Espeholt et al. 2018, arXiv:1802.01561, eq 1, and its remark 1).

    xₜ = ρₜ δₜ + γ cₜ (1 − doneₜ) xₜ₊₁ with ρ = min(ρ̄, π/μ), c = λ min(c̄, π/μ)

    ρ̄ decides whose values are learned (π's where it binds nowhere), c̄ ≤ ρ̄ how far errors are carried. Where π = μ this
    is ``gae``. What stands in ``log_ratio`` where the mask is False is not read.
    """
    ratio = log_ratio.masked_fill(~mask, 0).exp()
    delta = reward + gamma * value[1:].masked_fill(terminated, 0) - value[:-1]
    b = (ratio.clamp(max=rho_bar) * delta).masked_fill(~mask, 0)
    return linear_recurrence(b, (gamma * lam * ratio.clamp(max=c_bar)).masked_fill(~mask | done, 0))


def discounted_sum_so_far(
    reward: Float[Tensor, "T N"], done: Bool[Tensor, "T N"], mask: Bool[Tensor, "T N"], gamma: float,
    carry: Float[Tensor, " N"],
) -> tuple[Float[Tensor, "T N"], Float[Tensor, " N"]]:  # fmt: skip
    """Rₜ = γ Rₜ₋₁ + rₜ, restarted at every episode's first decision; also the carry into the next segment.

    Its standard deviation scales rewards in "reward scaling" (Engstrom et al. 2020, arXiv:2005.12729, section 3).
    ``carry`` is γ R before row 0: zero where an episode starts there.
    """
    reward = reward.masked_fill(~mask, 0).flip(0)
    # keep[t] leads from row t to row t+1: γ from a decision, 1 across a row that is none, 0 over an episode's edge.
    keep = torch.ones_like(reward).masked_fill(mask, gamma).masked_fill(mask & done, 0)
    b = torch.cat([reward, carry[None]])
    a = torch.cat([torch.ones_like(carry)[None], keep[:-1]]).flip(0)
    total = linear_recurrence(b, F.pad(a, (0, 0, 0, 1)))[:-1].flip(0)
    return total, keep[-1] * total[-1]

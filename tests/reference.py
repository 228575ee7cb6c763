"""Each return estimator as its paper writes it: sums over k within an episode, in plain Python, one column at a time.

Slow and without a recurrence on purpose. A column is a list of rows; ``mask`` False marks a row that is no decision.
"""

import math
from collections.abc import Callable
from typing import TypeVar

from torch import Tensor

T = TypeVar("T")


def steps_left(t: int, done: list[bool], mask: list[bool]) -> int:
    """How many decisions follow each other from row t to the episode's end, or to where the record stops."""
    count = 0
    while t + count < len(mask) and mask[t + count]:
        count += 1
        if done[t + count - 1]:
            break
    return count


def k_step_advantage(
    t: int, k: int, reward: list[float], value: list[float], terminated: list[bool], gamma: float
) -> float:
    """−V(sₜ) + rₜ + γ rₜ₊₁ + … + γᵏ⁻¹ rₜ₊ₖ₋₁ + γᵏ V(sₜ₊ₖ) (arXiv:1506.02438, eq 15)."""
    total = -value[t]
    for l in range(k):
        total += gamma**l * reward[t + l]
    if not terminated[t + k - 1]:
        total += gamma**k * value[t + k]
    return total


def gae(
    reward: list[float],
    value: list[float],
    terminated: list[bool],
    done: list[bool],
    mask: list[bool],
    gamma: float,
    lam: float,
) -> list[float]:
    """(1 − λ)(Â⁽¹⁾ + λ Â⁽²⁾ + …), the last Â⁽ᴷ⁾ taking the weight λᴷ⁻¹ that is left (arXiv:1506.02438, eq 16)."""
    result = [0.0] * len(mask)
    for t in range(len(mask)):
        last = steps_left(t, done, mask)
        for k in range(1, last + 1):
            weight = lam ** (k - 1) * (1 - lam if k < last else 1)
            result[t] += weight * k_step_advantage(t, k, reward, value, terminated, gamma)
    return result


def temporal_difference(
    reward: list[float], value: list[float], terminated: list[bool], mask: list[bool], gamma: float
) -> list[float]:
    """δₜ, which is Â⁽¹⁾."""
    return [
        k_step_advantage(t, 1, reward, value, terminated, gamma) if decided else 0.0 for t, decided in enumerate(mask)
    ]


def reward_to_go(reward: list[float], done: list[bool], mask: list[bool], gamma: float) -> list[float]:
    """Gₜ = Σₗ γˡ rₜ₊ₗ to the episode's end (Sutton & Barto 2018, eq 3.8)."""
    result = [0.0] * len(mask)
    for t in range(len(mask)):
        for l in range(steps_left(t, done, mask)):
            result[t] += gamma**l * reward[t + l]
    return result


def discounted_sum_so_far(
    reward: list[float], done: list[bool], mask: list[bool], gamma: float, carry: float
) -> tuple[list[float], float]:
    """Rₜ = Σⱼ γᵗ⁻ʲ rⱼ over the episode's decisions j up to t, and γ R where the next segment begins.

    ``carry`` is γ R of the segment before. Rows that are no decision are jumped over, and 0 is reported in them.
    """
    result = [0.0] * len(mask)
    so_far: list[float] = []  # this episode's rewards
    carried = carry
    for t, decided in enumerate(mask):
        if not decided:
            continue
        so_far.append(reward[t])
        age = len(so_far)
        result[t] = sum(gamma ** (age - 1 - j) * r for j, r in enumerate(so_far)) + gamma ** (age - 1) * carried
        if done[t]:
            so_far, carried = [], 0.0
    age = len(so_far)
    left = sum(gamma ** (age - j) * r for j, r in enumerate(so_far)) + gamma**age * carried
    return result, left


def episode_of(t: int, done: list[bool], mask: list[bool]) -> list[int]:
    """The rows of the episode to which row t belongs, as far as recorded; none for a row that is no decision."""
    start = t
    while start > 0 and mask[start - 1] and not done[start - 1]:
        start -= 1
    return list(range(start, start + steps_left(start, done, mask))) if mask[t] else []


def log_products(log_ratio: list[float], done: list[bool], mask: list[bool]) -> list[tuple[float, float]]:
    """Σ log rₖ over the episode's decisions up to t, and over all of them (arXiv:2005.01643, section 3.1)."""
    episodes = [episode_of(t, done, mask) for t in range(len(mask))]
    return [
        (sum(log_ratio[k] for k in rows if k <= t), sum(log_ratio[k] for k in rows)) for t, rows in enumerate(episodes)
    ]


def total_return(reward: list[float], done: list[bool], mask: list[bool], gamma: float) -> list[float]:
    """Σₖ γᵏ rₖ over all decisions of the episode, at each of them (Williams 1992)."""
    episodes = [episode_of(t, done, mask) for t in range(len(mask))]
    return [sum(gamma ** (k - rows[0]) * reward[k] for k in rows) if rows else 0.0 for rows in episodes]


def n_step(
    reward: list[float],
    value: list[float],
    terminated: list[bool],
    done: list[bool],
    mask: list[bool],
    gamma: float,
    n: int,
) -> list[float]:
    """V(sₜ) + Â⁽ᵏ⁾ with k = n, or as many steps as are left (Sutton & Barto 2018, eq 7.1)."""
    result = [0.0] * len(mask)
    for t in range(len(mask)):
        k = min(n, steps_left(t, done, mask))
        if k:
            result[t] = value[t] + k_step_advantage(t, k, reward, value, terminated, gamma)
    return result


def vtrace(
    reward: list[float],
    value: list[float],
    log_ratio: list[float],
    terminated: list[bool],
    done: list[bool],
    mask: list[bool],
    gamma: float,
    lam: float,
    rho_bar: float,
    c_bar: float,
) -> list[float]:
    """Σₖ γᵏ (Πⱼ cⱼ) ρₜ₊ₖ δₜ₊ₖ, each product over the steps before (arXiv:1802.01561, eq 1)."""
    result = [0.0] * len(mask)
    for t in range(len(mask)):
        product = 1.0
        for k in range(t, t + steps_left(t, done, mask)):
            ratio = math.exp(log_ratio[k])
            result[t] += product * min(rho_bar, ratio) * k_step_advantage(k, 1, reward, value, terminated, gamma)
            product *= gamma * lam * min(c_bar, ratio)
    return result


def per_column(estimator: Callable[..., T], *fields: Tensor, **numbers: float) -> list[T]:
    """The estimator over each column of ``[T, N]`` fields, which it takes as lists of Python numbers."""
    return [estimator(*column, **numbers) for column in zip(*(x.t().tolist() for x in fields), strict=True)]

"""The streak, a game that pages share: heads pay 1 and the game goes on, tails end it, and so does the T-th toss.

Only T + 1 games are possible, so that expectations are sums over them. What has been won so far is the state; V of it
is known, and what an action does to the states that follow matters, as it does not where coins are only counted.
"""

from typing import NamedTuple

import torch
from torch import Tensor

LENGTH = 10


class Games(NamedTuple):
    """Every game that is possible, a column each, ``[T, T + 1]``: the n-th has n heads."""

    action: Tensor
    reward: Tensor
    done: Tensor
    mask: Tensor


def games(length: int = LENGTH) -> Games:
    """All of them."""
    t, heads = torch.arange(length)[:, None], torch.arange(length + 1)[None]
    action = (t < heads).long()
    last = heads.clamp(max=length - 1)
    return Games(action, action.double(), t == last, t <= last)


def probability(played: Games, p: float) -> Tensor:
    """p(τ) of each game ``[T + 1]`` under the policy that tosses heads with probability p."""
    heads = played.reward.sum(0)
    return p**heads * (1 - p) ** (played.mask.sum(0) - heads)


def value(p: float, length: int = LENGTH) -> Tensor:
    """V(t) = p (1 + V(t + 1)) ``[T + 1]``: what is still to be won after t heads, 0 at the end."""
    found = [0.0]
    for _ in range(length):
        found.append(p * (1 + found[-1]))
    return torch.tensor(found[::-1], dtype=torch.float64)


def exact_gradient(p: float, length: int = LENGTH) -> float:
    """∇J = Σₖ k pᵏ (1 − p) of J = Σₖ pᵏ, with respect to the logit of p."""
    return sum(k * p**k * (1 - p) for k in range(1, length + 1))

"""The coin game that the first pages share: T coins are tossed, heads pay 1, and p = σ(θ) is the policy.

Small enough that J(θ) = T σ(θ) and its gradient T p (1 − p) are known, and so are variances.
"""

import torch
from torch import Tensor

from clipper.distributions import Categorical
from clipper.functional.objectives import policy_gradient


def toss(length: int, games: int, seed: int, p: float = 0.5) -> Tensor:
    """Actions ``[T, M]`` of M games: 1 is heads. The reward is the action."""
    return (torch.rand(length, games, generator=torch.Generator().manual_seed(seed)) < p).long()


def gradients(action: Tensor, credit: Tensor, p: float = 0.5) -> Tensor:
    """∇_θ of Σₜ log π(aₜ) creditₜ, one estimate per game ``[M]``, by backpropagation."""
    theta = torch.full((action.shape[1],), p, dtype=torch.float64).logit().requires_grad_()
    logits = torch.stack([torch.zeros_like(theta), theta], -1).expand(*action.shape, 2)
    loss = policy_gradient(Categorical(logits).log_prob(action), credit)
    return -torch.autograd.grad(loss.sum(), theta)[0]

"""Rewards that a learner gives itself for what it has not seen before, and their returns, which no episode's end cuts.

Tensors are ``[T, N]`` where time counts, as in ``clipper.functional.returns``, and ``[*batch]`` elsewhere.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clipper.functional.returns import linear_recurrence


def squared_error(prediction: Float[Tensor, "*batch F"], target: Float[Tensor, "*batch F"]) -> Float[Tensor, "*batch"]:
    """‖f̂(s) − f(s)‖², the error of a distilled random network: reward and loss alike (Burda et al. 2018,
    arXiv:1810.12894, section 2.2); half of it is ICM's L_F, of features (Pathak et al. 2017, arXiv:1705.05363, eq 5);
    of a state's change, ‖δ̃ − δ‖², it is what HyAR's codes are held to (Li et al. 2022, arXiv:2109.05490, eq 5).
    """
    return (prediction - target).square().sum(-1)


def curiosity_loss(
    inverse: Float[Tensor, "*batch"], forward: Float[Tensor, "*batch"], beta: float
) -> Float[Tensor, "*batch"]:
    """(1 − β) L_I + β L_F, what ICM's module minimises (Pathak et al. 2017, arXiv:1705.05363, eq 7, without its first
    term, the policy's own): L_I is −log p(a | φ(s), φ(s′)), L_F = ½ ‖φ̂(s′) − φ(s′)‖².
    """
    return (1 - beta) * inverse + beta * forward


def count_bonus(count: Int[Tensor, "*batch"], beta: float) -> Float[Tensor, "*batch"]:
    """β / √n, for a state whose code has been met n ≥ 1 times (Tang et al. 2017, arXiv:1611.04717, eq 1)."""
    return beta * count.to(torch.float32).rsqrt()


def simhash(features: Float[Tensor, "*batch F"], directions: Float[Tensor, "F k"]) -> Int[Tensor, "*batch"]:
    """Σᵢ 2ⁱ [xᵀAᵢ > 0], a code of k bits, the same for vectors x whose angle is small (SimHash, Charikar 2002,
    doi:10.1145/509907.509965; for states, Tang et al. 2017, arXiv:1611.04717).
    """
    bits = (features @ directions > 0).long()
    return (bits << torch.arange(directions.shape[1], device=bits.device)).sum(-1)


def gae_across_episodes(
    reward: Float[Tensor, "T N"], value: Float[Tensor, "T+1 N"], mask: Bool[Tensor, "T N"], gamma: float, lam: float,
) -> Float[Tensor, "T N"]:  # fmt: skip
    """Generalised advantage estimate of a return that goes on where an episode ends (Burda et al. 2018,
    arXiv:1810.12894, section 2.3): the end of a game is then no loss of what there is still to find.

    δₜ = rₜ + γ V(s₊) − V(sₜ)
    Âₜ = δₜ + γλ Â₊

    where + is the next decision, of the next episode too: a row that is no decision hands V and Â on. The row after the
    segment has V of the last observation, also where that ended an episode, since nothing is known of the next one. So
    has a decision after which its agent is out for more rows than the one that a new episode takes.
    Times are as in ``gae``; rows that are no decision get 0.
    """
    between = (~mask).to(value.dtype)
    known = torch.cat([value[:-1].masked_fill(~mask, 0), value[-1:]])
    following = linear_recurrence(known, torch.cat([between, torch.zeros_like(between[:1])]))[1:]
    last = mask & (mask.flip(0).cumsum(0).flip(0) == 1)
    last[-2:] = False
    following = torch.where(last, value[1:], following)
    delta = (reward + gamma * following - value[:-1]).masked_fill(~mask, 0)
    carried = torch.ones_like(delta).masked_fill(mask, gamma * lam)
    return linear_recurrence(delta, carried).masked_fill(~mask, 0)

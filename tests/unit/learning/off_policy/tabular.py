"""A random MDP whose every state and action is known, and its (soft) optimal values by iteration of whole tables."""

from dataclasses import dataclass

import torch
from gymnasium.spaces import Discrete
from torch import Generator, Tensor

from clipper.learning.replay import Transitions
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.make_policy import make_policy
from clipper.networks.policy_options import PolicyOptions


@dataclass(frozen=True)
class Tables:
    """Where each action leads for certain, what it pays, where it ends, and what is legal."""

    after: Tensor
    reward: Tensor
    terminal: Tensor
    legal: Tensor
    gamma: float = 0.8

    @property
    def states(self) -> int:
        return len(self.after)

    @property
    def actions(self) -> int:
        return self.after.shape[1]


def drawn() -> Tables:
    g = Generator().manual_seed(4)
    shape = 5, 3
    legal = torch.rand(shape, generator=g) < 0.6
    legal[:, 1] = True
    return Tables(
        torch.randint(5, shape, generator=g), torch.randn(shape, generator=g).double(),
        torch.rand(shape, generator=g) < 0.2, legal,
    )  # fmt: skip


MDP = drawn()


def bellman(masked: bool, alpha: float) -> Tensor:
    """Q* ``[S, K]`` of rewards, and of α times the entropy where α > 0: V = α log Σ_legal exp(Q/α)."""
    q = torch.zeros(MDP.states, MDP.actions, dtype=torch.float64)
    for _ in range(400):
        value = []
        for s in range(MDP.states):
            there = torch.stack([q[s, k] for k in range(MDP.actions) if MDP.legal[s, k] or not masked])
            value.append(alpha * (there / alpha).logsumexp(0) if alpha else there.max())
        v = torch.stack(value)
        q = MDP.reward + MDP.gamma * torch.where(MDP.terminal, 0, v[MDP.after])
    return q


def tabular_policy(options: PolicyOptions) -> ActorCritic:
    """One weight for each state and action."""
    policy = make_policy(Discrete(MDP.states), Discrete(MDP.actions), options, Generator().manual_seed(0))
    return policy.double()


def every_pair(masked: bool) -> Transitions:
    """Each state and action once; what is illegal too, since a table's entries know nothing of each other."""
    state, action = (
        x.flatten() for x in torch.meshgrid(torch.arange(MDP.states), torch.arange(MDP.actions), indexing="ij")
    )
    after = MDP.after[state, action]
    discount = torch.where(MDP.terminal[state, action], 0.0, MDP.gamma).double()
    masks = (MDP.legal[state], MDP.legal[after]) if masked else ((), ())
    return Transitions(state, action, MDP.reward[state, action], discount, after, *masks)

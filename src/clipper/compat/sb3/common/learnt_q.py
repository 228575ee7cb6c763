"""Actors, critics and Q networks of Stable-Baselines3's kind as Clipper's off-policy algorithms take them."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clipper.compat.sb3.common.clipper_policy import clippers
from clipper.data.tree_type import Tree
from clipper.learning.replay import Transitions
from clipper.networks.critics import CriticOutput


class Greedy(NamedTuple):
    """What a policy without a distribution says: its action, or Q of each."""

    mode: Tree = ()
    logits: Tree = ()


class LearntActor(nn.Module):
    """An actor with a distribution: SAC's."""

    def __init__(self, own: nn.Module) -> None:
        super().__init__()
        self.own: Tree = own

    def act(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple[Tree, Tree]:
        found = self.own.told(obs)
        return clippers(found, found.distribution.mean.shape[:1]), memory


class LearntPoint(LearntActor):
    """An actor that says one action: TD3's."""

    def act(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple[Tree, Tree]:
        return Greedy(mode=self.own(obs)), memory


class LearntQ(LearntActor):
    """Q of each action, as logits: DQN's."""

    def act(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple[Tree, Tree]:
        return Greedy(logits=self.own(obs)), memory


class LearntCritics(nn.Module):
    """Q networks of observations and actions."""

    def __init__(self, own: nn.Module) -> None:
        super().__init__()
        self.own = own

    def forward(self, obs: Tree, action: Float[Tensor, "B A"]) -> Float[Tensor, "M B"]:
        return torch.stack([q.squeeze(-1) for q in self.own(obs, action)])


def smooth_l1(
    value: CriticOutput, target: Float[Tensor, "*batch"], old: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch"]:
    """½ x² up to |x| = 1, |x| − ½ beyond."""
    return nn.functional.smooth_l1_loss(value.mean, target, reduction="none")


def transitions(data: Tree, gamma: float, chosen: bool) -> Transitions:
    """What a buffer gave, as an algorithm reads it; ``chosen`` actions are numbers of choices."""
    discount = gamma if data.discounts is None else data.discounts.squeeze(-1)
    action = data.actions.long().squeeze(-1) if chosen else data.actions.float()
    going = (1 - data.dones).squeeze(-1)
    return Transitions(data.observations, action, data.rewards.squeeze(-1), discount * going, data.next_observations)

"""Algorithms whose advantages GAE estimates: the settings that they share, and their targets."""

import torch
from torch import nn

from clipper.data.steps import Steps, Targets
from clipper.data.trees import Tree
from clipper.data.values import Count, Fraction, value
from clipper.functional.returns import gae
from clipper.learning.advantages import Advantages, Standardised, recorded
from clipper.learning.critic_targets import CriticTarget, lag_of
from clipper.learning.learner import Learner
from clipper.learning.optimizers import Optimizer
from clipper.learning.rewards import Raw, Rewards
from clipper.learning.two_steps import targets_then_improve


@torch.no_grad()
def gae_targets(own: "ByGAE", learner: Learner, steps: Steps, last_obs: Tree, again: bool = False) -> Targets:
    """Â by GAE (arXiv:1506.02438, eq 16), and what the critic is fitted to: a ``critic_target``, or Â + V(sₜ)."""
    seen, judged = recorded(learner, steps, last_obs, own.gamma, again)
    advantage = gae(*seen, own.lam)
    returns = advantage + seen.value[:-1] if own.critic_target is None else own.critic_target(*judged)
    return own.advantages.of_batch(Targets(steps, advantage, returns, seen.value[:-1]), learner.world)


def gae_learner(own: "ByGAE", policy: nn.Module, optimizer: Optimizer, seed: int, separate: bool = False) -> Learner:
    """A learner with the scaler of its rewards and the lagged critic of its target, where there are such."""
    scaler, lag = own.rewards.scaler(), lag_of(own.critic_target)
    return Learner(policy, seed=seed, optimizer=optimizer, reward_scaler=scaler, lag=lag, separate=separate)


@value(kw_only=True)
class ByGAE:
    """The settings that they share; each class adds those of its paper."""

    gamma: Fraction = 0.99
    """γ, the discount."""
    lam: Fraction = 0.95
    """λ of the generalised advantage estimate: 0 trusts the critic, 1 the returns."""
    horizon: Count = 128
    """T, rows collected per environment and iteration."""
    advantages: Advantages = Standardised("batch")
    """Advantages in standard units, standardised(over,correction), or as they are (raw)."""
    critic_target: CriticTarget = None
    """What the critic is fitted to: monte_carlo, td0, nstep(n), tdlambda(λ), or none: Â + V(sₜ)."""
    rewards: Rewards = Raw()
    """Rewards as they are (raw), scaled(bound) or normalised(bound)."""

    def targets(self, learner: Learner, steps: Steps, last_obs: Tree, again: bool = False) -> Targets:
        """Â by GAE, and what the critic is fitted to."""
        return gae_targets(self, learner, steps, last_obs, again)

    update = targets_then_improve

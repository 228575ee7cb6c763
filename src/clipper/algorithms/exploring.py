"""An algorithm that holds an algorithm: what it learns from is the rewards, and a bonus for what is new.

The two values are those of random network distillation (Burda et al. 2018, arXiv:1810.12894, section 2.3).
"""

from dataclasses import KW_ONLY
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from torch import nn

from clipper.algorithms.a2c import A2C
from clipper.algorithms.npg import NPG
from clipper.algorithms.ppo import PPO
from clipper.algorithms.ppo_penalty import PPOPenalty
from clipper.algorithms.ppo_separate import PPOSeparate
from clipper.algorithms.trpo import TRPO
from clipper.algorithms.vpg import VPG
from clipper.data.steps import Steps, Targets
from clipper.data.trees import Tree
from clipper.data.values import Count, Elsewhere, Fraction, Natural, NonNegative, Passes, value
from clipper.errors import ConfigError
from clipper.learning.advantages import Advantages
from clipper.learning.bonuses import RND, Bonus
from clipper.learning.intrinsic import Judged, add_bonus, judge, learn, primes
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics
from clipper.learning.optimizers import Optimizer
from clipper.learning.schedules import Rate, Schedule, at
from clipper.learning.two_steps import Again, TwoSteps


@runtime_checkable
class OwnHeld(Protocol):
    """An algorithm of your own in two steps (``clipper.learning.two_steps``), with these settings of ``ByGAE``'s."""

    lam: float
    horizon: int
    advantages: Advantages
    optimizer: Optimizer
    max_grad_norm: float

    def init(self, policy: nn.Module, seed: int = 0) -> Learner: ...

    def targets(self, learner: Learner, steps: Steps, last_obs: Tree, again: bool = False) -> Targets: ...

    def improve(self, learner: Learner, targets: Targets, again: Again = None) -> Metrics: ...

    def update(self, learner: Learner, steps: Steps, last_obs: Tree) -> Metrics: ...


Held: TypeAlias = PPO | PPOSeparate | PPOPenalty | VPG | A2C | NPG | TRPO | OwnHeld
"""Whose advantages may be added to: those of GAE."""


HELD_SETTINGS = ("lam", "horizon", "advantages", "optimizer", "max_grad_norm")
"""What is read of the held algorithm."""


@value
class Exploring:
    """The held algorithm learns from c_E Â_E + c_I Â_I, then the bonus from where its actions led.

    Nothing of the held algorithm changes: its targets are others. The bonus's networks and V_I are a part of the
    learner, ``"bonus"``, with an optimizer of the held one's kind.
    """

    algorithm: Held = PPO()
    """Who learns to act: ppo, ppo-separate, ppo-penalty, vpg, a2c, npg or trpo, with all of its settings."""
    bonus: Bonus = RND()
    """r_I: rnd(features,hidden,deeper,share,bound), icm(β,η,features,hidden,detach_forward,bound) or
    counts(β,bits,bound)."""
    _: KW_ONLY
    intrinsic_coef: Schedule = 0.5
    """c_I, weight of the bonus's advantage, or of the bonus where there is one value. RND's paper has 2 and 1, whose
    ratio alone counts where advantages are standardised."""
    extrinsic_coef: NonNegative = 1.0
    """c_E, weight of the rewards' advantage, or of the rewards; 0 learns from the bonus alone."""
    intrinsic_gamma: Fraction = 0.99
    """γ_I, discount of the bonus."""
    two_values: bool = True
    """V_I beside V, each with its discount; off: one value of the weighted sum of rewards and bonus."""
    episodic: bool = False
    """End the bonus's return where an episode ends, as the rewards'; off: it goes on in the next one."""
    scale_bonus: bool = True
    """Divide the bonus by the running standard deviation of its discounted sum."""
    prime: Natural = 2_000
    """Decisions with which the bonus's statistics begin, in which nothing is learned."""
    bonus_epochs: Passes = 4
    """Passes of the bonus's networks over the collected decisions."""
    bonus_minibatches: Count = 4
    """Parts into which each of these passes is shuffled."""
    bonus_learning_rate: Rate = 1e-3
    """The optimizer's step size for the bonus's networks."""

    def __post_init__(self) -> None:
        lacking = [name for name in HELD_SETTINGS if not hasattr(self.algorithm, name)]
        if lacking and not isinstance(self.algorithm, Elsewhere):
            raise ConfigError(
                f"Exploring: {type(self.algorithm).__name__} lacks {', '.join(lacking)}: add what GAE's algorithms "
                "have (clipper.learning.by_gae)"
            )

    @property
    def horizon(self) -> int:
        """Rows collected per environment and iteration: the held algorithm's."""
        return self.algorithm.horizon

    def init(self, policy: nn.Module, seed: int = 0) -> Learner:
        learner = self.algorithm.init(policy, seed=seed)
        add_bonus(learner, self.bonus, self.two_values, self.algorithm.optimizer, seed)
        return learner

    def update(self, learner: Learner, steps: Steps, last_obs: Tree, held: TwoSteps | None = None) -> Metrics:
        """The held algorithm's improvement towards targets of both kinds, then the bonus's own steps.

        ``held`` computes the held algorithm's two steps in its place.
        """
        if not learner.world.agree(steps.mask.any()):
            return learner.pass_over(steps)
        if primes(learner, steps, last_obs, self.prime):
            return {}
        judged = judge(
            learner, steps, last_obs, self.intrinsic_gamma, self.algorithm.lam, self.scale_bonus, self.episodic
        )
        by = self.algorithm if held is None else held
        targets = self.targets(learner, steps, last_obs, judged, by)
        metrics = by.improve(learner, targets, lambda: self.targets(learner, steps, last_obs, judged, by, again=True))
        return metrics | self.learn(learner, steps, last_obs, judged)

    @torch.no_grad()
    def targets(
        self, learner: Learner, steps: Steps, last_obs: Tree, judged: Judged, by: TwoSteps, again: bool = False
    ) -> Targets:
        """The held algorithm's: of c_E r + c_I r_I where there is one value, otherwise with c_E Â_E + c_I Â_I for Â."""
        extrinsic, intrinsic = self.extrinsic_coef, at(self.intrinsic_coef, learner.progress)
        if not self.two_values:
            paid = steps._replace(reward=extrinsic * steps.reward + intrinsic * judged.reward)
            return by.targets(learner, paid, last_obs, again)._replace(steps=steps)
        made = by.targets(learner, steps, last_obs, again)
        (advantage,) = made.raw or (made.advantage,)  # in its own units
        both = made._replace(advantage=extrinsic * advantage + intrinsic * judged.advantage, raw=())
        return self.algorithm.advantages.of_batch(both, learner.world)

    def learn(self, learner: Learner, steps: Steps, last_obs: Tree, judged: Judged) -> Metrics:
        """The bonus's own steps, and V_I's; what to watch of them."""
        return learn(
            learner, steps, last_obs, judged, epochs=self.bonus_epochs, minibatches=self.bonus_minibatches,
            learning_rate=at(self.bonus_learning_rate, learner.progress), max_grad_norm=self.algorithm.max_grad_norm,
        )  # fmt: skip

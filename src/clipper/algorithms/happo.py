"""Heterogeneous-agent PPO: agents improve one after another (HAPPO; Kuba et al. 2022, arXiv:2109.11251)."""

import dataclasses
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from clipper.data.steps import Steps, Targets
from clipper.data.trees import Tree
from clipper.data.values import value
from clipper.errors import ConfigError
from clipper.functional.importance import importance_weight
from clipper.functional.objectives import clip
from clipper.learning.action_parts import compare
from clipper.learning.advantages import Standardised
from clipper.learning.by_epochs import ByEpochs
from clipper.learning.gradient_step import backward, step
from clipper.learning.kl import Sampled
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics, clip_metrics, summarise
from clipper.learning.minibatches import minibatches
from clipper.learning.of_agents import columns_of, members_of, over_groups
from clipper.learning.schedules import Distance, at
from clipper.networks.policy_options import PolicyOptions


@value(kw_only=True)
class HAPPO(ByEpochs):
    """PPO of each agent in turn, in a random order, with M = (Π over earlier agents π_new/π_old) Â in the place of Â.

    It is for teams: agents that get one reward (``team_reward=True``) and share no parameters. Each has a critic of its
    own, where the paper has one of the state: with ``state=True`` and one reward all of them estimate the same.
    """

    learns_apart: ClassVar[bool] = True

    clip: Distance = 0.2
    """ε, how far the ratio π/π_old may help the surrogate."""

    def __post_init__(self) -> None:
        if isinstance(self.advantages, Standardised) and self.advantages.over == "minibatch":
            raise ConfigError(
                "HAPPO weighs advantages that are in standard units already: standardise over batch or trajectories"
            )

    def policy_options(self, options: PolicyOptions | None) -> PolicyOptions:
        """The network that was asked for; unless groups are named, no agents share parameters."""
        own = PolicyOptions() if options is None else options
        return own if own.agents != "shared" else dataclasses.replace(own, agents="separate")

    def update(self, learner: Learner, steps: Steps, last_obs: Tree) -> Metrics:
        """Â of all agents under π_old; then they improve by turns, each after what the earlier ones have changed."""
        if not learner.world.agree(steps.mask.any()):
            return learner.pass_over(steps)
        members, columns, agents = members_of(learner, steps)
        parts = [columns_of(steps, last_obs, own) for own in columns]
        made = dict[int, Targets]()
        for i, (member, (own, last)) in enumerate(zip(members, parts, strict=True)):
            if own.mask.any():
                made[i] = self.targets(member, own, last)
            else:
                member.pass_over(own)
        order = torch.randperm(len(members), generator=learner.generator).tolist() if len(members) > 1 else [0]
        log_weight, watched = torch.zeros_like(steps.reward[:, ::agents]), list[Metrics]()
        turns = [i for i in order if i in made]
        for i in turns:
            member, targets, team = members[i], made[i], columns[i] // agents
            weight = importance_weight(log_weight[:, team])  # Π π_new/π_old of those before
            metrics = self.improve(member, targets._replace(advantage=weight * targets.advantage))
            if i != turns[-1]:
                log_weight = after_agent(log_weight, log_ratio(member, targets.steps), team)
            member.absorb(targets)
            watched.append(metrics | {"happo/weight_max": weight.amax()})
        return over_groups(watched)

    def improve(self, learner: Learner, targets: Targets) -> Metrics:
        """One agent's K epochs of minibatches."""
        history = list[Metrics]()
        for batch in minibatches(targets, self.epochs, self.minibatches, learner.generator, learner.world):
            loss, metrics = self.loss(learner, batch)
            backward(learner, loss, metrics)
            metrics["loss/gradient_norm"] = step(learner, at(self.learning_rate, learner.progress), self.max_grad_norm)
            history.append(metrics)
        return summarise(history, targets, learner.world)

    def loss(self, learner: Learner, batch: Targets) -> tuple[Float[Tensor, ""], Metrics]:
        """−min(r M, clip(r) M) + c₁ (V − R)² − c₂ H, and what to watch."""
        steps, world, progress = batch.steps, learner.world, learner.progress
        dist, value = learner.policy(steps.obs, steps.memory, steps.action_mask)
        action, bound = compare(dist, batch, Sampled("k3")), at(self.clip, progress)
        surrogate = clip(action.whole.log_ratio, batch.advantage, bound, bound)
        value_error = self.value_loss(value, batch.value_target, batch.value)
        total = surrogate + self.value_coef * value_error - at(self.entropy_coef, progress) * action.whole.entropy
        rows = {"loss/policy": surrogate, "loss/value": value_error}
        return world.share(total, steps.mask), clip_metrics(rows, batch, action, bound, bound, world)


@torch.no_grad()
def log_ratio(learner: Learner, steps: Steps) -> Float[Tensor, "T n"]:
    """Log π_new/π_old of an agent's actions, 0 where it took none."""
    dist, _ = learner.policy.act(steps.obs, steps.memory, steps.action_mask)
    return (dist.log_prob(steps.action) - steps.log_prob).where(steps.mask, 0.0)


def after_agent(
    log_weight: Float[Tensor, "T E"], log_ratio: Float[Tensor, "T n"], team: Int[Tensor, " n"]
) -> Float[Tensor, "T E"]:
    """Log Π π_new/π_old of the agents that have improved, with one more group's; column i of n is of ``team[i]``."""
    return log_weight.index_add(1, team.to(log_weight.device), log_ratio)

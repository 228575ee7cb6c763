"""From recorded rewards to advantages and the critic's targets."""

from typing import Any, Protocol, runtime_checkable

import torch

from clipper.data.steps import Steps, Targets
from clipper.data.trees import Tree, each
from clipper.functional.returns import gae
from clipper.learning.critic_targets import CriticTarget, TDLambda
from clipper.learning.learner import Learner


@runtime_checkable
class Estimation(Protocol):
    """The fields of an algorithm that say what it makes of recorded rewards."""

    @property
    def gamma(self) -> float: ...
    @property
    def lam(self) -> float: ...
    @property
    def critic_target(self) -> CriticTarget: ...
    @property
    def standardise(self) -> bool | str: ...
    @property
    def correction(self) -> int: ...


@torch.no_grad()
def estimate_advantages(
    algorithm: Estimation, learner: Learner, steps: Steps, last_obs: Tree, again: bool = False
) -> Targets:
    """Â by GAE (arXiv:1506.02438, eq 16), in standard units where the batch decides them, and the critic's targets.

    Those are the algorithm's ``critic_target``, or Â + V(sₜ). Rewards are scaled where the learner does so. ``again``:
    with the policy as it is by now, for steps whose rewards this update has already taken into its statistics.
    """
    obs = each(lambda rows, last: torch.cat([rows, last[None]]), steps.obs, last_obs)
    memory = steps.memory and steps.memory.extended(steps.mask)
    value = learner.policy.value(obs, memory).mean
    reward = steps.reward
    scaler, lagged = learner.modules.get("reward_scaler"), learner.modules.get("lagged")
    if scaler is not None:
        reward = scaler(reward) if again else learner.scale_rewards(steps, algorithm.gamma)
    recorded = steps.terminated, steps.done, steps.mask, algorithm.gamma
    advantage = gae(reward, value, *recorded, algorithm.lam)
    value_target = advantage + value[:-1]
    if algorithm.critic_target is not None or lagged is not None:
        judge = value if lagged is None else learner.lagged_value(obs, memory, again)
        value_target = (algorithm.critic_target or TDLambda(algorithm.lam))(reward, judge, *recorded)
    targets = Targets(steps, advantage, value_target, value=value[:-1])
    if algorithm.standardise not in (True, "batch"):
        return targets
    scaled = learner.world.standardise(advantage, steps.mask, algorithm.correction)
    return targets._replace(advantage=scaled, raw=(advantage,))


@torch.no_grad()
def with_old(policy: Any, targets: Targets) -> Targets:
    """The targets with what π_old is in each state, as its ``params``, for losses with an exact KL(π_old ‖ π)."""
    shape = targets.steps.mask.shape  # what is the same in all states is repeated, so that minibatches can index it
    params = policy.act(targets.steps.obs, targets.steps.memory, targets.steps.action_mask)[0].params
    return targets._replace(old=each(lambda p: p if p.shape[:2] == shape else p.expand(*shape, *p.shape), params))

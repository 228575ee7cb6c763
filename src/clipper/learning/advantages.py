"""From recorded rewards to what estimators read, and advantages in standard units."""

from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clipper.data.steps import Steps, Targets
from clipper.data.trees import Tree, each
from clipper.data.values import value
from clipper.learning.learner import Learner
from clipper.learning.rewards import Raw
from clipper.learning.world import World


@value
class Standardised:
    """(Â − mean) / (standard deviation + 1e-8)."""

    over: Literal["minibatch", "batch", "trajectories"] = "minibatch"
    """The decisions of each minibatch, those of the whole batch, or trajectories, each of which counts once."""
    correction: Literal[0, 1] = 1
    """Bessel's correction of the standard deviation: 1 divides by n − 1 (torch), 0 by n (numpy, Spinning Up);
    trajectories are always divided by their number."""

    def of_batch(self, targets: Targets, world: World) -> Targets:
        """The targets, whose advantages are standardised where the batch decides their units."""
        steps, advantage = targets.steps, targets.advantage
        if self.over == "minibatch":
            return targets
        if self.over == "batch":
            scaled = world.standardise(advantage, steps.mask, self.correction)
        else:
            scaled = world.standardise_trajectories(advantage, steps.done, steps.mask)
        return targets._replace(advantage=scaled, raw=(advantage,))

    def of_minibatch(
        self, advantage: Float[Tensor, "*batch"], mask: Bool[Tensor, "*batch"], world: World
    ) -> Float[Tensor, "*batch"]:
        """A minibatch's advantages, standardised where it decides their units."""
        return world.standardise(advantage, mask, self.correction) if self.over == "minibatch" else advantage


Advantages: TypeAlias = Standardised | Raw


class Recorded(NamedTuple):
    """The first arguments of every estimator, in their order; ``gae(*recorded, lam)``."""

    reward: Float[Tensor, "T N"]
    """rₜ as the learner has it, which may scale it."""
    value: Float[Tensor, "T+1 N"]
    """V(s₀) … V(s_T), the last one after the last row."""
    terminated: Bool[Tensor, "T N"]
    done: Bool[Tensor, "T N"]
    mask: Bool[Tensor, "T N"]
    gamma: float


def recorded(
    learner: Learner, steps: Steps, last_obs: Tree, gamma: float, again: bool = False
) -> tuple[Recorded, Recorded]:
    """Steps as the learner judges them: with the critic's values, and with the lagged critic's where there is one.

    ``again``: a second time in one update, whose statistics of rewards already include these steps.
    """
    obs = each(lambda rows, last: torch.cat([rows, last[None]]), steps.obs, last_obs)
    memory = steps.memory and steps.memory.extended(steps.mask)
    value, reward = learner.policy.value(obs, memory).mean, steps.reward
    if "reward_scaler" in learner.modules:
        reward = learner.reward_scaler(reward) if again else learner.scale_rewards(steps, gamma)
    seen = Recorded(reward, value, steps.terminated, steps.done, steps.mask, gamma)
    if "lagged" not in learner.modules:
        return seen, seen
    return seen, seen._replace(value=learner.lagged_value(obs, memory, again))


@torch.no_grad()
def with_old(policy: Any, targets: Targets) -> Targets:
    """The targets with what π_old is in each state, as its ``params``, for losses with an exact KL(π_old ‖ π)."""
    shape = targets.steps.mask.shape  # what is the same in all states is repeated, so that minibatches can index it
    params = policy.act(targets.steps.obs, targets.steps.memory, targets.steps.action_mask)[0].params
    return targets._replace(old=each(lambda p: p if p.shape[:2] == shape else p.expand(*shape, *p.shape), params))

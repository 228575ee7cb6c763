"""What a learner keeps that rewards itself, and what it learns of that: the bonus, its scale, and V_I."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from clipper.data.steps import Steps
from clipper.data.trees import Tree, each
from clipper.errors import ConfigError
from clipper.functional.intrinsic import gae_across_episodes
from clipper.functional.returns import discounted_sum_so_far, gae
from clipper.learning.bonuses import Bonus
from clipper.learning.gradient_step import gradient_step
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics
from clipper.learning.optimizers import Optimizer
from clipper.learning.parts import make_part
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.normalise import RunningMoments
from clipper.networks.novelty import IntrinsicValue

BONUS, VALUE, SCALE = "bonus", "intrinsic_value", "intrinsic_scale"
"""Names of the learner's modules; the first is the part's, too."""
DRAWS, RETURN, PRIMED = "bonus_generator", "intrinsic_return", "primed"
"""Names of its numbers: the bonus's own generator, γ_I R of each environment, decisions that statistics began with."""


class Judged(NamedTuple):
    """What a segment's transitions are worth to a learner that rewards itself, ``[T, N]`` each."""

    reward: Float[Tensor, "T N"]
    """r_I as it is learned from."""
    raw: Float[Tensor, "T N"]
    """r_I before it was scaled."""
    advantage: Float[Tensor, "T N"]
    """Â_I; 0 where there is no V_I."""
    value_target: Float[Tensor, "T N"]
    """What V_I(sₜ) should be."""


def add_bonus(learner: Learner, bonus: Bonus, two_values: bool, optimizer: Optimizer, seed: int) -> None:
    """Let a learner reward itself: the bonus's networks, and V_I where there are two values, are one part of it.

    They draw from a generator of their own, so that the learner's permutations stay what they were. Raises
    ``ConfigError`` for a policy whose spaces nobody knows.
    """
    policy = learner.policy
    if not isinstance(policy, ActorCritic) or policy.options is None:
        raise ConfigError(
            "a bonus's networks are made as the policy was: give PolicyOptions, or a policy of clipper.make_policy"
        )
    generator, device = Generator().manual_seed(seed), learner.skipped.device
    learner.modules[BONUS] = bonus.module(policy, generator).to(device)
    learner.modules[SCALE] = RunningMoments(()).to(device)
    if two_values:
        learner.modules[VALUE] = IntrinsicValue(policy, generator).to(device)
    learning = [p for p in networks(learner).parameters() if p.requires_grad]
    if learning:
        learner.parts[BONUS] = make_part(learning, optimizer)
    learner.extra[PRIMED] = torch.zeros((), dtype=torch.int64)
    learner.extra[DRAWS] = generator.get_state()


def networks(learner: Learner) -> nn.ModuleList:
    """The bonus's, and V_I where there is one."""
    return nn.ModuleList([learner.modules[name] for name in (BONUS, VALUE) if name in learner.modules])


def with_last(steps: Steps, last_obs: Tree) -> Tree:
    """The observations of all rows, and of what came after the last one, ``[T+1, N, …]``."""
    return each(lambda rows, last: torch.cat([rows, last[None]]), steps.obs, last_obs)


def led_to(steps: Steps, last_obs: Tree) -> Tree:
    """The states ``[D, …]`` that decisions led to: after an episode's last decision, its last observation."""
    return each(lambda x: x[1:][steps.mask], with_last(steps, last_obs))


@torch.no_grad()
def primes(learner: Learner, steps: Steps, last_obs: Tree, decisions: int) -> bool:
    """Are this segment's states among the first, of which only the bonus's statistics are made?

    So rewards mean something from the first one on; the policy still acts as it was made, near enough at random.
    """
    if int(learner.extra[PRIMED]) >= decisions:
        return False
    learner.modules[BONUS].prime(led_to(steps, last_obs))
    learner.extra[PRIMED] += steps.mask.sum().to(learner.extra[PRIMED])
    return True


@torch.no_grad()
def judge(
    learner: Learner, steps: Steps, last_obs: Tree, gamma: float, lam: float, scaled: bool, episodic: bool
) -> Judged:
    """r_I of each transition, whose statistics include this segment, and Â_I where there is V_I."""
    bonus, obs = learner.modules[BONUS], with_last(steps, last_obs)
    bonus.absorb(each(lambda x: x[1:][steps.mask], obs))
    raw = bonus(steps.obs, steps.action, each(lambda x: x[1:], obs)).to(steps.reward).masked_fill(~steps.mask, 0)
    reward = scale(learner, steps, raw, gamma) if scaled else raw
    if VALUE not in learner.modules:
        return Judged(reward, raw, torch.zeros_like(reward), torch.zeros_like(reward))
    value = learner.modules[VALUE](obs).to(reward)
    if episodic:
        advantage = gae(reward, value, steps.terminated, steps.done, steps.mask, gamma, lam)
    else:
        advantage = gae_across_episodes(reward, value, steps.mask, gamma, lam)
    return Judged(reward, raw, advantage, advantage + value[:-1])


def scale(learner: Learner, steps: Steps, raw: Float[Tensor, "T N"], gamma: float) -> Float[Tensor, "T N"]:
    """r_I / σ, σ the running standard deviation of Rₜ = γ_I Rₜ₋₁ + r_I, which no episode's end begins anew."""
    carry = learner.extra.get(RETURN, torch.zeros_like(raw[0])).to(raw)
    if carry.shape != raw[0].shape:  # a run that goes on in another number of environments
        carry = torch.zeros_like(raw[0])
    returns, learner.extra[RETURN] = discounted_sum_so_far(raw, torch.zeros_like(steps.done), steps.mask, gamma, carry)
    moments = learner.modules[SCALE]
    moments.absorb(returns[steps.mask])
    return raw / (moments.variance + 1e-8).sqrt().to(raw)


def learn(
    learner: Learner, steps: Steps, last_obs: Tree, judged: Judged, *, epochs: int, minibatches: int,
    learning_rate: float, max_grad_norm: float,
) -> Metrics:  # fmt: skip
    """Steps down the bonus's loss plus V_I's mean squared error, over shuffled decisions; what to watch."""
    watched: Metrics = {"bonus/reward": judged.raw[steps.mask].mean(), "bonus/scaled": judged.reward[steps.mask].mean()}
    if BONUS not in learner.parts:
        return watched
    bonus, value, generator = learner.modules[BONUS], learner.modules.get(VALUE), Generator()
    generator.set_state(learner.extra[DRAWS])
    keep, history = steps.mask.flatten().nonzero().squeeze(-1), list[Tensor]()
    following = each(lambda x: x[1:], with_last(steps, last_obs))
    rows = each(lambda x: x.flatten(0, 1)[keep], (steps.obs, steps.action, following, judged.value_target))
    for _ in range(epochs):
        order = torch.randperm(len(keep), generator=generator).to(keep.device)
        for index in order.tensor_split(max(1, min(minibatches, len(keep)))):
            obs, action, next_obs, target = each(lambda x, index=index: x[index], rows)
            error = target.new_zeros(()) if value is None else (value(obs) - target).square().mean()
            novelty = bonus.loss(obs, action, next_obs).mean()
            gradient_step(learner, novelty + error, learning_rate, max_grad_norm, BONUS)
            history.append(torch.stack([novelty.detach(), error.detach()]))
    learner.extra[DRAWS] = generator.get_state()
    if value is not None:
        value.absorb(rows[0])
    losses = torch.stack(history).mean(0)
    return watched | {"loss/bonus": losses[0], "loss/intrinsic_value": losses[1]}

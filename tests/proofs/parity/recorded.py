"""A batch that any library can be given: what was observed, done and earned, with episodes that end in both ways."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from batches import ACTIONS, OBSERVATIONS, Kind
from torch import Generator, Tensor

from clipper import HeadOptions
from clipper.data.steps import Steps
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.make_policy import make_policy
from clipper.networks.policy_options import PolicyOptions
from clipper.rollout.edges import Last, with_last_observations

TOLERANCE = 1e-5
OPTIONS = PolicyOptions(head=HeadOptions(rescale_action=False))


class Recorded(NamedTuple):
    """``[T, N]`` decisions of an older policy; environments reset in the same step."""

    obs: Tensor
    """``[T+1, N, 3]``, the observation after the last decision included."""
    action: Tensor
    log_prob: Tensor
    reward: Tensor
    terminated: Tensor
    truncated: Tensor
    final_obs: Tensor
    """The last observation of an episode that ended here."""


@torch.no_grad()
def record(policy: ActorCritic, rows: int = 32, envs: int = 4, seed: int = 0, truncations: bool = True) -> Recorded:
    """Observations, rewards and ends that are noise. The policy has moved on since: ratios differ from 1."""
    generator = Generator().manual_seed(seed)
    obs = torch.randn(rows + 1, envs, 3, generator=generator)
    dist, _ = policy.act(obs[:-1])
    action = dist.sample(generator)
    log_prob = dist.log_prob(action) + 0.2 * torch.randn(rows, envs, generator=generator)
    ends = torch.rand(rows, envs, generator=generator)
    return Recorded(
        obs, action, log_prob, torch.randn(rows, envs, generator=generator), ends < 0.1,
        (ends > 0.9) & torch.tensor(truncations), torch.randn(rows, envs, 3, generator=generator),
    )  # fmt: skip


def steps_of(recorded: Recorded) -> tuple[Steps, Tensor]:
    """The same as Clipper's ``Steps`` and ``last_obs``."""
    terminated, truncated = recorded.terminated, recorded.truncated
    decisions = Steps(
        recorded.obs[:-1], recorded.action, recorded.log_prob, recorded.reward, terminated, terminated | truncated,
        torch.ones_like(terminated),
    )  # fmt: skip
    last = [
        Last(row, env, recorded.final_obs[row, env].numpy()) for row, env in (terminated | truncated).nonzero().tolist()
    ]
    return with_last_observations(decisions, last, recorded.obs[-1]), recorded.obs[-1]


def new_policy(kind: Kind, options: PolicyOptions = OPTIONS, seed: int = 0) -> ActorCritic:
    """A policy whose last layers are no longer near 0, as after some learning."""
    generator = Generator().manual_seed(seed)
    policy = make_policy(OBSERVATIONS, ACTIONS[kind], options, generator)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return policy


def assert_close(ours: Tensor, theirs: Tensor, name: str) -> None:
    """No number differs by more than the tolerance."""
    assert ours.numel() == theirs.numel(), name
    worst = float((ours.detach().flatten() - theirs.detach().flatten()).abs().max())
    assert worst <= TOLERANCE, f"{name} differs by {worst}"


def assert_same_parameters(policy: ActorCritic, theirs: Iterable[tuple[str, Tensor]], gradients: bool = True) -> None:
    """Equal parameters, and equal gradients of the last step; ``theirs`` are by our names."""
    for name, parameter in theirs:
        own = policy.get_parameter(name)
        assert_close(own, parameter, name)
        if gradients:
            assert own.grad is not None
            assert parameter.grad is not None
            assert_close(own.grad, parameter.grad, f"the gradient of {name}")

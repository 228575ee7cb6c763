"""What algorithms that learn from a replay have in common: networks to begin with, actions to explore, steps due."""

import copy
import dataclasses
import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from clipper.data.steps import Steps
from clipper.data.trees import Tree, each
from clipper.distributions import Sampler
from clipper.errors import ConfigError
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics
from clipper.learning.optimizers import Optimizer
from clipper.learning.parts import make_part
from clipper.learning.replay import Replay, Transitions
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.critics import Scalar
from clipper.networks.heads import (
    Deterministic,
    DeterministicHead,
    Gaussian,
    Learned,
    Scale,
    SquashedHead,
    TanhGaussian,
)
from clipper.networks.policy_options import PolicyOptions
from clipper.networks.protocol import mask_key_of
from clipper.networks.q_networks import make_q_networks

NETWORK = PolicyOptions(hidden=(256, 256), activation="relu", orthogonal=False, critic=None)
"""Two layers of 256 ReLUs for actor and critics, as in SAC's paper and in most code for TD3 and DDPG."""


def acting_with(options: PolicyOptions | None, distribution: Deterministic | TanhGaussian, std: Scale) -> PolicyOptions:
    """``options``, or the usual network, for a policy without V that acts with ``distribution`` and ``std``.

    What is at its default in ``PolicyOptions`` gives way; raises ``ConfigError`` for other choices that would.
    """
    options = options or NETWORK
    head, critic = options.head, options.critic
    if not isinstance(head.distribution, type(distribution) | Gaussian):
        has, needs = (type(x).__name__ for x in (head.distribution, distribution))
        raise ConfigError(f"this algorithm acts with {needs}, not {has}: leave out distribution")
    if critic not in (None, Scalar()):
        raise ConfigError(f"this algorithm learns Q, not V: leave out critic, which is {type(critic).__name__}")
    distribution = distribution if isinstance(head.distribution, Gaussian) else head.distribution
    std = std if isinstance(head.std, Learned) else head.std
    head = dataclasses.replace(head, distribution=distribution, std=std)
    return dataclasses.replace(options, critic=None, head=head)


class UniformFirst:
    """Acts uniformly over the Box in a learner's first decisions, then as its policy does.

    So the replay begins with actions of all kinds (Fujimoto et al. 2018, arXiv:1802.09477, section 6.1). The count is
    the learner's, up to the last update: a segment is all of one kind.
    """

    def __init__(self, policy: ActorCritic, counts: dict[str, Tensor], first: int) -> None:
        self.policy, self.counts, self.first = policy, counts, first
        self.mask_key, self.to_env = mask_key_of(policy), policy.to_env

    def act(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple[Sampler, Tree]:
        dist, memory = self.policy.act(obs, memory, action_mask)
        uniform = int(self.counts["decisions"]) < self.first
        return Uniform(dist.mode, bounded_head(self.policy)) if uniform else dist, memory


class Uniform:
    """The distribution of a ~ U(−1, 1)ᴬ, whose samples are such as the head's."""

    def __init__(self, like: Float[Tensor, "*batch A"], head: SquashedHead | DeterministicHead) -> None:
        self.like, self.head = like, head

    def sample(self, generator: Generator | None = None) -> Float[Tensor, "*batch A"]:
        x = torch.rand(self.like.shape, generator=generator, dtype=self.like.dtype, device=self.like.device)
        return self.head.unbounded(2 * x - 1)

    def log_prob(self, action: Float[Tensor, "*batch A"]) -> Float[Tensor, "*batch"]:
        """−A log 2."""
        return torch.full_like(action[..., 0], -math.log(2) * action.shape[-1])


def bounded_head(policy: ActorCritic) -> SquashedHead | DeterministicHead:
    """The head of a policy that acts within a finite Box."""
    head = policy.head
    assert isinstance(head, SquashedHead | DeterministicHead)
    return head


def make_learner(
    policy: nn.Module, kind: type[nn.Module], critics: int, optimizer: Optimizer, capacity: int, starts: int, seed: int
) -> Learner:
    """A learner of the policy, whose head is of that ``kind``, with Q networks, a copy of them that lags, and a replay.

    Raises ``ConfigError`` for a policy that acts otherwise.
    """
    if not isinstance(policy, ActorCritic) or policy.options is None:
        raise ConfigError(
            "Q networks are made as the policy was: give PolicyOptions, or a policy of clipper.make_policy"
        )
    if not isinstance(policy.head, kind):
        raise ConfigError(
            f"this algorithm acts on one Box of finite bounds, by a {kind.__name__}, and this policy on "
            f"{policy.action_space}, by a {type(policy.head).__name__}"
        )
    if policy.memory is not None:
        raise ConfigError("what is kept to be learned from again holds no memory: leave out memory")
    learner = Learner(policy, seed=seed, optimizer=optimizer)
    if learner.parameters.device.type != "cpu":
        raise ConfigError("the replay, and what is learned from it, are on the CPU: set device='cpu'")
    size = bounded_head(policy).box.size
    networks = make_q_networks(policy.encoder, size, policy.options, critics, learner.generator)
    networks = networks.to(learner.parameters.dtype)
    learner.modules["critics"], learner.modules["lagged_critics"] = networks, lagging(networks)
    learner.parts["critics"] = make_part(networks.parameters(), optimizer)
    learner.modules["replay"] = Replay(capacity)
    learner.extra |= {name: torch.zeros((), dtype=torch.int64) for name in ("decisions", "gradient_steps")}
    learner.behaviour = UniformFirst(policy, learner.extra, starts)
    return learner


def lagging(network: nn.Module) -> nn.Module:
    """A copy that no optimizer moves."""
    return copy.deepcopy(network).requires_grad_(False)


def keep(learner: Learner, steps: Steps, last_obs: Tree) -> None:
    """Into the replay, with actions as they were executed, within [−1, 1]; running statistics take them in, too."""
    policy, world = learner.policy, learner.world
    learner.modules["replay"].add(steps._replace(action=policy.head.bounded(steps.action)), last_obs)
    seen = world.gather(steps.mask)
    learner.extra["decisions"] += seen.sum()
    for encoder in {policy.encoder, learner.modules["critics"].encoder}:
        if encoder.normalises and seen.any():
            encoder.absorb(each(lambda x: world.gather(x[steps.mask]), steps.obs))


def batch_mean(learner: Learner, x: Float[Tensor, "*M B"]) -> Float[Tensor, "*M"]:
    """The mean over a batch, which is all processes' batches together where several learn from one."""
    return learner.world.mean(x, torch.ones(x.shape[-1], dtype=torch.bool))


def batches_due(learner: Learner, starts: int, ratio: float, size: int, gamma: float, n: int) -> Iterator[Transitions]:
    """A batch of ``size`` for each gradient step that is due: ``ratio`` for each decision beyond the first ``starts``.

    It does not matter how many environments took them. None is due before there are two rows: where actions are masked,
    the first one has no state after it whose mask is known.
    """
    replay, counts = learner.modules["replay"], learner.extra
    due = math.floor((int(counts["decisions"]) - starts) * ratio + 1e-9) - int(counts["gradient_steps"])
    for _ in range(due if replay.size > 1 else 0):
        counts["gradient_steps"] += 1
        yield replay.sample(size, learner.generator, gamma, n)


def averaged(history: list[Metrics]) -> Metrics:
    """The mean of each number over the gradient steps that gave it."""
    names = dict.fromkeys(name for metrics in history for name in metrics)
    return {name: torch.stack([x[name].detach() for x in history if name in x]).mean() for name in names}

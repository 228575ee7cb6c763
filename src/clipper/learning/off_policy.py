"""What algorithms that learn from a replay have in common: settings, networks, what is kept, and steps due."""

import copy
import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator

import gymnasium
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete, OneOf
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clipper.data.steps import Steps
from clipper.data.trees import Tree, each
from clipper.data.values import Bound, Count, Fraction, NonNegative, value
from clipper.errors import ConfigError
from clipper.functional.q_targets import inverted_gradient
from clipper.learning.critic_targets import Polyak
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics
from clipper.learning.optimizers import Adam, Optimizer
from clipper.learning.parts import make_part
from clipper.learning.replay import Replay, Transitions
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.critics import Scalar
from clipper.networks.heads import (
    BestHead,
    BestQ,
    CategoricalHead,
    Deterministic,
    DeterministicHead,
    Gaussian,
    Latent,
    LatentHead,
    Learned,
    OneOfHead,
    Scale,
    Scores,
    ScoresHead,
    SquashedHead,
    TanhGaussian,
)
from clipper.networks.policy_options import PolicyOptions
from clipper.networks.side_by_side import SideBySide


@value(kw_only=True)
class OffPolicy(ABC):
    """The settings of all algorithms that learn from a replay; each class adds those of its paper."""

    gamma: Fraction = 0.99
    """γ, the discount."""
    optimizer: Optimizer = Adam(1e-8)
    """adam(ε), rmsprop(α,ε) or rmsprop_tf(α,ε); this ε is torch's."""
    max_grad_norm: Bound = float("inf")
    """Bound on each gradient's Euclidean norm."""
    batch_size: Count = 256
    """Decisions of which a gradient step learns."""
    capacity: Count = 1_000_000
    """Decisions that the replay holds, the latest ones."""
    learning_starts: Count = 1_000
    """Decisions before the first gradient step, whose actions are uniform."""
    update_ratio: NonNegative = 1.0
    """Gradient steps for each further decision, however many environments there are."""
    n_step: Count = 1
    """Rewards before Q takes over in a target; those after the first are of older policies, which nothing corrects."""
    horizon: Count = 1
    """Rows collected per environment and iteration."""

    def update(self, learner: Learner, steps: Steps, last_obs: Tree) -> Metrics:
        """Keep what was collected, then take the gradient steps that are due; the mean of what each watched."""
        keep(learner, steps, last_obs)  # (sₜ, aₜ, rₜ, sₜ₊₁) into the replay
        return averaged([self.gradient_step(learner, batch) for batch in batches_due(learner, self)])

    @abstractmethod
    def gradient_step(self, learner: Learner, batch: Transitions) -> Metrics:
        """One step of each network, as the algorithm's paper has it; what to watch."""


NETWORK = PolicyOptions(hidden=(256, 256), activation="relu", orthogonal=False, critic=None)
"""Two layers of 256 ReLUs for actor and critics, as in SAC's paper and in most code for TD3 and DDPG."""

ARGUMENTS = PolicyOptions(hidden=(128,), activation="relu", orthogonal=False, critic=None)
"""One layer of 128 ReLUs for choices with arguments, as in MP-DQN's Platform (arXiv:1905.04388)."""


def without_value(options: PolicyOptions | None) -> PolicyOptions:
    """``options``, or the usual network, for a policy without V; raises ``ConfigError`` where a critic was chosen."""
    options = options or NETWORK
    if options.critic not in (None, Scalar()):
        raise ConfigError(f"this algorithm learns Q, not V: leave out critic, which is {type(options.critic).__name__}")
    return dataclasses.replace(options, critic=None)


def acting_with(options: PolicyOptions | None, distribution: Deterministic | TanhGaussian, std: Scale) -> PolicyOptions:
    """``options``, or the usual network, for a policy without V that acts with ``distribution`` and ``std``.

    What is at its default in ``PolicyOptions`` gives way; raises ``ConfigError`` for other choices that would.
    """
    options = without_value(options)
    head = options.head
    if not isinstance(head.distribution, type(distribution) | Gaussian):
        has, needs = (type(x).__name__ for x in (head.distribution, distribution))
        raise ConfigError(f"this algorithm acts with {needs}, not {has}: leave out distribution")
    distribution = distribution if isinstance(head.distribution, Gaussian) else head.distribution
    std = std if isinstance(head.std, Learned) else head.std
    head = dataclasses.replace(head, distribution=distribution, std=std)
    return dataclasses.replace(options, head=head)


def choosing_by_q(options: PolicyOptions | None, passes: bool) -> PolicyOptions:
    """The same for a policy that chooses by Q of each choice's arguments, which are a layer's numbers, clipped."""
    if options is not None and options.head.one_of not in (None, BestQ(passes)):
        raise ConfigError(f"this algorithm chooses by {BestQ(passes)}, not {options.head.one_of}: leave out one_of")
    options = acting_with(options or ARGUMENTS, Deterministic(0.1, squash=False), Learned())
    return dataclasses.replace(options, head=dataclasses.replace(options.head, one_of=BestQ(passes)))


def choosing_by_scores(options: PolicyOptions | None) -> PolicyOptions:
    """``options``, or the usual network, for a policy without V that gives scores of choices beside their arguments."""
    return with_choices(options, Scores(), "chooses by scores")


def encoding_actions(options: PolicyOptions | None) -> PolicyOptions:
    """``options``, or the usual network, for a policy without V that acts in a latent space of actions."""
    return with_choices(options, Latent(), "acts in a latent space")


def with_choices(options: PolicyOptions | None, usual: Scores | Latent, words: str) -> PolicyOptions:
    """The same with the ``usual`` head of choices, or another one of its kind that was asked for."""
    if options is not None and not isinstance(options.head.one_of, type(usual) | None):
        raise ConfigError(f"this algorithm {words}, not by {options.head.one_of}: leave out one_of")
    options = without_value(options)
    head = dataclasses.replace(options.head, one_of=options.head.one_of or usual)
    return dataclasses.replace(options, head=head)


SPACES: dict[type[nn.Module], str] = {
    SquashedHead: "one Box of finite bounds",
    DeterministicHead: "one Box of finite bounds",
    CategoricalHead: "one Discrete",
    OneOfHead: "a OneOf",
    BestHead: "a OneOf",
    ScoresHead: "a OneOf",
    LatentHead: "a OneOf",
}
"""What an algorithm acts on, by the head that it needs."""


def make_learner(policy: nn.Module, kind: type[nn.Module], optimizer: Optimizer, capacity: int, seed: int) -> Learner:
    """A learner of the policy, whose head is of that ``kind``, with a replay, and counts of what it has done.

    Raises ``ConfigError`` for a policy that acts otherwise.
    """
    if not isinstance(policy, ActorCritic) or policy.options is None:
        raise ConfigError(
            "Q networks are made as the policy was: give PolicyOptions, or a policy of clipper.make_policy"
        )
    if not isinstance(policy.head, kind):
        raise ConfigError(
            f"this algorithm acts on {SPACES[kind]}, by a {kind.__name__}, and this policy on {policy.action_space}, "
            f"by a {type(policy.head).__name__}: {advice(policy.action_space)}"
        )
    if policy.memory is not None:
        raise ConfigError("what is kept to be learned from again holds no memory: leave out memory")
    learner = Learner(policy, seed=seed, optimizer=optimizer)
    if learner.parameters.device.type != "cpu":
        raise ConfigError("the replay, and what is learned from it, are on the CPU: set device='cpu'")
    learner.modules["replay"] = Replay(capacity)
    learner.extra |= {name: torch.zeros((), dtype=torch.int64) for name in ("decisions", "gradient_steps")}
    return learner


def advice(space: gymnasium.Space | None) -> str:
    """Who learns from a replay in this action space, or what else would."""
    if isinstance(space, Box):
        return "SAC, TD3 and DDPG act on a Box of finite bounds, PPO on any"
    if isinstance(space, Discrete):
        return "DQN and DiscreteSAC act on a Discrete, or PPO"
    if isinstance(space, OneOf):
        return "HybridSAC, PDQN, MPDQN, PADDPG and HyAR act on a OneOf, or PPO"
    if isinstance(space, MultiDiscrete):
        number = math.prod(space.nvec.flatten().tolist())
        return f"make it one Discrete of its {number:,} combinations, or use PPO, which has a choice for each component"
    return "use PPO, which acts on every space"


def add_critics(learner: Learner, networks: SideBySide, optimizer: Optimizer) -> None:
    """Let Q networks learn beside the policy, and a copy of them lag behind."""
    networks = networks.to(learner.parameters.dtype)
    learner.modules["critics"] = networks
    learner.modules["lagged_critics"] = lagging(networks)
    learner.parts["critics"] = make_part(networks.parameters(), optimizer)


def q_apart(learner: Learner, optimizer: Optimizer) -> None:
    """Let Q within a policy, by which it chooses, be a part of the learner of its own, and the encoder with it."""
    policy, q = learner.policy, learner.policy.head.q
    own = [*policy.encoder.parameters(), *q.parameters()]
    rest = [p for p in policy.parameters() if all(p is not x for x in own)]
    learner.parts = {"": make_part(rest, optimizer), "critics": make_part(own, optimizer)}
    learner.modules["lagged"] = lagging(policy)


def follow(learner: Learner, tau: float, argument_tau: float) -> None:
    """Let the lagged copies of such a policy's Q and of its arguments' network go ``tau`` of the way to them."""
    lagged, policy = learner.modules["lagged"], learner.policy
    Polyak(tau)(lagged.encoder, policy.encoder, 0)
    Polyak(tau)(lagged.head.q, policy.head.q, 0)
    Polyak(argument_tau)(lagged.actor, policy.actor, 0)
    Polyak(argument_tau)(lagged.head.arguments, policy.head.arguments, 0)


def summed(q: Float[Tensor, "B K"], legal: Bool[Tensor, "B K"] | None) -> Float[Tensor, " B"]:
    """Σₖ Q(s, k) over the legal choices (Xiong et al. 2018, arXiv:1810.06394, eq 4.4)."""
    return (q if legal is None else q.masked_fill(~legal, 0)).sum(-1)


def ascent(q: Float[Tensor, " B"], arguments: list[Tensor]) -> Float[Tensor, " B"]:
    """Σ x ∇ₓ Q for each state, with the gradients inverted and held fixed, so that the mean's own gradient is theirs.

    ``arguments`` are ``[B, A]``, without bounds; Q's sees those of its own state only (Hausknecht & Stone 2016,
    arXiv:1511.04143, eq 11).
    """
    slopes = torch.autograd.grad(q.sum(), arguments)
    inverted = [inverted_gradient(slope, x.detach()) for slope, x in zip(slopes, arguments, strict=True)]
    return torch.stack([(slope * x).sum(-1) for slope, x in zip(inverted, arguments, strict=True)]).sum(0)


def lagging(network: nn.Module) -> nn.Module:
    """A copy that no optimizer moves."""
    return copy.deepcopy(network).requires_grad_(False)


def keep(learner: Learner, steps: Steps, last_obs: Tree) -> None:
    """Into the replay, with actions as they were executed, within [−1, 1]; running statistics take them in, too."""
    policy, world = learner.policy, learner.world
    learner.modules["replay"].add(steps._replace(action=policy.head.bounded(steps.action)), last_obs)
    learner.extra["decisions"] += world.gather(steps.mask).sum()
    absorb(learner, steps)


def absorb(learner: Learner, steps: Steps) -> None:
    """Observations of decisions into running statistics: all networks, lagging ones too, see them in the same units."""
    policy, world, modules = learner.policy, learner.world, learner.modules
    seen, critics = world.gather(steps.mask), modules.get("critics", learner.policy)
    for encoder in {policy.encoder, critics.encoder}:
        if encoder.normalises and seen.any():
            encoder.absorb(each(lambda x: world.gather(x[steps.mask]), steps.obs))
    for name, slow in modules.items():
        own = critics.encoder if name == "lagged_critics" else policy.encoder
        if name.startswith("lagged") and own.normalises:
            for mine, x in zip(slow.encoder.buffers(), own.buffers(), strict=True):
                mine.copy_(x)


def batch_mean(learner: Learner, x: Float[Tensor, "*M B"]) -> Float[Tensor, "*M"]:
    """The mean over a batch, which is all processes' batches together where several learn from one."""
    return learner.world.mean(x, torch.ones(x.shape[-1], dtype=torch.bool))


def legal_after(mask: Tree) -> Bool[Tensor, "B K"] | None:
    """Which of K choices are legal in s′, by ``next_mask``; None where all always are.

    Where nothing is, all count: an episode may be cut off in a state in which its environment lets nobody choose.
    """
    return mask | ~mask.any(-1, keepdim=True) if isinstance(mask, Tensor) else None


def batches_due(learner: Learner, own: OffPolicy) -> Iterator[Transitions]:
    """A batch for each gradient step that is due: ``update_ratio`` for each decision beyond ``learning_starts``.

    It does not matter how many environments took them. None is due before there are two rows: where actions are masked,
    the first one has no state after it whose mask is known.
    """
    replay = learner.modules["replay"]
    for _ in range(steps_due(learner, own)):
        learner.extra["gradient_steps"] += 1
        yield replay.sample(own.batch_size, learner.generator, own.gamma, own.n_step)


def steps_due(learner: Learner, own: OffPolicy) -> int:
    """How many gradient steps are due now; see ``batches_due``."""
    beyond = int(learner.extra["decisions"]) - own.learning_starts
    due = math.floor(beyond * own.update_ratio + 1e-9) - int(learner.extra["gradient_steps"])
    return due if learner.modules["replay"].size > 1 else 0


def averaged(history: list[Metrics]) -> Metrics:
    """The mean of each number over the gradient steps that gave it."""
    names = dict.fromkeys(name for metrics in history for name in metrics)
    return {name: torch.stack([x[name].detach() for x in history if name in x]).mean() for name in names}

"""How those who learn from a replay act to explore, as values and as actors in the policy's place."""

import math
from typing import Annotated, Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from clipper.data.trees import Tree, each, leaves
from clipper.data.values import Range, value
from clipper.distributions import Categorical, Distribution, OneOf, Sampler
from clipper.functional.q_targets import epsilon_greedy
from clipper.learning.learner import Learner
from clipper.learning.schedules import Annealed, Linear, OwnSchedule, at
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.heads import DeterministicHead, Head, OneOfHead, SquashedHead
from clipper.networks.heads.discrete import IMPOSSIBLE
from clipper.networks.heads.latent import LatentActions, UniformActions
from clipper.networks.protocol import mask_key_of

Epsilon: TypeAlias = (
    Annotated[float, Range(0, 1)]
    | Annotated[Linear, Range(0, 1)]
    | Annotated[Annealed, Range(0, 1)]
    | Annotated[OwnSchedule, Range(0, 1)]
)


@value
class EpsilonGreedy:
    """Any legal action with probability ε, otherwise the one of the highest Q (Mnih et al. 2015, algorithm 1)."""

    epsilon: Epsilon = Annealed(1.0, 0.05, 0.1)
    """ε: a number, or a schedule, as annealed(start,end,until)."""

    def __call__(
        self, q: Float[Tensor, "*batch K"], legal: Bool[Tensor, "*batch K"] | None, progress: float
    ) -> Categorical:
        return Categorical(epsilon_greedy(q, legal, at(self.epsilon, progress)).log().clamp(min=IMPOSSIBLE))


@runtime_checkable
class OwnExploration(Protocol):
    """A way of your own to explore by Q: a function will do."""

    def __call__(
        self, q: Float[Tensor, "*batch K"], legal: Bool[Tensor, "*batch K"] | None, progress: float
    ) -> Sampler:
        """The distribution of actions; ``legal`` is None where every action is, ``progress`` the run's in [0, 1]."""
        ...


Exploration: TypeAlias = EpsilonGreedy | OwnExploration


class ByQ:
    """Acts by a policy's Q as an ``exploration`` says, and in a learner's first decisions uniformly."""

    def __init__(self, learner: Learner, exploration: Exploration, first: int) -> None:
        self.learner, self.exploration, self.first = learner, exploration, first
        self.mask_key, self.to_env = mask_key_of(learner.policy), learner.policy.to_env

    def act(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple[Sampler, Tree]:
        dist, memory = self.learner.policy.act(obs, memory)
        legal = action_mask if isinstance(action_mask, Tensor) else None
        uniform = int(self.learner.extra["decisions"]) < self.first
        explore = EpsilonGreedy(1.0) if uniform else self.exploration
        return explore(dist.logits, legal, self.learner.progress), memory


class UniformOrPolicy:
    """Acts as ε-greedy does, with arguments (Xiong et al. 2018, arXiv:1810.06394, algorithm 1).

    With probability ε any legal choice with uniform arguments, ξ, else the policy's best one, about whose arguments it
    has its noise; in a learner's first decisions all are of ξ. ``uniform_over`` says what is uniform.
    """

    def __init__(self, learner: Learner, epsilon: Epsilon, first: int) -> None:
        self.learner, self.epsilon, self.first = learner, epsilon, first
        self.mask_key, self.to_env = mask_key_of(learner.policy), learner.policy.to_env

    def act(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple[Sampler, Tree]:
        dist, memory = self.learner.policy.act(obs, memory, action_mask)
        uniform = uniform_over(dist, self.learner.policy.head)
        if int(self.learner.extra["decisions"]) < self.first:
            return uniform, memory
        epsilon = at(self.epsilon, self.learner.progress)
        if not isinstance(dist, OneOf):
            return EitherOf(epsilon, uniform, dist), memory
        best = torch.nn.functional.one_hot(dist.choice.logits.argmax(-1), dist.choice.logits.shape[-1])
        greedy = OneOf(Categorical(best.to(dist.choice.logits).log().clamp(min=IMPOSSIBLE)), dist.branches)
        return EitherOf(epsilon, uniform, greedy), memory


class EitherOf:
    """A sample of ``first`` with probability ``p``, otherwise of ``second``, each state apart."""

    def __init__(self, p: float, first: Sampler, second: Sampler) -> None:
        self.p, self.first, self.second = p, first, second

    def sample(self, generator: Generator | None = None) -> Tree:
        first, second = self.first.sample(generator), self.second.sample(generator)
        some = leaves(first)[0]
        taken = torch.rand(len(some), generator=generator, device=some.device) < self.p
        return each(lambda x, y: torch.where(taken.view(-1, *(1,) * (x.ndim - 1)), x, y), first, second)

    def log_prob(self, action: Tree) -> Float[Tensor, " B"]:
        """Log (p π₁(a) + (1 − p) π₂(a))."""
        weighted = torch.tensor([self.p, 1 - self.p]).log()
        return torch.logaddexp(weighted[0] + self.first.log_prob(action), weighted[1] + self.second.log_prob(action))


class UniformFirst:
    """Acts uniformly in a learner's first decisions, then as its policy does.

    So the replay begins with actions of all kinds (Fujimoto et al. 2018, arXiv:1802.09477, section 6.1). The count is
    the learner's, up to the last update: a segment is all of one kind.
    """

    def __init__(self, policy: ActorCritic, counts: dict[str, Tensor], first: int) -> None:
        self.policy, self.counts, self.first = policy, counts, first
        self.mask_key, self.to_env = mask_key_of(policy), policy.to_env

    def act(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple[Sampler, Tree]:
        dist, memory = self.policy.act(obs, memory, action_mask)
        return uniform_over(dist, self.policy.head) if int(self.counts["decisions"]) < self.first else dist, memory


def uniform_over(dist: Distribution, head: Head) -> Distribution | Sampler:
    """Each legal choice as likely, and arguments uniform over their Box, in place of a policy's ``dist``."""
    if isinstance(dist, Categorical):
        return Categorical(torch.where(dist.logits > IMPOSSIBLE / 2, 0, dist.logits))
    if isinstance(dist, LatentActions):
        return UniformActions(dist)
    if isinstance(dist, OneOf):
        assert isinstance(head, OneOfHead)
        branches = zip(dist.branches, head.arguments.heads, strict=True)
        choice = uniform_over(dist.choice, head.choice)
        return OneOf(choice, tuple(uniform_over(branch, own) for branch, own in branches))  # pyright: ignore[reportArgumentType]
    assert isinstance(head, SquashedHead | DeterministicHead)
    return Uniform(dist.mode, head)


class Uniform:
    """The distribution of a ~ U(−1, 1)ᴬ, whose samples are such as the head's."""

    def __init__(self, like: Float[Tensor, "*batch A"], head: SquashedHead | DeterministicHead) -> None:
        self.like, self.head = like, head

    def sample(self, generator: Generator | None = None) -> Float[Tensor, "*batch A"]:
        x = torch.rand(self.like.shape, generator=generator, dtype=self.like.dtype, device=self.like.device)
        return self.head.unbounded(2 * x - 1)

    @property
    def mode(self) -> Float[Tensor, "*batch A"]:
        """The middle of the Box, which is as likely as all else."""
        return torch.zeros_like(self.like)

    def log_prob(self, action: Float[Tensor, "*batch A"]) -> Float[Tensor, "*batch"]:
        """−A log 2."""
        return torch.full_like(action[..., 0], -math.log(2) * action.shape[-1])

    def entropy(self) -> Float[Tensor, "*batch"]:
        """A log 2, of an action within [−1, 1]."""
        return -self.log_prob(self.like)

    def kl(self, other: "Uniform") -> Float[Tensor, "*batch"]:
        """0: there is one such distribution."""
        return torch.zeros_like(self.like[..., 0])

    @property
    def params(self) -> tuple[Tree, ...]:
        return self.like, self.head

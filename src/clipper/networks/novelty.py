"""Networks that say how new a state is: one distilled from a random one, a model of what an action does, a count."""

from typing import Protocol, runtime_checkable

import gymnasium
import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from clipper.data.trees import Tree, leaves
from clipper.functional.intrinsic import count_bonus, curiosity_loss, simhash, squared_error
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.encoders import Encoder, make_encoder
from clipper.networks.heads.encodings import encoding, told
from clipper.networks.heads.make_head import make_head
from clipper.networks.initialisation import OrthogonalLinear
from clipper.networks.make_policy import mlp
from clipper.networks.policy_options import PolicyOptions

ROOT_TWO = 2**0.5


@runtime_checkable
class Novelty(Protocol):
    """What a bonus keeps in the learner (an ``nn.Module``). Its reward is of the transition (s, a, s′)."""

    def prime(self, next_obs: Tree) -> None:
        """Take states ``[D, …]`` into the running statistics, before anything is rewarded."""
        ...

    def absorb(self, next_obs: Tree) -> None:
        """Take in the states ``[D, …]`` that a segment's decisions led to, once, before they are rewarded."""
        ...

    def __call__(self, obs: Tree, action: Tree, next_obs: Tree) -> Float[Tensor, "*batch"]:
        """r_I."""
        ...

    def loss(self, obs: Tree, action: Tree, next_obs: Tree) -> Float[Tensor, " rows"]:
        """What is minimised, in each row of a shuffled minibatch, or in a share of its rows."""
        ...


def space_of(policy: ActorCritic) -> gymnasium.Space:
    """What of an observation the critic sees."""
    return (policy.critic_encoder or policy.encoder).space


def normalising(policy: ActorCritic, bound: float) -> PolicyOptions:
    """How a bonus reads observations: as the policy does, but normalised, to ``bound`` standard deviations."""
    assert policy.options is not None
    return PolicyOptions(activation="relu", normalise_obs=True, clip_obs=bound, encoder=policy.options.encoder)


def features_of(
    inputs: int, hidden: tuple[int, ...], outputs: int, options: PolicyOptions, generator: Generator
) -> nn.Sequential:
    """Layers of these widths and a linear one after them, all orthogonal times √2."""
    last = OrthogonalLinear((inputs, *hidden)[-1], outputs, ROOT_TWO, generator)
    return nn.Sequential(*mlp(inputs, hidden, options, generator), last)


def absorb(encoder: Encoder, obs: Tree) -> None:
    """Take observations ``[D, …]`` into an encoder's statistics, where it has some."""
    if encoder.normalises:
        encoder.absorb(obs)


class Distillation(nn.Module):
    """f, random and fixed, and f̂, which learns to say the same (Burda et al. 2018, arXiv:1810.12894).

    f̂ has ``deeper`` layers more, so that it could.
    """

    def __init__(
        self, policy: ActorCritic, hidden: tuple[int, ...], features: int, deeper: int, bound: float, share: float,
        generator: Generator,
    ) -> None:  # fmt: skip
        super().__init__()
        options, space = normalising(policy, bound), space_of(policy)
        self.encoder = make_encoder(space, options, generator)
        own = any(True for _ in self.encoder.parameters())  # images and embeddings: each network has its own
        self.fixed_encoder = make_encoder(space, options, generator).requires_grad_(False) if own else None  # pyright: ignore[reportAttributeAccessIssue] (an Encoder is a module)
        inputs = self.encoder.features
        self.fixed = features_of(inputs, hidden, features, options, generator).requires_grad_(False)
        self.learning = features_of(inputs, hidden + (features,) * deeper, features, options, generator)
        self.share = share

    def prime(self, next_obs: Tree) -> None:
        absorb(self.encoder, next_obs)
        if self.fixed_encoder is not None:
            absorb(self.fixed_encoder, next_obs)

    def absorb(self, next_obs: Tree) -> None:
        self.prime(next_obs)

    def forward(self, obs: Tree, action: Tree, next_obs: Tree) -> Float[Tensor, "*batch"]:
        seen = self.encoder(next_obs)
        fixed = self.fixed(seen if self.fixed_encoder is None else self.fixed_encoder(next_obs))
        return squared_error(self.learning(seen), fixed)

    def loss(self, obs: Tree, action: Tree, next_obs: Tree) -> Float[Tensor, " rows"]:
        error = self(obs, action, next_obs)
        return error[: max(1, round(self.share * len(error)))]


class Curiosity(nn.Module):
    """Features φ from which the action can be inferred, and a model of what it makes of them (arXiv:1705.05363).

    The inverse model is a head for the policy's own actions: a choice's loss is the cross-entropy, a Box's that of a
    Gaussian.
    """

    def __init__(
        self, policy: ActorCritic, hidden: tuple[int, ...], features: int, beta: float, eta: float, detach: bool,
        bound: float, generator: Generator,
    ) -> None:  # fmt: skip
        super().__init__()
        assert policy.action_space is not None
        assert policy.options is not None
        options = normalising(policy, bound)
        self.encoder = make_encoder(space_of(policy), options, generator)
        self.features = features_of(self.encoder.features, hidden, features, options, generator)
        self.encoding = encoding(policy.action_space)
        width = hidden[-1] if hidden else features
        self.inverse = features_of(2 * features, hidden, width, options, generator)
        self.head = make_head(policy.action_space, width, policy.options.head, generator)
        self.model = features_of(features + self.encoding.size, hidden, features, options, generator)
        self.beta, self.eta, self.detach = beta, eta, detach

    def prime(self, next_obs: Tree) -> None:
        absorb(self.encoder, next_obs)

    def absorb(self, next_obs: Tree) -> None:
        self.prime(next_obs)

    def phi(self, obs: Tree) -> Float[Tensor, "*batch F"]:
        """φ(s)."""
        return self.features(self.encoder(obs))

    def error(
        self, before: Float[Tensor, "*batch F"], action: Tree, after: Float[Tensor, "*batch F"]
    ) -> Float[Tensor, "*batch"]:
        """‖φ̂(s′) − φ(s′)‖², φ̂(s′) = h(φ(s), a)."""
        return squared_error(self.model(torch.cat([before, told(self.encoding, action).to(before)], -1)), after)

    def forward(self, obs: Tree, action: Tree, next_obs: Tree) -> Float[Tensor, "*batch"]:
        return self.eta / 2 * self.error(self.phi(obs), action, self.phi(next_obs))

    def loss(self, obs: Tree, action: Tree, next_obs: Tree) -> Float[Tensor, " rows"]:
        before, after = self.phi(obs), self.phi(next_obs)
        inverse = -self.head(self.inverse(torch.cat([before, after], -1)).relu()).log_prob(action)
        if self.detach:
            before, after = before.detach(), after.detach()
        return curiosity_loss(inverse, 0.5 * self.error(before, action, after), self.beta)


class VisitCounts(nn.Module):
    """How often states of each code have been met, in a table of 2ᵏ numbers (Tang et al. 2017, arXiv:1611.04717).

    Codes are of normalised observations, whose statistics rest once rewards begin: a state keeps its code.
    """

    directions: Tensor
    counts: Tensor

    def __init__(self, policy: ActorCritic, beta: float, bits: int, bound: float, generator: Generator) -> None:
        super().__init__()
        self.encoder = make_encoder(space_of(policy), normalising(policy, bound), generator)
        for parameter in self.encoder.parameters():
            parameter.requires_grad_(False)
        self.register_buffer("directions", torch.randn(self.encoder.features, bits, generator=generator))
        self.register_buffer("counts", torch.zeros(2**bits, dtype=torch.int64))
        self.beta = beta

    def code(self, obs: Tree) -> Tensor:
        """The number of its place in the table."""
        return simhash(self.encoder(obs), self.directions)

    def prime(self, next_obs: Tree) -> None:
        absorb(self.encoder, next_obs)

    def absorb(self, next_obs: Tree) -> None:
        code = self.code(next_obs)
        self.counts.scatter_add_(0, code, torch.ones_like(code))

    def forward(self, obs: Tree, action: Tree, next_obs: Tree) -> Float[Tensor, "*batch"]:
        return count_bonus(self.counts[self.code(next_obs)].clamp(min=1), self.beta)

    def loss(self, obs: Tree, action: Tree, next_obs: Tree) -> Float[Tensor, " rows"]:
        return self.directions.new_zeros(len(leaves(next_obs)[0]))


class IntrinsicValue(nn.Module):
    """V_I(s): a network like the critic, for the return of what the learner gives itself."""

    def __init__(self, policy: ActorCritic, generator: Generator) -> None:
        super().__init__()
        options = policy.options
        assert options is not None
        widths = options.hidden if options.critic_hidden is None else options.critic_hidden
        self.encoder = make_encoder(space_of(policy), options, generator)
        inputs = self.encoder.features
        last = OrthogonalLinear((inputs, *widths)[-1], 1, options.value_gain, generator)
        self.layers = nn.Sequential(*mlp(inputs, widths, options, generator), last)

    def forward(self, obs: Tree) -> Float[Tensor, "*batch"]:
        return self.layers(self.encoder(obs)).squeeze(-1)

    def absorb(self, obs: Tree) -> None:
        """Take a batch of decisions' states into the running statistics."""
        absorb(self.encoder, obs)

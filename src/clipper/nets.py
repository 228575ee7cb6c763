"""Networks: encoders of observations, trunks, and the actor-critic that joins them to an action head."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import singledispatch
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import gymnasium
import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from clipper.action_layout import element
from clipper.data import Tree
from clipper.distributions import Distribution, Sampler
from clipper.errors import ConfigError, UnsupportedSpaceError
from clipper.heads import Head, HeadOptions
from clipper.initialisation import OrthogonalLinear, draw_uniform
from clipper.masks import action_masks
from clipper.normalise import ObservationNormaliser, ReturnNormaliser
from clipper.spaces import make_head

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "elu": nn.ELU, "silu": nn.SiLU}


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyOptions:
    """The actor-critic that is built when no policy of your own is given."""

    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers, of the actor and of the critic alike."""
    critic_hidden: tuple[int, ...] | None = None
    """Widths of the critic's layers where they differ from the actor's."""
    activation: Literal["tanh", "relu", "elu", "silu"] = "tanh"
    """The nonlinearity between layers."""
    shared: bool = False
    """One trunk for actor and critic instead of two."""
    orthogonal: bool = True
    """First weights orthogonal times the gains below, biases 0 ("37 details", core 2); off: as torch.nn.Linear's."""
    hidden_gain: float = 2**0.5
    """Gain of the hidden layers' orthogonal weights (√2; "37 details", core 2)."""
    value_gain: float = 1.0
    """Gain of the value layer's orthogonal weights."""
    normalise_obs: bool = False
    """Bring each observation component to mean 0 and standard deviation 1 by running statistics."""
    clip_obs: float = 10.0
    """Bound on normalised observations, in standard deviations."""
    normalise_returns: bool = False
    """The critic predicts returns in units of their running standard deviation."""
    head: HeadOptions = field(default_factory=HeadOptions)
    """How features become an action distribution."""

    def __post_init__(self) -> None:
        if self.shared and self.critic_hidden is not None:
            raise ConfigError("a shared trunk has one set of widths: leave out critic_hidden, or set shared=False")


class Value(NamedTuple):
    """A critic's answer."""

    mean: Float[Tensor, "*batch"]
    """V(s), in the units of the rewards."""
    scale: float | Float[Tensor, ""] = 1.0
    """The unit in which errors of V count: the returns' standard deviation where they are normalised."""


@runtime_checkable
class Actor(Protocol):
    """What ``collect`` asks of a policy; ``*batch`` is any leading shape."""

    def act(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple[Sampler, Tree]:
        """π(·|s) and the next memory; the critic does not run. Masks are given only where the environment has some."""
        ...

    def to_env(self, action: Tree, action_mask: Tree = ()) -> Any:
        """Sampled actions → what ``env.step`` takes (``clipper.spaces``)."""
        ...


@runtime_checkable
class Policy(Actor, Protocol):
    """What the algorithms ask of a policy (an ``nn.Module``)."""

    def act(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple[Distribution, Tree]:
        """π(·|s) and the next memory; the critic does not run."""
        ...

    def value(self, obs: Tree, memory: Tree = ()) -> Value:
        """V(s)."""
        ...

    def __call__(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple[Distribution, Value]:
        """π(·|s) and V(s), for a loss."""
        ...

    def actor_parameters(self) -> Iterable[nn.Parameter]:
        """What π depends on, for algorithms that move actor and critic apart."""
        ...

    def critic_parameters(self) -> Iterable[nn.Parameter]:
        """What V depends on."""
        ...

    def absorb(self, obs: Tree, returns: Float[Tensor, " batch"]) -> None:
        """Take a batch of decisions into the running statistics; nothing where there are none."""
        ...


@runtime_checkable
class Encoder(Protocol):
    """What ``make_encoder`` returns (an ``nn.Module``)."""

    shape: tuple[int, ...]
    """Of one observation."""
    features: int
    """Numbers per observation that come out."""
    normaliser: ObservationNormaliser | None

    def __call__(self, obs: Tree) -> Tensor:
        """Observations ``[*batch, *shape]`` → ``[*batch, features]``."""
        ...


@singledispatch
def make_encoder(space: gymnasium.Space, options: PolicyOptions) -> Encoder:
    """The encoder for an observation space; extend with ``make_encoder.register``.

    Raises ``UnsupportedSpaceError`` for spaces that have none.
    """
    raise UnsupportedSpaceError(
        f"no encoder for observations of {space}: Clipper reads Box observations so far; flatten yours with "
        "gymnasium.wrappers.FlattenObservation, or register an encoder with "
        f"clipper.nets.make_encoder.register({type(space).__name__})"
    )


@make_encoder.register
def _(space: gymnasium.spaces.Box, options: PolicyOptions) -> Encoder:
    return BoxEncoder(space.shape, options)


class BoxEncoder(nn.Module):
    """Flattens a Box, in the policy's own dtype, and normalises it where asked."""

    dtype_of: Tensor

    def __init__(self, shape: tuple[int, ...], options: PolicyOptions) -> None:
        super().__init__()
        self.shape, self.features = shape, int(np.prod(shape))
        self.normaliser = ObservationNormaliser((self.features,), options.clip_obs) if options.normalise_obs else None
        # Empty: follows ``policy.double()`` and tells which dtype the layers after this one read.
        self.register_buffer("dtype_of", torch.empty(0), persistent=False)

    def forward(self, obs: Tensor) -> Float[Tensor, "*batch F"]:
        flat = obs.reshape(*obs.shape[: obs.ndim - len(self.shape)], self.features).to(self.dtype_of.dtype)
        return flat if self.normaliser is None else self.normaliser(flat)


def mlp(inputs: int, hidden: tuple[int, ...], options: PolicyOptions, generator: Generator) -> nn.Sequential:
    """Linear layers of these widths, each followed by the activation."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [OrthogonalLinear(inputs, width, options.hidden_gain, generator), ACTIVATIONS[options.activation]()]
        inputs = width
    return nn.Sequential(*layers)


class ActorCritic(nn.Module):
    """Encoder → actor trunk → head, encoder → critic trunk → value. ``critic`` may be the same module as ``actor``."""

    encoder: Encoder
    head: Head

    def __init__(
        self, encoder: Encoder, actor: nn.Module, critic: nn.Module, head: Head, value_layer: nn.Module,
        returns: ReturnNormaliser | None = None, action_space: gymnasium.Space | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.encoder, self.actor, self.critic, self.head = encoder, actor, critic, head
        self.value_layer, self.returns, self.action_space = value_layer, returns, action_space
        self.to_env = head.to_env
        self.renew = getattr(head, "renew", None)
        """(memory, which environments begin an episode, generator) → memory for the next step; None without memory."""

    def act(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple[Distribution, Tree]:
        features = self.actor(self.encoder(obs))
        return self.head(features, *memory, action_mask=action_mask), memory

    def value(self, obs: Tree, memory: Tree = ()) -> Value:
        raw = self.value_layer(self.critic(self.encoder(obs))).squeeze(-1)
        return Value(raw) if self.returns is None else Value(self.returns(raw), self.returns.scale)

    def forward(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple[Distribution, Value]:
        encoded = self.encoder(obs)
        features = self.actor(encoded)
        critic_features = features if self.critic is self.actor else self.critic(encoded)
        raw = self.value_layer(critic_features).squeeze(-1)
        value = Value(raw) if self.returns is None else Value(self.returns(raw), self.returns.scale)
        return self.head(features, action_mask=action_mask), value

    def actor_parameters(self) -> list[nn.Parameter]:
        return self._parameters_of("encoder", "actor", "head")

    def critic_parameters(self) -> list[nn.Parameter]:
        return self._parameters_of("encoder", "critic", "value_layer")

    def _parameters_of(self, *modules: str) -> list[nn.Parameter]:
        return [p for name in modules for p in self.get_submodule(name).parameters()]

    def absorb(self, obs: Tree, returns: Float[Tensor, " batch"]) -> None:
        if self.encoder.normaliser is not None:
            self.encoder.normaliser.absorb(obs.reshape(len(obs), -1))
        if self.returns is not None:
            self.returns.absorb(returns)

    @torch.no_grad()
    def predict(
        self, obs: Any, deterministic: bool = True, generator: Generator | None = None, *, action_mask: Any = None
    ) -> Any:
        """Observation(s) as the environment gives them → action(s) as it takes them, numpy in and out.

        One observation of ``space.shape`` gives one action; a batch ``[B, *space.shape]`` gives B, laid out as
        ``clipper.spaces`` says. ``deterministic`` takes the mode instead of a sample. ``action_mask`` is one
        environment's, or for a batch a list of B of them (``clipper.masks``).
        """
        obs = np.asarray(obs)
        single = obs.ndim == len(self.encoder.shape)
        if obs.shape[obs.ndim - len(self.encoder.shape) :] != self.encoder.shape:
            raise ValueError(
                f"observation of shape {obs.shape}, but the policy reads {self.encoder.shape} or a batch of it"
            )
        device = next(self.parameters()).device
        obs = torch.as_tensor(obs[None] if single else obs, device=device)
        mask: Tree = ()
        if action_mask is not None and self.action_space is not None:
            given = [action_mask] if single else action_mask
            mask = action_masks(self.action_space, given, len(obs), np.ones(len(obs), dtype=bool), device)
        dist, _ = self.act(obs, action_mask=mask)
        action = self.to_env(dist.mode if deterministic else dist.sample(generator), mask)
        if not single:
            return action
        return action[0] if self.action_space is None else element(self.action_space, action, 0)


@torch.no_grad()
def start_means(head: Head, means: tuple[float, ...]) -> None:
    """Let the Gaussian parts of a head begin at ``means``, one number for each of their components; () leaves all."""
    # Told by the layer that they have, not by their class: an unrolled file holds only what its recipe runs.
    layers = [getattr(part, "mean", None) for part in head.modules()] if means else []  # pyright: ignore[reportAttributeAccessIssue]
    biases = [layer.bias for layer in layers if isinstance(layer, nn.Linear)]
    if means and len(means) != sum(len(bias) for bias in biases):
        raise ConfigError(f"initial_mean has {len(means)} numbers for {sum(map(len, biases))} Gaussian components")
    start = 0
    for bias in biases:
        bias.copy_(torch.tensor(means[start : start + len(bias)]))
        start += len(bias)


def make_policy(
    observation_space: gymnasium.Space, action_space: gymnasium.Space, options: PolicyOptions, generator: Generator
) -> ActorCritic:
    """The actor-critic for one environment's (unbatched) spaces, its first weights drawn from ``generator``."""
    encoder = make_encoder(observation_space, options)
    widths = options.hidden if options.critic_hidden is None else options.critic_hidden
    actor = mlp(encoder.features, options.hidden, options, generator)
    critic = actor if options.shared else mlp(encoder.features, widths, options, generator)
    head = make_head(action_space, (encoder.features, *options.hidden)[-1], options.head, generator)
    start_means(head, options.head.initial_mean)
    value_layer = OrthogonalLinear((encoder.features, *widths)[-1], 1, options.value_gain, generator)
    returns = ReturnNormaliser() if options.normalise_returns else None
    policy = ActorCritic(encoder, actor, critic, head, value_layer, returns, action_space)
    return policy if options.orthogonal else draw_uniform(policy, generator)

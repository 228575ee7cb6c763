"""Networks: trunks, and the actor-critic that joins them to an encoder of observations and an action head."""

import warnings
from collections.abc import Iterable
from functools import partial
from typing import Any, Protocol, runtime_checkable

import gymnasium
import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from clipper.critics import CriticOutput, Reader
from clipper.data.steps import Value
from clipper.data.trees import Tree, each
from clipper.distributions import Distribution, Sampler
from clipper.encoders import Encoder, make_encoder, seen_by
from clipper.errors import ConfigError
from clipper.networks.heads import Head
from clipper.networks.heads.make_head import make_head
from clipper.networks.initialisation import OrthogonalLinear, draw_uniform
from clipper.networks.memory import memory_of
from clipper.normalise import ReturnNormaliser
from clipper.policy_options import MASK_KEY, PolicyOptions
from clipper.spaces.action_masks import action_masks
from clipper.spaces.actions import element
from clipper.spaces.observations import observation_batch

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "elu": nn.ELU, "silu": nn.SiLU}


@runtime_checkable
class Actor(Protocol):
    """What ``collect`` asks of a policy; ``*batch`` is any leading shape."""

    def act(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple[Sampler, Tree]:
        """π(·|s) and the next memory; the critic does not run. Masks are given only where the environment has some."""
        ...

    def to_env(self, action: Tree, action_mask: Tree = ()) -> Any:
        """Sampled actions → what ``env.step`` takes (``clipper.networks.heads.make_head``)."""
        ...


@runtime_checkable
class Policy(Actor, Protocol):
    """What the algorithms ask of a policy (an ``nn.Module``)."""

    def act(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple[Distribution, Tree]:
        """π(·|s) and the next memory; the critic does not run."""
        ...

    def value(self, obs: Tree, memory: Tree = ()) -> CriticOutput:
        """V(s)."""
        ...

    def __call__(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple[Distribution, CriticOutput]:
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


def mlp(inputs: int, hidden: tuple[int, ...], options: PolicyOptions, generator: Generator) -> nn.Sequential:
    """Linear layers of these widths, each followed by the activation."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [OrthogonalLinear(inputs, width, options.hidden_gain, generator), ACTIVATIONS[options.activation]()]
        inputs = width
    return nn.Sequential(*layers)


class ActorCritic(nn.Module):
    """Encoder → actor trunk → head, encoder → critic trunk → value.

    ``critic`` may be the same module as ``actor``. It has an encoder of its own where that has weights, or where it
    sees more of the observation; else ``critic_encoder`` is None. ``mask_key`` is the observation's part that is the
    action mask.
    """

    encoder: Encoder
    critic_encoder: Encoder | None
    head: Head

    def __init__(
        self, encoder: Encoder, actor: nn.Module, critic: nn.Module, head: Head, value_layer: nn.Module,
        returns: Reader | None = None, action_space: gymnasium.Space | None = None, *,
        critic_encoder: Encoder | None = None, mask_key: str = MASK_KEY, memory: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.encoder, self.actor, self.critic, self.head = encoder, actor, critic, head
        self.critic_encoder, self.mask_key = critic_encoder, mask_key
        self.value_layer, self.returns, self.action_space = value_layer, returns, action_space
        self.to_env = head.to_env
        self.masked, self.warned = False, False
        """Whether it learned with action masks, and whether it was said that it now acts without (once)."""
        self.memory = memory
        """The actor's and the critic's ``Memories``, between their trunks and what reads these; None without one."""
        self.renew = getattr(head, "renew", None)
        """(memory, which environments begin an episode, generator) → memory for the next step; None without noise."""
        if memory is not None and self.renew is not None:
            self.renew = partial(memory.renew, self.renew)

    def act(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple[Distribution, Tree]:
        features, own = self.actor(self.encoder(obs)), memory
        if self.memory is not None:
            critic = self.critic_encoder or self.encoder
            features, memory, own = self.memory.advance(features, lambda: self.critic(critic(obs)), memory)
        return self.head(features, *own, action_mask=action_mask), memory

    def value(self, obs: Tree, memory: Tree = ()) -> CriticOutput:
        features = self.critic((self.critic_encoder or self.encoder)(obs))
        if self.memory is not None:
            features = self.memory.recall(features, memory, critic=True)
        raw = self.value_layer(features)
        return Value(raw.squeeze(-1)) if self.returns is None else self.returns.value(raw)

    def forward(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple[Distribution, CriticOutput]:
        encoded = self.encoder(obs)
        features = self.actor(encoded)
        if self.critic_encoder is not None:
            encoded = self.critic_encoder(obs)
        critic_features = features if self.critic is self.actor else self.critic(encoded)
        if self.memory is not None:
            features, critic_features = self.memory.recall_both(features, critic_features, memory)
        raw = self.value_layer(critic_features)
        value = Value(raw.squeeze(-1)) if self.returns is None else self.returns.value(raw)
        return self.head(features, action_mask=action_mask), value

    def actor_parameters(self) -> list[nn.Parameter]:
        return self._parameters_of("encoder", "actor", "head", *(["memory.actor"] if self.memory is not None else []))

    def critic_parameters(self) -> list[nn.Parameter]:
        own = ["memory.critic"] if self.memory is not None else []
        encoder = "critic_encoder" if self.critic_encoder else "encoder"
        return self._parameters_of(encoder, "critic", "value_layer", *own)

    def _parameters_of(self, *modules: str) -> list[nn.Parameter]:
        return [p for name in modules for p in self.get_submodule(name).parameters()]

    def absorb(self, obs: Tree, returns: Float[Tensor, " batch"]) -> None:
        for encoder in (self.encoder, self.critic_encoder):
            if encoder is not None and encoder.normalises:
                encoder.absorb(obs)
        if self.returns is not None:
            self.returns.absorb(returns)

    @torch.no_grad()
    def predict(
        self, obs: Any, deterministic: bool = True, generator: Generator | None = None, *, action_mask: Any = None,
        memory: Any = None, begins: bool | np.ndarray = False,
    ) -> Any:  # fmt: skip
        """Observation(s) as the environment gives them → action(s) as it takes them, numpy in and out.

        One observation gives one action; a batch, whose arrays lead with B, gives B, laid out as
        ``clipper.spaces.actions`` says. ``deterministic`` takes the mode instead of a sample. ``action_mask`` is one
        environment's, or for a batch a list of B of them (``clipper.spaces.action_masks``); without it, what the
        observation has under ``mask_key`` counts. What only the critic sees may be left out.

        With a memory, ``action, memory = policy.predict(obs, memory=memory, begins=begins)``: what it returned last
        goes in again, () at first, and where an episode ``begins`` (one flag, or ``[B]``) it is emptied. Policies
        without one take that, too; their memory stays ().
        """
        if memory is None and self.memory is not None:
            raise ValueError(
                "this policy has a memory: action, memory = policy.predict(obs, memory=memory), with memory=() at first"
            )
        arrays, lead = observation_batch(self.encoder.space, obs)
        device, single, n = next(self.parameters()).device, not lead, lead[0] if lead else 1
        tensors = each(lambda x: torch.as_tensor(x[None] if single else x, device=device), arrays)
        if action_mask is None and self.mask_key and isinstance(obs, dict):
            action_mask = obs.get(self.mask_key)
        mask: Tree = ()
        if action_mask is not None and self.action_space is not None:
            given = [action_mask] if single else action_mask
            mask = action_masks(self.action_space, given, n, np.ones(n, dtype=bool), device)
        elif action_mask is None:
            warn_without_masks(self, "predict was given none: give action_mask=")
        features, after = self.actor(self.encoder(tensors)), ()
        if self.memory is not None:  # the critic's, on which no action depends, stays as it is
            before = self.memory.forget(memory or (), np.broadcast_to(begins, (n,)))
            features, after, _ = self.memory.advance(features, None, before)
        dist = self.head(features, action_mask=mask)
        action = self.to_env(dist.mode if deterministic else dist.sample(generator), mask)
        if single:
            action = action[0] if self.action_space is None else element(self.action_space, action, 0)
        return action if memory is None else (action, after)


def warn_without_masks(policy: Any, fact: str) -> None:
    """Warn, once a policy, that one which learned with action masks now acts without: it may choose what is illegal."""
    if getattr(policy, "masked", False) and not policy.warned:
        policy.warned = True
        warnings.warn(f"this policy learned with action masks, and {fact}; it may choose illegal actions", stacklevel=3)


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
    encoder = make_encoder(seen_by(observation_space, options.encoder), options, generator)
    own = options.encoder.critic_only or (not options.shared and any(True for _ in encoder.parameters()))
    seen = seen_by(observation_space, options.encoder, critic=True)
    critic_encoder = make_encoder(seen, options, generator) if own else None
    critic_inputs = (critic_encoder or encoder).features
    widths = options.hidden if options.critic_hidden is None else options.critic_hidden
    actor = mlp(encoder.features, options.hidden, options, generator)
    critic = actor if options.shared else mlp(critic_inputs, widths, options, generator)
    actor_width, critic_width = (encoder.features, *options.hidden)[-1], (critic_inputs, *widths)[-1]
    kind, memory = memory_of(options.memory), None
    if kind is not None:
        memory = kind.memories(actor_width, None if options.shared else critic_width, options.orthogonal, generator)
        actor_width = critic_width = memory.size
    head = make_head(action_space, actor_width, options.head, generator)
    start_means(head, options.head.initial_mean)
    value_layer = OrthogonalLinear(critic_width, options.critic.outputs, options.value_gain, generator)
    policy = ActorCritic(
        encoder, actor, critic, head, value_layer, None, action_space, critic_encoder=critic_encoder,
        mask_key=options.encoder.mask_key, memory=memory,
    )  # fmt: skip
    policy = policy if options.orthogonal else draw_uniform(policy, generator)
    policy.returns = ReturnNormaliser() if options.normalise_returns else options.critic.reader(value_layer)
    return policy

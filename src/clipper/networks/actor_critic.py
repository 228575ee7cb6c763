"""The actor-critic: trunks that join an encoder of observations to an action head and a value layer."""

import warnings
from functools import partial
from typing import Any, Protocol, runtime_checkable

import gymnasium
import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from clipper.data.steps import Value
from clipper.data.trees import Tree, each, leaves
from clipper.data.values import shown
from clipper.distributions import Distribution
from clipper.errors import ConfigError
from clipper.networks.critics import CriticOutput, Reader
from clipper.networks.encoders import Encoder
from clipper.networks.heads import Head
from clipper.networks.heads.composite import sample_of
from clipper.networks.memory import Memories
from clipper.networks.policy_options import MASK_KEY, PolicyOptions
from clipper.spaces.action_masks import MaskError, action_masks
from clipper.spaces.actions import action_batch, element
from clipper.spaces.observations import observation_batch


class ActorCritic(nn.Module):
    """Encoder → actor trunk → head, encoder → critic trunk → value.

    ``critic`` may be the same module as ``actor``. It has an encoder of its own where that has weights, or where it
    sees more of the observation; else ``critic_encoder`` is None. ``mask_key`` is the observation's part that is the
    action mask; ``ignore`` are parts that environments are made without.
    """

    encoder: Encoder
    critic_encoder: Encoder | None
    head: Head

    def __init__(
        self, encoder: Encoder, actor: nn.Module, critic: nn.Module, head: Head, value_layer: nn.Module,
        returns: Reader | None = None, action_space: gymnasium.Space | None = None, *,
        critic_encoder: Encoder | None = None, mask_key: str = MASK_KEY, memory: Memories | None = None,
        ignore: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        super().__init__()
        self.encoder, self.actor, self.critic, self.head = encoder, actor, critic, head
        self.critic_encoder, self.mask_key, self.ignore = critic_encoder, mask_key, ignore
        self.value_layer, self.returns, self.action_space = value_layer, returns, action_space
        self.to_env = head.to_env
        self.options: PolicyOptions | None = None
        """What made it, where options did: with them it can be made again."""
        self.masked, self.warned = False, False
        """Whether it learned with action masks, and whether it was said that it now acts without (once)."""
        self.memory = memory
        """The actor's and the critic's ``Memories``, between their trunks and what reads these; None without one."""
        self.renew = getattr(head, "renew", None)
        """(memory, which environments begin an episode, generator) → memory for the next step; None without noise."""
        if memory is not None and self.renew is not None:
            self.renew = partial(memory.renew, self.renew)

    def extra_repr(self) -> str:
        count = sum(x.numel() for x in self.parameters())
        return f"observations: {self.encoder.space}\nactions: {self.action_space}\nparameters: {count:,}"

    def act(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple[Distribution, Tree]:
        features, own = self.actor(self.encoder(obs)), memory
        if self.memory is not None:
            critic = self.critic_encoder or self.encoder
            features, memory, own = self.memory.advance(features, lambda: self.critic(critic(obs)), memory)
        return self.head(features, *own, action_mask=action_mask), memory

    def value(self, obs: Tree, memory: Tree = ()) -> CriticOutput:
        """V(s), whose ``mean`` is the number. Observations are tensors, or as the environment gives them."""
        if not isinstance(next(iter(leaves(obs)), None), torch.Tensor):
            obs = self.read((self.critic_encoder or self.encoder).space, obs)[0]
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
        if self.encoder.normalises:
            self.encoder.absorb(obs)
        if self.critic_encoder is not None and self.critic_encoder.normalises:
            self.critic_encoder.absorb(obs)
        if self.returns is not None:
            self.returns.absorb(returns)

    @torch.no_grad()
    def predict(
        self, obs: Tree, deterministic: bool = True, generator: Generator | None = None, *, action_mask: Tree = None,
        memory: Tree = None, begins: bool | np.ndarray = False,
    ) -> Tree:  # fmt: skip
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
            raise ConfigError(
                "this policy has a memory: action, memory = policy.predict(obs, memory=memory), with memory=() at first"
            )
        tensors, single, n = self.read(self.encoder.space, obs)
        mask = self.read_masks(obs, action_mask, single, n)
        if action_mask is None and not leaves(mask):
            warn_without_masks(self, "predict was given none: give action_mask=", above=4)  # no_grad's is one
        features, after = self.actor(self.encoder(tensors)), ()
        if self.memory is not None:  # the critic's, on which no action depends, stays as it is
            before = self.memory.forget(memory or (), np.broadcast_to(begins, (n,)))
            features, after, _ = self.memory.advance(features, None, before)
        dist = self.head(features, action_mask=mask)
        action = self.to_env(dist.mode if deterministic else dist.sample(generator), mask)
        if single:
            action = action[0] if self.action_space is None else element(self.action_space, action, 0)
        return action if memory is None else (action, after)

    def distribution(self, obs: Tree, action_mask: Tree = None, memory: Tree = ()) -> Any:
        """π(·|s) for observation(s) as the environment gives them; arguments are those of ``predict``.

        Tensors in it lead with the batch, also of a single observation: with 1. Of choices it has ``probs``; every one
        has ``log_prob``, ``entropy``, ``mode`` and ``sample``, over actions as ``from_env`` gives them. Gradients flow.
        """
        tensors, single, n = self.read(self.encoder.space, obs)
        return self.act(tensors, memory, self.read_masks(obs, action_mask, single, n))[0]

    def from_env(self, action: Tree, action_mask: Tree = None) -> Tree:
        """The inverse of ``to_env``: action(s) as the environment takes them → tensors, as ``log_prob`` reads them.

        One action, or a batch laid out as ``clipper.spaces.actions`` says; tensors always lead with the batch. What no
        draw can give is taken for the nearest that one can: at a bound, where a distribution only comes near it.
        ``action_mask`` is needed where it bounds a Box by the state.
        """
        if self.action_space is None:
            arrays, single, n = each(np.asarray, action), False, 0
        else:
            arrays, single, n = action_batch(self.action_space, action)
        device = next(self.parameters()).device
        return each(lambda x: x.to(device), sample_of(self.head, arrays, self.read_masks(None, action_mask, single, n)))

    def read(self, space: gymnasium.Space, obs: Tree) -> tuple[Tree, bool, int]:
        """Observation(s) from outside as tensors ``[B, ...]``, whether it is a single one, and B."""
        arrays, lead = observation_batch(space, obs)
        device = next(self.parameters()).device
        return each(lambda x: torch.as_tensor(x if lead else x[None], device=device), arrays), not lead, (*lead, 1)[0]

    def read_masks(self, obs: Tree, action_mask: Tree, single: bool, n: int) -> Tree:
        """The masks that were given for n observations, or that they hold; ``()`` for none."""
        if action_mask is None and self.mask_key and isinstance(obs, dict):
            action_mask = obs.get(self.mask_key)
        if action_mask is None or self.action_space is None:
            return ()
        given, device = [action_mask] if single else action_mask, next(self.parameters()).device
        try:
            return action_masks(self.action_space, given, n, np.ones(n, dtype=bool), device)
        except MaskError as error:
            raise ConfigError(f"action_mask, row {error.env}: {error}") from None
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            raise ConfigError(
                f"action_mask is {shown(action_mask)}, of another form than the actions of {self.action_space}"
            ) from error


@runtime_checkable
class MayMissMasks(Protocol):
    """A policy that remembers whether it was said that it acts without the masks that it learned with."""

    warned: bool


def warn_without_masks(policy: object, fact: str, above: int = 3) -> None:
    """Warn, once a policy, that one which learned with action masks now acts without: it may choose what is illegal."""
    if getattr(policy, "masked", False) and isinstance(policy, MayMissMasks) and not policy.warned:
        policy.warned = True
        warnings.warn(
            f"this policy learned with action masks, and {fact}; it may choose illegal actions", stacklevel=above
        )

"""What the rest of the library asks of a policy."""

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float
from torch import Generator, Tensor, nn

from clipper.data.trees import Tree
from clipper.distributions import Distribution, Sampler
from clipper.networks.critics import CriticOutput
from clipper.networks.memory.memories import State
from clipper.networks.policy_options import MASK_KEY


@runtime_checkable
class Actor(Protocol):
    """What ``collect`` asks of a policy; ``*batch`` is any leading shape. ``abilities`` reads what else it may have."""

    def act(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple[Sampler, Tree]:
        """π(·|s) and the next memory; the critic does not run. Masks are given only where the environment has some."""
        ...

    def to_env(self, action: Tree, action_mask: Tree = ()) -> Tree:
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


@runtime_checkable
class Carried(Protocol):
    """What is carried from step to step (``clipper.networks.memory.memories.Memories``)."""

    def forget(self, memory: State, begins: Bool[np.ndarray, " N"]) -> State:
        """``memory``, emptied in the environments where an episode ``begins``; of () an empty one."""
        ...

    def past(self, before: State, mask: Bool[Tensor, "T N"]) -> Tree:
        """What a loss needs beside the rows of a segment, to run the memory over them again."""
        ...


class Abilities(NamedTuple):
    """What a policy may have beside what every one has."""

    memory: Carried | None
    """What it carries from step to step, where it remembers."""
    renew: Callable[[State, Bool[np.ndarray, " N"], Generator], State] | None
    """(memory, where an episode begins, generator) → memory for the next step, where its noise lasts over steps."""
    mask_key: str
    """The part of a Dict observation that is the action mask."""
    masked: bool
    """It learned with action masks."""
    ignore: tuple[str, ...]
    """Parts of a Dict observation that it never sees: environments are made without them."""


def abilities(policy: Actor) -> Abilities:
    """What this policy has besides; what it lacks counts as off."""
    return Abilities(
        getattr(policy, "memory", None),
        getattr(policy, "renew", None),
        mask_key_of(policy),
        bool(getattr(policy, "masked", False)),
        ignored_by(policy),
    )


def mask_key_of(policy: object) -> str:
    """The part of a Dict observation that is the action mask."""
    return getattr(policy, "mask_key", MASK_KEY)


def ignored_by(policy: object) -> tuple[str, ...]:
    """The parts of a Dict observation that environments are made without."""
    return getattr(policy, "ignore", ())

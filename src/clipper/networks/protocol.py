"""What the rest of the library asks of a policy."""

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from clipper.data.trees import Tree
from clipper.distributions import Distribution, Sampler
from clipper.networks.critics import CriticOutput


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

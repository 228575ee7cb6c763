"""What a policy's output can do."""

from typing import Protocol, runtime_checkable

from torch import Generator, Tensor

from clipper.data.trees import T, Tree


@runtime_checkable
class Sampler(Protocol):
    """What collecting asks of a distribution."""

    def sample(self, generator: Generator | None = None) -> Tree:
        """A ~ π(·|s), a tensor ``[*batch, *action]`` or a tree of such."""
        ...

    def log_prob(self, action: Tree) -> Tensor:
        """Log π(a|s), ``[*batch]``."""
        ...


@runtime_checkable
class Distribution(Sampler, Protocol):
    """π(·|s) for a batch of states: ``*batch`` leads every tensor.

    ``torch.distributions`` draws from the global generator only; a run that can be resumed bit for bit needs its own,
    hence this protocol.
    """

    @property
    def mode(self) -> Tree:
        """argmaxₐ π(a|s), as ``sample`` gives it."""
        ...

    def entropy(self) -> Tensor:
        """−E[log π(a|s)], ``[*batch]``, in nats."""
        ...

    def kl(self: T, other: T) -> Tensor:
        """KL(self ‖ other), ``[*batch]``."""
        ...

    @property
    def params(self) -> tuple[Tree, ...]:
        """Trees of tensors from which ``type(self)(*params)`` rebuilds it."""
        ...

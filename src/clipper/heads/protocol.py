"""What a policy's last layer is."""

from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from clipper.data import Tree
from clipper.distributions import Distribution


@runtime_checkable
class Head(Protocol):
    """What ``make_head`` returns (an ``nn.Module``)."""

    def __call__(self, features: Tensor, *memory: Tensor) -> Distribution:
        """Features ``[*batch, F]`` → π(·|s); memory is that of heads which have ``renew`` (see gSDE), when acting."""
        ...

    def to_env(self, action: Tree) -> Any:
        """A sample, each tensor ``[*batch, *action]`` → what a vector environment takes (see ``clipper.spaces``)."""
        ...

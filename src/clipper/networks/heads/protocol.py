"""What a policy's last layer is."""

from typing import Protocol, runtime_checkable

from torch import Tensor

from clipper.data.trees import Tree
from clipper.distributions import Distribution


@runtime_checkable
class Head(Protocol):
    """What ``make_head`` returns (an ``nn.Module``)."""

    def __call__(self, features: Tensor, *memory: Tensor, action_mask: Tree = ()) -> Distribution:
        """Features ``[*batch, F]`` → π(·|s), whose probability is 0 where ``action_mask`` is False.

        ``memory`` is that of heads which have ``renew`` (see gSDE), when acting.
        """
        ...

    def to_env(self, action: Tree, action_mask: Tree = ()) -> Tree:
        """A sample, each tensor ``[*batch, *action]`` → what a vector environment takes (see
        ``clipper.networks.heads.make_head``).
        """
        ...

"""A choice with arguments that is made by Q of each choice and its arguments (Xiong et al. 2018, arXiv:1810.06394)."""

from jaxtyping import Float
from torch import Tensor, cat, nn

from clipper.data.trees import Tree
from clipper.data.values import value
from clipper.distributions import ClippedGaussian, OneOf
from clipper.errors import ConfigError
from clipper.networks.heads.composite import OneOfHead
from clipper.networks.heads.deterministic import DeterministicHead
from clipper.networks.heads.discrete import CategoricalHead
from clipper.networks.heads.gaussian import SquashedHead
from clipper.networks.heads.protocol import Head


@value
class BestQ:
    """The choice's logits are Q(s, k, x(s)), so that its mode is the best one; Q has the critic's widths."""

    passes: bool = True
    """Each choice's Q sees its own arguments only, in a pass of its own (arXiv:1905.04388); off: all of them."""


class GivenLogits(CategoricalHead):
    """A choice whose logits are given."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.start, self.logits = 0, nn.Identity()


class BestHead(OneOfHead):
    """Arguments of each choice, and the choice by their Q. It reads a trunk's features, and beside them its inputs."""

    def __init__(self, q: nn.Module, branches: tuple[Head, ...], width: int) -> None:
        super().__init__(GivenLogits(), branches)
        self.q, self.width = q, width
        """The trunk's."""

    def unclipped(self, features: Float[Tensor, "*batch F"]) -> tuple[Tensor, ...]:
        """Each choice's arguments, which are not within bounds yet."""
        branches = self.arguments(features[..., : self.width]).parts
        return tuple(branch.mean if isinstance(branch, ClippedGaussian) else branch.mode for branch in branches)

    def forward(self, features: Float[Tensor, "*batch F"], action_mask: Tree = ()) -> OneOf:
        legal, masks = action_mask or ((), ())
        branches = self.arguments(features[..., : self.width], masks).parts
        inputs, arguments = features[..., self.width :], tuple(branch.mode for branch in branches)
        if features.ndim == 2:
            return OneOf(self.choice(self.q(inputs, arguments)[0], legal), branches)
        q = self.q(inputs.flatten(0, -2), tuple(x.flatten(0, inputs.ndim - 2) for x in arguments))[0]
        return OneOf(self.choice(q.unflatten(0, inputs.shape[:-1]), legal), branches)


class Beside(nn.Module):
    """A trunk whose inputs go on beside its features."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, x: Float[Tensor, "*batch I"]) -> Float[Tensor, "*batch F"]:
        return cat([self.trunk(x), x], -1)


def argument_sizes(branches: tuple[Head, ...]) -> tuple[int, ...]:
    """Numbers that each choice has as arguments; a Discrete of one value has none.

    Raises ``ConfigError`` for other arguments than those of a finite Box, within [−1, 1].
    """
    sizes = []
    for part in branches:
        lone = isinstance(part, CategoricalHead) and part.logits.out_features == 1
        if not lone and not isinstance(part, SquashedHead | DeterministicHead):
            raise ConfigError(
                f"a choice's arguments must be one Box of finite bounds, or Discrete(1) for none, and here a "
                f"{type(part).__name__} gives some: change the action space, or use PPO"
            )
        sizes.append(part.box.size if isinstance(part, SquashedHead | DeterministicHead) else 0)
    return tuple(sizes)

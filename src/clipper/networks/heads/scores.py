"""A choice with arguments as one vector of bounded numbers (Hausknecht & Stone 2016, arXiv:1511.04143, section 3)."""

import math

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, OneOf
from jaxtyping import Float
from torch import Generator, Tensor, nn

from clipper.data.trees import Tree
from clipper.data.values import Positive, value
from clipper.errors import ConfigError
from clipper.networks.heads.box import finite_box
from clipper.networks.heads.deterministic import DeterministicHead
from clipper.networks.initialisation import OrthogonalLinear


@value
class Scores:
    """A score of each choice and all arguments, numbers within [−1, 1]; the choice of the highest score is executed."""

    noise: Positive = 0.1
    """σ of the noise about scores and arguments while it explores."""


class ScoresHead(DeterministicHead):
    """K scores, then the arguments of each choice: a linear layer, clipped, with noise of a fixed σ about it."""

    def __init__(self, space: OneOf, features: int, gain: float, noise: float, generator: Generator) -> None:
        nn.Module.__init__(self)
        self.box, self.log_noise, self.squash = ScoresMap(space), math.log(noise), False
        self.raw = OrthogonalLinear(features, self.box.size, gain, generator)

    def from_env(self, action: tuple[np.ndarray, tuple[np.ndarray, ...]], action_mask: Tree = ()) -> Tensor:
        return self.box.inverse(action)


class ScoresMap:
    """Numbers ``[*batch, K + ΣA]`` → the legal choice of the highest score, and all choices' arguments.

    Raises ``ConfigError`` unless each choice has one finite Box of arguments, or Discrete(1) for none.
    """

    def __init__(self, space: OneOf) -> None:
        for part in space.spaces:
            if not isinstance(part, Box) and not (isinstance(part, Discrete) and part.n == 1):
                raise ConfigError(
                    f"a choice's arguments must be one Box of finite bounds, or Discrete(1) for none, not {part}: "
                    "change the action space, or use PPO"
                )
        self.boxes = [finite_box(part, "scores") if isinstance(part, Box) else None for part in space.spaces]
        self.starts = [int(part.start) if isinstance(part, Discrete) else 0 for part in space.spaces]
        self.sizes = [0 if box is None else box.size for box in self.boxes]
        self.size = len(self.boxes) + sum(self.sizes)

    def split(self, action: Float[Tensor, "*batch N"], mask: Tree = ()) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The choice, and the arguments of each, within [−1, 1]."""
        scores, *arguments = action.split([len(self.boxes), *self.sizes], -1)
        legal = mask[0] if mask else ()
        scores = scores if isinstance(legal, tuple) else scores.masked_fill(~legal, -math.inf)
        return scores.argmax(-1), tuple(arguments)

    def __call__(self, action: Float[Tensor, "*batch N"], mask: Tree = ()) -> tuple[np.ndarray, tuple[Tree, ...]]:
        choice, arguments = self.split(action, mask)
        numbers = zip(self.boxes, arguments, self.starts, strict=True)
        parts = [np.full(choice.shape, start) if box is None else box(x) for box, x, start in numbers]
        return choice.cpu().numpy(), tuple(parts)

    def inverse(self, action: tuple[np.ndarray, tuple[np.ndarray, ...]]) -> Float[Tensor, "*batch N"]:
        """A vector that is executed as this action, with a score of 1 for its choice and −1 for the others."""
        choice = torch.from_numpy(np.asarray(action[0], dtype=np.int64))
        scores = 2 * torch.nn.functional.one_hot(choice, len(self.boxes)).float() - 1
        pairs = zip(self.boxes, action[1], strict=True)
        return torch.cat([scores, *(box.inverse(np.asarray(x)) for box, x in pairs if box is not None)], -1)

"""A choice with arguments that is made in a learned latent space (Li et al. 2022, arXiv:2109.05490, section 4.2)."""

import math

import numpy as np
import torch
from gymnasium.spaces import OneOf
from jaxtyping import Float
from torch import Generator, Tensor, nn

from clipper.data.trees import Tree
from clipper.data.values import Count, Positive, value
from clipper.distributions import ClippedGaussian
from clipper.errors import ConfigError
from clipper.networks.action_representation import ActionRepresentation
from clipper.networks.heads.scores import ScoresMap
from clipper.networks.initialisation import OrthogonalLinear

UNKNOWN = 2.0
"""In the place of (e, z) where an action was not made of any; what a policy gives is within [−1, 1]."""


@value
class Latent:
    """The policy gives (e, z): the choice's numbers are nearest to e, and a decoder makes its arguments of z."""

    choice_size: Count | None = None
    """Numbers of e; none for twice the number of choices."""
    argument_size: Count | None = None
    """Numbers of z; none for twice the most arguments that a choice has."""
    width: Count = 256
    """Of the layers of encoder and decoder."""
    noise: Positive = 0.1
    """σ of the noise about e and z while it explores."""


class LatentHead(nn.Module):
    """(e, z), clipped numbers of a linear layer, and what makes an action of them; it reads a trunk's inputs, too."""

    def __init__(
        self, space: OneOf, features: int, inputs: int, gain: float, latent: Latent, generator: Generator
    ) -> None:  # fmt: skip
        super().__init__()
        self.map, self.log_noise, self.width = ScoresMap(space), math.log(latent.noise), features
        sizes = tuple(self.map.sizes)
        if not any(sizes):
            raise ConfigError(f"{space} has no arguments to encode: use DQN on a Discrete, or PPO")
        choice, argument = latent.choice_size or 2 * len(sizes), latent.argument_size or 2 * max(sizes)
        self.sizes = choice, argument
        """Numbers of e, and of z."""
        self.representation = ActionRepresentation(inputs, sizes, choice, argument, latent.width, generator)
        self.raw = OrthogonalLinear(features, choice + argument, gain, generator)

    def forward(self, features: Float[Tensor, "*batch F"], action_mask: Tree = ()) -> "LatentActions":
        mean = self.raw(features[..., : self.width])
        latent = ClippedGaussian(mean, mean.new_full(mean.shape[-1:], self.log_noise))
        legal = action_mask[0] if action_mask else ()
        return LatentActions(latent, self, features[..., self.width :], legal if isinstance(legal, Tensor) else None)

    def bounded(self, action: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """A sample as it is, which is within [−1, 1]."""
        return action

    def to_env(self, action: tuple[Tensor, Tensor, Tensor], action_mask: Tree = ()) -> Tree:
        _, choice, x = action
        numbers = zip(self.map.boxes, self.map.sizes, self.map.starts, strict=True)
        parts = [np.full(choice.shape, start) if box is None else box(x[..., :size]) for box, size, start in numbers]
        return choice.cpu().numpy(), tuple(parts)

    def from_env(self, action: tuple[np.ndarray, tuple[np.ndarray, ...]], action_mask: Tree = ()) -> Tree:
        """The inverse of ``to_env``, with (e, z) unknown."""
        choice = torch.from_numpy(np.asarray(action[0], dtype=np.int64))
        x = torch.zeros(*choice.shape, max(self.map.sizes))
        for k, (box, size) in enumerate(zip(self.map.boxes, self.map.sizes, strict=True)):
            if box is not None:
                given = box.inverse(np.asarray(action[1][k]))
                x[..., :size] = torch.where((choice == k)[..., None], given, x[..., :size])
        return torch.full((*choice.shape, sum(self.sizes)), UNKNOWN), choice, x


class LatentActions:
    """Actions of a latent Gaussian, each as ``((e, z), choice, arguments)``: ``[*batch, L]``, ``[*batch]`` and
    ``[*batch, A]``.
    """

    def __init__(self, latent: ClippedGaussian, head: LatentHead, inputs: Tensor, legal: Tensor | None) -> None:
        self.latent, self.head, self.inputs, self.legal = latent, head, inputs, legal

    @property
    def mean(self) -> Float[Tensor, "*batch L"]:
        """Of (e, z)."""
        return self.latent.mean

    @torch.no_grad()
    def made(self, latent: Float[Tensor, "*batch L"]) -> tuple[Tensor, Tensor, Tensor]:
        """The action that (e, z) stand for."""
        e, z = latent.split(list(self.head.sizes), -1)
        choice = self.head.representation.nearest(e, self.legal)
        code = self.head.representation.to_code(z)
        return latent, choice, self.head.representation.decode(self.inputs, choice, code)[0]

    def sample(self, generator: Generator | None = None) -> tuple[Tensor, Tensor, Tensor]:
        return self.made(self.latent.sample(generator))

    @property
    def mode(self) -> tuple[Tensor, Tensor, Tensor]:
        """The action of the mean."""
        return self.made(self.latent.mode)

    def log_prob(self, action: tuple[Tensor, Tensor, Tensor]) -> Float[Tensor, "*batch"]:
        """Log of the density of (e, z), not of the action, of which many are made alike."""
        return self.latent.log_prob(action[0])

    def entropy(self) -> Float[Tensor, "*batch"]:
        """Of (e, z)."""
        return self.latent.entropy()

    def kl(self, other: "LatentActions") -> Float[Tensor, "*batch"]:
        """Of (e, z)."""
        return self.latent.kl(other.latent)

    @property
    def params(self) -> tuple[Tree, ...]:
        return self.latent, self.head, self.inputs, self.legal  # pyright: ignore[reportReturnType]


class UniformActions:
    """Each legal choice as likely, with arguments that are uniform over its Box, in the place of latent actions."""

    def __init__(self, like: LatentActions) -> None:
        self.like, self.own = like, like.head.representation.own
        weights = like.mean.new_ones(*like.mean.shape[:-1], len(self.own))
        self.weights = weights if like.legal is None else like.legal.to(weights.dtype)

    def sample(self, generator: Generator | None = None) -> tuple[Tensor, Tensor, Tensor]:
        latent = torch.full_like(self.like.mean, UNKNOWN)
        choice = self.weights.multinomial(1, generator=generator).squeeze(-1)
        x = torch.rand(*choice.shape, self.own.shape[-1], generator=generator, dtype=latent.dtype)
        return latent, choice, torch.where(self.own[choice], 2 * x - 1, 0)

    def log_prob(self, action: tuple[Tensor, Tensor, Tensor]) -> Float[Tensor, "*batch"]:
        """−log K − A log 2."""
        return -self.weights.sum(-1).log() - math.log(2) * self.own[action[1]].sum(-1)

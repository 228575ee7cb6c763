"""A latent space of hybrid actions, learned from what they do (Li et al. 2022, arXiv:2109.05490, section 4.1)."""

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from clipper.functional.latent_actions import nearest_choice
from clipper.networks.initialisation import OrthogonalLinear

LOG_STD = (-4.0, 15.0)
"""Bounds of the encoder's log σ."""


class ActionRepresentation(nn.Module):
    """A table of choices eₖ, and of a choice's arguments a variational auto-encoder given s and eₖ.

    The decoder also says how s changes. Arguments are ``[B, A]``, A those of the choice that has most; of others the
    rest is 0. What the policy gives, within [−1, 1], is mapped onto ``low`` and ``high``, between which most codes lie.
    """

    own: Tensor
    low: Tensor
    high: Tensor
    usual_error: Tensor

    def __init__(
        self, features: int, sizes: tuple[int, ...], choice_size: int, argument_size: int, width: int,
        generator: Generator,
    ) -> None:  # fmt: skip
        super().__init__()
        most, gain = max(sizes), 2**0.5
        self.raw_table = nn.Parameter(2 * torch.rand(len(sizes), choice_size, generator=generator) - 1)
        self.register_buffer("own", torch.arange(most) < torch.tensor(sizes)[:, None], persistent=False)
        self.register_buffer("low", -torch.ones(argument_size))
        self.register_buffer("high", torch.ones(argument_size))
        self.register_buffer("usual_error", torch.ones(()))

        def linear(inputs: int, outputs: int, gain: float = gain) -> nn.Linear:
            return OrthogonalLinear(inputs, outputs, gain, generator)

        self.given, self.given_back = (linear(features + choice_size, width) for _ in range(2))
        self.arguments, self.encoded = linear(most, width), linear(width, width)
        self.posterior = linear(width, 2 * argument_size, 1.0)
        self.code, self.decoded = linear(argument_size, width), linear(width, width)
        self.arguments_back = linear(width, most, 1.0)
        self.change = nn.Sequential(linear(width, width), nn.ReLU(), linear(width, features, 1.0))

    @property
    def table(self) -> Float[Tensor, "K D"]:
        """Each choice's numbers, within [−1, 1]."""
        return self.raw_table.tanh()

    def encode(
        self, features: Float[Tensor, "*batch F"], choice: Int[Tensor, "*batch"], x: Float[Tensor, "*batch A"]
    ) -> tuple[Float[Tensor, "*batch Z"], Float[Tensor, "*batch Z"]]:
        """Mean and log σ of q(z | s, k, x)."""
        given = self.given(torch.cat([features, self.table[choice]], -1)).relu()
        hidden = self.encoded(given * self.arguments(x).relu()).relu()
        mean, log_std = self.posterior(hidden).chunk(2, -1)
        return mean, log_std.clamp(*LOG_STD)

    def decode(
        self, features: Float[Tensor, "*batch F"], choice: Int[Tensor, "*batch"], z: Float[Tensor, "*batch Z"]
    ) -> tuple[Float[Tensor, "*batch A"], Float[Tensor, "*batch F"]]:
        """The arguments within [−1, 1], 0 where the choice has none, and the change of s."""
        given = self.given_back(torch.cat([features, self.table[choice]], -1)).relu()
        hidden = self.decoded(given * self.code(z).relu()).relu()
        return torch.where(self.own[choice], self.arguments_back(hidden).tanh(), 0), self.change(hidden)

    def nearest(self, e: Float[Tensor, "*batch D"], legal: Tensor | None = None) -> Int[Tensor, "*batch"]:
        """The legal choice whose numbers are nearest."""
        return nearest_choice(e, self.table, legal)

    def to_code(self, z: Float[Tensor, "*batch Z"]) -> Float[Tensor, "*batch Z"]:
        """What a policy gives, within [−1, 1] → a code between ``low`` and ``high``."""
        return self.low + (z + 1) / 2 * (self.high - self.low)

    def from_code(self, z: Float[Tensor, "*batch Z"]) -> Float[Tensor, "*batch Z"]:
        """The inverse of ``to_code``; what lies outside is on a bound."""
        return (2 * (z - self.low) / (self.high - self.low).clamp(min=1e-6) - 1).clamp(-1, 1)

"""Networks of one shape side by side, which say what a state and an action, or each of K choices, are worth."""

from itertools import pairwise
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from clipper.data.trees import Tree


@runtime_checkable
class Encodes(Protocol):
    """What makes ``features`` numbers of an observation (an ``nn.Module``)."""

    features: int

    def __call__(self, obs: Tree) -> Tensor: ...


class Encoded(nn.Module):
    """Observations that are encoded already."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features

    def forward(self, obs: Float[Tensor, "B F"]) -> Float[Tensor, "B F"]:
        return obs


class SideBySide(nn.Module):
    """M networks of one shape: the weights of a layer are one tensor ``[M, in, out]``.

    First weights and biases are U(±1/√in), as torch.nn.Linear's. What encodes observations all of them share; ``extra``
    numbers come in beside its features.
    """

    encoder: Encodes

    def __init__(
        self, encoder: Encodes, extra: int, hidden: tuple[int, ...], outputs: int, activation: nn.Module, count: int,
        generator: Generator,
    ) -> None:  # fmt: skip
        super().__init__()
        self.encoder, self.activation, self.count = encoder, activation, count
        widths = (encoder.features + extra, *hidden, outputs)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for inputs, width in pairwise(widths):
            for made, rows in ((self.weights, inputs), (self.biases, 1)):
                start = torch.empty(count, rows, width).uniform_(generator=generator)
                made.append(nn.Parameter((2 * start - 1) * inputs**-0.5))

    def layers(self, x: Float[Tensor, "B I"]) -> Float[Tensor, "M B O"]:
        """All networks' outputs for the same inputs."""
        (weight, *weights), (bias, *biases) = self.weights, self.biases
        x = torch.baddbmm(bias, x.expand(self.count, -1, -1), weight)
        for weight, bias in zip(weights, biases, strict=True):
            x = torch.baddbmm(bias, self.activation(x), weight)
        return x


class QNetworks(SideBySide):
    """Q₁(s, a) … Q_M(s, a)."""

    def forward(self, obs: Tree, action: Float[Tensor, "B A"]) -> Float[Tensor, "M B"]:
        """``action`` as executed, within [−1, 1]."""
        return self.layers(torch.cat([self.encoder(obs), action], -1)).squeeze(-1)


class ChoiceQNetworks(SideBySide):
    """Q₁(s, k) … Q_M(s, k) of K choices."""

    def forward(self, obs: Tree) -> Float[Tensor, "M B K"]:
        return self.layers(self.encoder(obs))


class OfArguments(SideBySide):
    """M networks that see all choices' arguments, ``sizes`` of each choice, and say K numbers."""

    def __init__(
        self, encoder: Encodes, sizes: tuple[int, ...], hidden: tuple[int, ...], activation: nn.Module, count: int,
        generator: Generator,
    ) -> None:  # fmt: skip
        super().__init__(encoder, sum(sizes), hidden, len(sizes), activation, count, generator)
        self.sizes = sizes

    def given(self, arguments: tuple[Tensor, ...]) -> list[Tensor]:
        """Those of choices that have any."""
        return [x for x, size in zip(arguments, self.sizes, strict=True) if size]


class BranchQNetworks(OfArguments):
    """Q₁(s, k, xₖ) … Q_M(s, k, xₖ) of K choices, each with arguments xₖ within [−1, 1], of which there may be none.

    Q of choice k is the k-th number of a pass that sees (s, 0 … xₖ … 0), so that it knows nothing of other choices'
    arguments; all K passes are one batch (multi-pass, Bester et al. 2019, arXiv:1905.04388, section 3.1).
    """

    own: Tensor
    """``[K, ΣAₖ]``: which numbers are a choice's own."""

    def __init__(
        self, encoder: Encodes, sizes: tuple[int, ...], hidden: tuple[int, ...], activation: nn.Module, count: int,
        generator: Generator,
    ) -> None:  # fmt: skip
        super().__init__(encoder, sizes, hidden, activation, count, generator)
        branch = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
        self.register_buffer("own", torch.arange(len(sizes))[:, None] == branch, persistent=False)

    def forward(self, obs: Tree, arguments: tuple[Tensor, ...]) -> Float[Tensor, "M B K"]:
        """``arguments`` of each choice, ``[B, Aₖ]``; of those without any, whatever stands there is left out."""
        features, count, given = self.encoder(obs), len(self.sizes), self.given(arguments)
        x = torch.cat(given, -1).unsqueeze(1) if given else features[:, None, :0]
        passes = torch.cat([features.unsqueeze(1).expand(-1, count, -1), torch.where(self.own, x, 0)], -1)
        return self.layers(passes.flatten(0, 1)).unflatten(1, (-1, count)).diagonal(dim1=-2, dim2=-1)


class JointQNetworks(OfArguments):
    """Q₁(s, k, x) … Q_M(s, k, x) of K choices, each of which sees all choices' arguments x, within [−1, 1].

    One pass for all of them (Xiong et al. 2018, arXiv:1810.06394, section 4).
    """

    def forward(self, obs: Tree, arguments: tuple[Tensor, ...]) -> Float[Tensor, "M B K"]:
        """``arguments`` of each choice, ``[B, Aₖ]``; of those without any, whatever stands there is left out."""
        return self.layers(torch.cat([self.encoder(obs), *self.given(arguments)], -1))

"""Q networks: the values of a state and an action together, or of a state and each of K choices."""

import copy
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from clipper.data.trees import Tree
from clipper.errors import ConfigError
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.encoders import Encoder
from clipper.networks.heads import CategoricalHead, DeterministicHead, OneOfHead, SquashedHead
from clipper.networks.make_policy import ACTIVATIONS


class SideBySide(nn.Module):
    """M networks of one shape: the weights of a layer are one tensor ``[M, in, out]``.

    First weights and biases are U(±1/√in), as torch.nn.Linear's. What encodes observations all of them share; ``extra``
    numbers come in beside its features.
    """

    encoder: Encoder

    def __init__(
        self, encoder: Encoder, extra: int, hidden: tuple[int, ...], outputs: int, activation: nn.Module, count: int,
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
        x = torch.baddbmm(self.biases[0], x.expand(self.count, -1, -1), self.weights[0])
        for weight, bias in zip(self.weights[1:], self.biases[1:], strict=True):
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


class BranchQNetworks(SideBySide):
    """Q₁(s, k, xₖ) … Q_M(s, k, xₖ) of K choices, each with arguments xₖ within [−1, 1], of which there may be none.

    Q of choice k is the k-th number of a pass that sees (s, 0 … xₖ … 0), so that it knows nothing of other choices'
    arguments; all K passes are one batch (multi-pass, Bester et al. 2019, arXiv:1905.04388, section 3.1).
    """

    own: Tensor

    def __init__(
        self, encoder: Encoder, sizes: tuple[int, ...], hidden: tuple[int, ...], activation: nn.Module, count: int,
        generator: Generator,
    ) -> None:  # fmt: skip
        super().__init__(encoder, sum(sizes), hidden, len(sizes), activation, count, generator)
        self.sizes = sizes
        branch = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
        self.register_buffer("own", torch.arange(len(sizes))[:, None] == branch, persistent=False)

    def forward(self, obs: Tree, arguments: tuple[Tensor, ...]) -> Float[Tensor, "M B K"]:
        """``arguments`` of each choice, ``[B, Aₖ]``; of those without any, whatever stands there is left out."""
        features, count = self.encoder(obs), len(self.sizes)
        given = [x for x, size in zip(arguments, self.sizes, strict=True) if size]
        x = torch.cat(given, -1).unsqueeze(1) if given else features[:, None, :0]
        passes = torch.cat([features.unsqueeze(1).expand(-1, count, -1), torch.where(self.own, x, 0)], -1)
        return self.layers(passes.flatten(0, 1)).unflatten(1, (-1, count)).diagonal(dim1=-2, dim2=-1)


def make_q_networks(policy: ActorCritic, count: int, generator: Generator) -> SideBySide:
    """``count`` of them with the critic's widths and the activation, of the kind that the policy's head asks for.

    Their encoder is the policy's where it has no weights, else a copy.
    """
    options, head = policy.options, policy.head
    assert options is not None
    widths = options.hidden if options.critic_hidden is None else options.critic_hidden
    encoder = policy.encoder
    encoder = copy.deepcopy(encoder) if any(True for _ in encoder.parameters()) else encoder
    rest = ACTIVATIONS[options.activation](), count, generator
    if isinstance(head, CategoricalHead):
        return ChoiceQNetworks(encoder, 0, widths, head.logits.out_features, *rest)
    if isinstance(head, OneOfHead):
        return BranchQNetworks(encoder, argument_sizes(head), widths, *rest)
    assert isinstance(head, SquashedHead | DeterministicHead)
    return QNetworks(encoder, head.box.size, widths, 1, *rest)


def argument_sizes(head: OneOfHead) -> tuple[int, ...]:
    """Numbers that each choice has as arguments; a Discrete of one value has none.

    Raises ``ConfigError`` for other arguments than those of a finite Box, drawn by a tanh Gaussian.
    """
    sizes = []
    for part in head.arguments.heads:
        lone = isinstance(part, CategoricalHead) and part.logits.out_features == 1
        if not lone and not isinstance(part, SquashedHead):
            raise ConfigError(
                f"a choice's arguments must be one Box of finite bounds, or Discrete(1) for none, and here a "
                f"{type(part).__name__} gives some: change the action space, or use PPO"
            )
        sizes.append(part.box.size if isinstance(part, SquashedHead) else 0)
    return tuple(sizes)

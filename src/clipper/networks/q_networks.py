"""Q networks: the values of a state and an action together."""

import copy
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from clipper.data.trees import Tree
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.encoders import Encoder
from clipper.networks.heads import DeterministicHead, SquashedHead
from clipper.networks.make_policy import ACTIVATIONS


class QNetworks(nn.Module):
    """Q₁(s, a) … Q_M(s, a), networks of one shape side by side: the weights of a layer are one tensor ``[M, in, out]``.

    First weights and biases are U(±1/√in), as torch.nn.Linear's. What encodes observations all of them share.
    """

    encoder: Encoder

    def __init__(
        self, encoder: Encoder, action_size: int, hidden: tuple[int, ...], activation: nn.Module, count: int,
        generator: Generator,
    ) -> None:  # fmt: skip
        super().__init__()
        self.encoder, self.activation, self.count = encoder, activation, count
        widths = (encoder.features + action_size, *hidden, 1)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for inputs, outputs in pairwise(widths):
            for made, rows in ((self.weights, inputs), (self.biases, 1)):
                start = torch.empty(count, rows, outputs).uniform_(generator=generator)
                made.append(nn.Parameter((2 * start - 1) * inputs**-0.5))

    def forward(self, obs: Tree, action: Float[Tensor, "B A"]) -> Float[Tensor, "M B"]:
        """``action`` as executed, within [−1, 1]."""
        x = torch.cat([self.encoder(obs), action], -1).expand(self.count, -1, -1)
        x = torch.baddbmm(self.biases[0], x, self.weights[0])
        for weight, bias in zip(self.weights[1:], self.biases[1:], strict=True):
            x = torch.baddbmm(bias, self.activation(x), weight)
        return x.squeeze(-1)


def make_q_networks(policy: ActorCritic, count: int, generator: Generator) -> QNetworks:
    """``count`` of them with the critic's widths and the activation, for a policy that acts within a Box.

    Their encoder is the policy's where it has no weights, else a copy.
    """
    options, head = policy.options, policy.head
    assert options is not None
    assert isinstance(head, SquashedHead | DeterministicHead)
    widths = options.hidden if options.critic_hidden is None else options.critic_hidden
    encoder, activation = own_encoder(policy.encoder), ACTIVATIONS[options.activation]()
    return QNetworks(encoder, head.box.size, widths, activation, count, generator)


def own_encoder(encoder: Encoder) -> Encoder:
    """The same where it has no weights, else a copy."""
    return copy.deepcopy(encoder) if any(True for _ in encoder.parameters()) else encoder

"""The weight of the entropy beside the rewards, as values that an algorithm holds."""

import math
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clipper.data.values import Positive, value


@value
class EntropyTarget:
    """α moves so that π keeps the ``entropy`` that is asked for (Haarnoja et al. 2018, arXiv:1812.05905, section 5)."""

    entropy: float | None = None
    """H̄ in nats, of actions within [−1, 1]; none for −A, minus the number of their components (appendix D)."""
    start: Positive = 1.0
    """α before the first step."""


Alpha: TypeAlias = Positive | EntropyTarget


class Temperature(nn.Module):
    """α = exp(log α), which so stays above 0."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.log_alpha = nn.Parameter(torch.tensor(math.log(start), dtype=torch.float64))

    def forward(self) -> Float[Tensor, ""]:
        return self.log_alpha.detach().exp()

    def loss(self, log_prob: Float[Tensor, " B"], target: float) -> Float[Tensor, " B"]:
        """−log α (log π + H̄): its mean raises α where the entropy is below H̄.

        Eq 18 has α before the bracket; its logarithm, as in the authors' code, keeps steps of α in proportion to it.
        """
        return -self.log_alpha * (log_prob.detach() + target)

"""The weight of the entropy beside the rewards, as values that an algorithm holds."""

import math
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clipper.data.values import Fraction, Positive, value
from clipper.learning.exploration import UniformFirst
from clipper.learning.learner import Learner
from clipper.learning.off_policy import OffPolicy, add_critics, make_learner
from clipper.learning.optimizers import Optimizer
from clipper.learning.parts import make_part
from clipper.networks.heads.discrete import IMPOSSIBLE
from clipper.networks.q_networks import make_q_networks


@value
class EntropyTarget:
    """α moves so that π keeps the ``entropy`` that is asked for (Haarnoja et al. 2018, arXiv:1812.05905, section 5)."""

    entropy: float | None = None
    """H̄ in nats, of actions within [−1, 1]; none for −A, minus the number of their components (appendix D). Of a choice
    none is ``EntropyShare``'s."""
    start: Positive = 1.0
    """α before the first step."""


@value
class EntropyShare:
    """The same for a choice, whose H̄ is a ``share`` of the largest entropy there is, the log of the legal number."""

    share: Fraction = 0.98
    """H̄ / log K (Christodoulou 2019, arXiv:1910.07207, section 3.1); CleanRL has 0.89 for Atari."""
    start: Positive = 1.0
    """α before the first step."""


Alpha: TypeAlias = Positive | EntropyTarget
ChoiceAlpha: TypeAlias = Positive | EntropyShare | EntropyTarget


class Temperature(nn.Module):
    """α = exp(log α), which so stays above 0."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.log_alpha = nn.Parameter(torch.tensor(math.log(start), dtype=torch.float64))

    def forward(self) -> Float[Tensor, ""]:
        return self.log_alpha.detach().exp()

    def loss(self, log_prob: Float[Tensor, " B"], target: float | Float[Tensor, " B"]) -> Float[Tensor, " B"]:
        """−log α (log π + H̄): its mean raises α where the entropy is below H̄.

        Eq 18 has α before the bracket; its logarithm, as in the authors' code, keeps steps of α in proportion to it.
        """
        return -self.log_alpha * (log_prob.detach() + target)


def soft_learner(
    own: OffPolicy, alpha: Alpha | ChoiceAlpha, policy: nn.Module, kind: type[nn.Module], seed: int
) -> Learner:
    """A learner of the policy, whose head is of that ``kind``, with a replay, two Q networks and a temperature."""
    learner = make_learner(policy, kind, own.optimizer, own.capacity, seed)
    add_critics(learner, make_q_networks(learner.policy, 2, learner.generator), own.optimizer)
    learner.behaviour = UniformFirst(learner.policy, learner.extra, own.learning_starts)
    add_temperature(learner, "alpha", alpha, own.optimizer)
    return learner


def add_temperature(learner: Learner, name: str, alpha: Alpha | ChoiceAlpha, optimizer: Optimizer) -> None:
    """A temperature as a module of the learner, and as a part of it where it moves."""
    moves = isinstance(alpha, EntropyTarget | EntropyShare)
    made = Temperature(alpha.start if isinstance(alpha, EntropyTarget | EntropyShare) else alpha)
    learner.modules[name] = made.to(learner.parameters.dtype)
    if moves:
        learner.parts[name] = make_part(made.parameters(), optimizer)


def wanted_entropy(alpha: ChoiceAlpha, log_p: Float[Tensor, "B K"]) -> float | Float[Tensor, " B"] | None:
    """H̄ of a choice with these log π(k), of which the illegal ones count for nothing; None where α stays."""
    if isinstance(alpha, EntropyTarget) and alpha.entropy is not None:
        return alpha.entropy
    if not isinstance(alpha, EntropyShare | EntropyTarget):
        return None
    share = alpha.share if isinstance(alpha, EntropyShare) else EntropyShare().share
    return share * (log_p > IMPOSSIBLE / 2).sum(-1).to(log_p.dtype).log()

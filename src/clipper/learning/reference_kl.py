"""KL(π ‖ π_ref) to a frozen reference, as values that an algorithm holds: where its price enters, and how.

In the reward it is part of what is maximised, E[r − β KL] of whole responses, whatever the estimator of the gradient.
In the loss, token by token, it prices the KL of states as they were visited, which has another optimum: an early token
is not charged for the later states that it leads to (arXiv:2601.10201).
"""

from typing import Literal, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from clipper.data.steps import Steps
from clipper.data.values import NonNegative, value
from clipper.errors import ConfigError
from clipper.functional.objectives import kl_estimates
from clipper.functional.reference_kl import k3_of_reference, k3_with_gradient_of_k2, weighted_k3
from clipper.functional.sequences import column_sum, lengths

TERMS = {"k2": k3_with_gradient_of_k2, "k3": k3_of_reference}


def reference_of(steps: Steps) -> Tensor:
    """Log π_ref of the actions. Raises ``ConfigError`` where the steps have none."""
    if not isinstance(steps.reference, Tensor):
        raise ConfigError(
            "a KL to a reference needs its log-probabilities, and Steps.reference is empty: let the rollouts give it, "
            "or leave the KL out (reference_kl=None, beta=0)"
        )
    return steps.reference


@value
class InReward:
    """rₜ − β (log π_old(aₜ|sₜ) − log π_ref(aₜ|sₜ)) (Ziegler et al. 2019, arXiv:1909.08593): exactly E[r − β KL]."""

    beta: NonNegative = 0.05
    """β, in units of the reward for a nat."""

    def reward(self, steps: Steps) -> Float[Tensor, "T N"]:
        return steps.reward - self.beta * (steps.log_prob - reference_of(steps))

    def penalty(
        self, log_ratio: Float[Tensor, " M"], steps: Steps, column: Int[Tensor, " M"], columns: int
    ) -> Float[Tensor, " M"]:
        """Nothing more in the loss."""
        return torch.zeros_like(log_ratio)


@value
class InLoss:
    """β times an estimate of the KL beside each token's loss (GRPO, arXiv:2402.03300)."""

    beta: NonNegative = 0.04
    """β."""
    estimate: Literal["k2", "k3", "weighted_k3"] = "k2"
    """Its gradient: of KL(π ‖ π_ref) while samples are π's own (k2), of KL(π_ref ‖ π) (k3, as published), or of
    KL(π ‖ π_ref) off policy too (weighted_k3). The value is k3's in each."""
    of: Literal["token", "response"] = "token"
    """Of each token in the state where it was sampled, as published, or of log π(y|x): the KL of responses itself where
    the reduction is sequence_sum."""

    def reward(self, steps: Steps) -> Float[Tensor, "T N"]:
        return steps.reward

    def penalty(
        self, log_ratio: Float[Tensor, " M"], steps: Steps, column: Int[Tensor, " M"], columns: int
    ) -> Float[Tensor, " M"]:
        """β KL of each token; ``log_ratio`` is log π/π_old, with its graph."""
        numbers = log_ratio + steps.log_prob, reference_of(steps), log_ratio
        if self.of == "response":
            log_prob, reference, log_ratio = (column_sum(x, column, columns)[column] for x in numbers)
        else:
            log_prob, reference, log_ratio = numbers
        if self.estimate == "weighted_k3":
            kl = weighted_k3(log_prob, reference, log_ratio)
        else:
            kl = TERMS[self.estimate](log_prob, reference)
        return self.beta * (kl / lengths(column, columns)[column] if self.of == "response" else kl)


ReferenceKL: TypeAlias = InReward | InLoss | None


def reference_rows(log_prob: Float[Tensor, " M"], steps: Steps) -> dict[str, Tensor]:
    """k1 and k3 of KL(π ‖ π_ref), to be watched; nothing where there is no reference."""
    if not isinstance(steps.reference, Tensor):
        return {}
    k1, _, k3 = kl_estimates(steps.reference - log_prob.detach())
    return {"policy/reference_kl_k1": k1, "policy/reference_kl_k3": k3}

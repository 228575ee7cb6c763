"""How off-policy returns are weighed, as values that an algorithm holds: (log-ratio, reward, baseline …) → credit.

Credit cₜ is what multiplies ∇log π′(aₜ|sₜ); all fields are ``[T, N]`` and anything may stand in masked rows.
"""

from typing import Protocol, TypeAlias, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor

from clipper.data.values import NonNegative, value
from clipper.functional.importance import (
    importance_weight,
    log_product_so_far,
    log_whole_product,
    self_normalised_credit,
)
from clipper.functional.returns import reward_to_go, total_return


def own_ratio(
    log_ratio: Float[Tensor, "T N"], done: Bool[Tensor, "T N"], mask: Bool[Tensor, "T N"]
) -> Float[Tensor, "T N"]:
    """Log rₜ, each decision's own."""
    return log_ratio


def weighted_return(
    log_weight: Float[Tensor, "T N"], reward: Float[Tensor, "T N"], baseline: Float[Tensor, "T N"],
    done: Bool[Tensor, "T N"], mask: Bool[Tensor, "T N"], gamma: float,
) -> Float[Tensor, "T N"]:  # fmt: skip
    """wₜ (Gₜ − b(sₜ))."""
    return importance_weight(log_weight) * (reward_to_go(reward, done, mask, gamma) - baseline)


def return_of_weighted(
    log_weight: Float[Tensor, "T N"], reward: Float[Tensor, "T N"], baseline: Float[Tensor, "T N"],
    done: Bool[Tensor, "T N"], mask: Bool[Tensor, "T N"], gamma: float,
) -> Float[Tensor, "T N"]:  # fmt: skip
    """Σ_{k≥t} γᵏ⁻ᵗ wₖ rewardₖ − wₜ b(sₜ)."""
    w = importance_weight(log_weight)
    return reward_to_go(w * reward, done, mask, gamma) - w * baseline


@value
class WholeTrajectory:
    """cₜ = p(τ; θ′)/p(τ; θ) (Gₜ − b(sₜ)): unbiased, and of a huge variance where episodes are long."""

    log_weight = staticmethod(log_whole_product)
    credit = staticmethod(weighted_return)


@value
class CausalProduct:
    """cₜ = Σ_{k≥t} γᵏ⁻ᵗ (Π_{j≤k} rⱼ) rewardₖ − (Π_{j≤t} rⱼ) b(sₜ): unbiased too, without the ratios of the future."""

    log_weight = staticmethod(log_product_so_far)
    credit = staticmethod(return_of_weighted)


@value
class FirstOrder:
    """cₜ = rₜ (Gₜ − b(sₜ)): one ratio a step, exact at θ′ = θ, with a bias that grows with the KL; it leads to PPO."""

    log_weight = staticmethod(own_ratio)
    credit = staticmethod(weighted_return)


@value
class SelfNormalised:
    """cₜ = M (w/Z) (R(τ) − J + λ), w = p(τ; θ′)/p(τ; θ): climbs Σ wᵢ Rᵢ / Z + λ log Z (guided policy search, 2013).

    Weights count relative to their sum Z over the M episodes, which biases the estimate and bounds its variance. J, the
    estimate itself, is the baseline, so that no other is subtracted. The paper has a Z for each step of an episode.
    """

    regulariser: NonNegative = 0.01
    """λ, what it is worth that the episodes are likely under π′ at all; 0 does not care."""
    over_all = True
    """It needs the episodes of all who learn from a batch."""
    log_weight = staticmethod(log_whole_product)

    def credit(
        self, log_weight: Float[Tensor, "T N"], reward: Float[Tensor, "T N"], baseline: Float[Tensor, "T N"],
        done: Bool[Tensor, "T N"], mask: Bool[Tensor, "T N"], gamma: float,
    ) -> Float[Tensor, "T N"]:  # fmt: skip
        """M (w/Z) (R(τ) − J + λ)."""
        returns = total_return(reward, done, mask, gamma)
        return self_normalised_credit(log_weight, returns, done & mask, self.regulariser)


@runtime_checkable
class OwnWeights(Protocol):
    """A weighing of your own. With an attribute ``over_all`` that is True it needs all episodes in one process."""

    def log_weight(
        self, log_ratio: Float[Tensor, "T N"], done: Bool[Tensor, "T N"], mask: Bool[Tensor, "T N"]
    ) -> Float[Tensor, "T N"]:
        """Logarithm of each decision's weight."""
        ...

    def credit(
        self, log_weight: Float[Tensor, "T N"], reward: Float[Tensor, "T N"], baseline: Float[Tensor, "T N"],
        done: Bool[Tensor, "T N"], mask: Bool[Tensor, "T N"], gamma: float,
    ) -> Float[Tensor, "T N"]:  # fmt: skip
        """What multiplies ∇log π′."""
        ...


ImportanceWeights: TypeAlias = FirstOrder | CausalProduct | WholeTrajectory | SelfNormalised | OwnWeights

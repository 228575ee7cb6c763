"""How off-policy returns are weighed, as values that an algorithm holds: (log-ratio, reward, baseline …) → credit.

Credit cₜ is what multiplies ∇log π′(aₜ|sₜ); all fields are ``[T, N]`` and anything may stand in masked rows.
"""

from typing import Protocol, TypeAlias, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor

from clipper.data.values import value
from clipper.functional.importance import importance_weight, log_product_so_far, log_whole_product
from clipper.functional.returns import reward_to_go


@value
class WholeTrajectory:
    """cₜ = p(τ; θ′)/p(τ; θ) (Gₜ − b(sₜ)): unbiased, and of a huge variance where episodes are long."""

    def log_weight(
        self, log_ratio: Float[Tensor, "T N"], done: Bool[Tensor, "T N"], mask: Bool[Tensor, "T N"]
    ) -> Float[Tensor, "T N"]:
        return log_whole_product(log_ratio, done, mask)

    def credit(
        self, log_weight: Float[Tensor, "T N"], reward: Float[Tensor, "T N"], baseline: Float[Tensor, "T N"],
        done: Bool[Tensor, "T N"], mask: Bool[Tensor, "T N"], gamma: float,
    ) -> Float[Tensor, "T N"]:  # fmt: skip
        return importance_weight(log_weight) * (reward_to_go(reward, done, mask, gamma) - baseline)


@value
class CausalProduct:
    """cₜ = Σ_{k≥t} γᵏ⁻ᵗ (Π_{j≤k} rⱼ) rewardₖ − (Π_{j≤t} rⱼ) b(sₜ): unbiased too, without the ratios of the future."""

    def log_weight(
        self, log_ratio: Float[Tensor, "T N"], done: Bool[Tensor, "T N"], mask: Bool[Tensor, "T N"]
    ) -> Float[Tensor, "T N"]:
        return log_product_so_far(log_ratio, done, mask)

    def credit(
        self, log_weight: Float[Tensor, "T N"], reward: Float[Tensor, "T N"], baseline: Float[Tensor, "T N"],
        done: Bool[Tensor, "T N"], mask: Bool[Tensor, "T N"], gamma: float,
    ) -> Float[Tensor, "T N"]:  # fmt: skip
        w = importance_weight(log_weight)
        return reward_to_go(w * reward, done, mask, gamma) - w * baseline


@value
class FirstOrder:
    """cₜ = rₜ (Gₜ − b(sₜ)): one ratio a step, exact at θ′ = θ, with a bias that grows with the KL; it leads to PPO."""

    def log_weight(
        self, log_ratio: Float[Tensor, "T N"], done: Bool[Tensor, "T N"], mask: Bool[Tensor, "T N"]
    ) -> Float[Tensor, "T N"]:
        return log_ratio

    def credit(
        self, log_weight: Float[Tensor, "T N"], reward: Float[Tensor, "T N"], baseline: Float[Tensor, "T N"],
        done: Bool[Tensor, "T N"], mask: Bool[Tensor, "T N"], gamma: float,
    ) -> Float[Tensor, "T N"]:  # fmt: skip
        return importance_weight(log_weight) * (reward_to_go(reward, done, mask, gamma) - baseline)


@runtime_checkable
class OwnWeights(Protocol):
    """A weighing of your own."""

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


ImportanceWeights: TypeAlias = FirstOrder | CausalProduct | WholeTrajectory | OwnWeights

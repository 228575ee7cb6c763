"""KL(μ ‖ π) in an update, as values that an algorithm holds: how it is measured, and where it ends the update."""

from typing import Literal, TypeAlias

from jaxtyping import Float
from torch import Tensor

from clipper.data.values import Bound, value

ESTIMATES = ("k1", "k2", "k3")
"""In the order of ``functional.objectives.kl_estimates``."""


@value
class Sampled:
    """An estimate from the actions that were sampled (``functional.objectives.kl_estimates``), without gradient."""

    estimate: Literal["k1", "k2", "k3"] = "k3"
    """k1 = −log r is unbiased, k2 = ½ (log r)² has little variance, k3 = (r − 1) − log r is unbiased and ≥ 0."""


@value
class Exact:
    """Of the whole distributions, π's and that of the policy as the update began."""


KL: TypeAlias = Sampled | Exact


@value
class KLStop:
    """The end of an update where a minibatch's mean KL exceeds 1.5 times the target.

    An update that takes no step reports a gradient norm of 0.
    """

    target: Bound = 0.01
    """KL that an update should have, in nats."""
    at: Literal["minibatch", "epoch"] = "minibatch"
    """When it ends: at once, before that minibatch's own step (Stable-Baselines3, Spinning Up), or with an epoch, in
    whose last minibatch the KL was too large (CleanRL)."""

    def end(self, kl: Float[Tensor, ""]) -> Literal["minibatch", "epoch"] | None:
        """Where the update ends for a minibatch's KL, or None."""
        return self.at if kl > 1.5 * self.target else None

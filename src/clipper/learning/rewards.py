"""Rewards before an estimator reads them, as values that an algorithm holds: as they are, scaled, or normalised."""

from typing import Protocol, TypeAlias, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor, nn

from clipper.data.steps import Targets
from clipper.data.values import Bound, value
from clipper.learning.world import World
from clipper.networks.normalise import RewardNormaliser, RewardScaler


@value
class Raw:
    """As they are: rewards, or advantages."""

    def scaler(self) -> None:
        return None

    def of_batch(self, targets: Targets, world: World) -> Targets:
        return targets

    def of_minibatch(
        self, advantage: Float[Tensor, "*batch"], mask: Bool[Tensor, "*batch"], world: World
    ) -> Float[Tensor, "*batch"]:
        return advantage


@value
class Scaled:
    """r / σ, σ the running standard deviation of the discounted sum of rewards (arXiv:2005.12729, section 3)."""

    bound: Bound = 10.0
    """Bound on the scaled reward's size."""

    def scaler(self) -> RewardScaler:
        return RewardScaler(self.bound)


@value
class Normalised:
    """(r − μ) / σ over the rewards so far ("10 tricks", 3). It moves their zero: another policy may become best."""

    bound: Bound = 10.0
    """Bound on the normalised reward's size."""

    def scaler(self) -> RewardNormaliser:
        return RewardNormaliser(self.bound)


@runtime_checkable
class OwnRewards(Protocol):
    """A transformation of your own."""

    def scaler(self) -> nn.Module | None:
        """A module for the learner: called with rewards ``[T, N]`` it gives what is learned from; its
        ``absorb(reward, discounted_return)`` takes in each batch's decisions ``[D]`` before.
        """
        ...


Rewards: TypeAlias = Raw | Scaled | Normalised | OwnRewards

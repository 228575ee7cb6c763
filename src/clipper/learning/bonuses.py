"""Bonuses for what has not been seen before, as values that an algorithm holds (``clipper.algorithms.exploring``)."""

from typing import Annotated, Protocol, TypeAlias, runtime_checkable

from torch import Generator, nn

from clipper.data.values import Count, Fraction, Natural, Positive, Range, value
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.novelty import Curiosity, Distillation, VisitCounts


@value
class RND:
    """‖f̂(s′) − f(s′)‖²: a network learns what a random, fixed one says of states, and errs where few have been like
    this one (random network distillation, Burda et al. 2018, arXiv:1810.12894).
    """

    features: Count = 64
    """Numbers that both say of a state."""
    hidden: tuple[Count, ...] = (64,)
    """Widths of both networks' hidden layers."""
    deeper: Natural = 2
    """Layers that the one which learns has more."""
    share: Annotated[float, Range(0, 1, open_below=True)] = 1.0
    """The share of a minibatch's rows that it learns from; the paper's falls with the number of environments, so that
    novelty does not wear off faster (1 for 32, 0.25 for 128)."""
    bound: Positive = 5.0
    """Bound on the normalised observations that both see."""

    def module(self, policy: ActorCritic, generator: Generator) -> nn.Module:
        """Both networks."""
        return Distillation(policy, self.hidden, self.features, self.deeper, self.bound, self.share, generator)


@value
class ICM:
    """(η/2) ‖φ̂(s′) − φ(s′)‖²: the error of a model of what an action does, in features φ from which the action can be
    inferred, so that what no action changes need not be in them (Pathak et al. 2017, arXiv:1705.05363).
    """

    beta: Fraction = 0.2
    """β, weight of the forward model's loss; 1 − β is the inverse model's."""
    eta: Positive = 0.01
    """η, the bonus's scale, which counts for nothing where ``Exploring`` scales it."""
    features: Count = 64
    """Numbers in φ."""
    hidden: tuple[Count, ...] = (64,)
    """Widths of each network's hidden layers."""
    detach_forward: bool = False
    """Let φ learn from the inverse model alone."""
    bound: Positive = 5.0
    """Bound on the normalised observations that φ sees."""

    def module(self, policy: ActorCritic, generator: Generator) -> nn.Module:
        """φ and both models."""
        return Curiosity(
            policy, self.hidden, self.features, self.beta, self.eta, self.detach_forward, self.bound, generator
        )


@value
class Counts:
    """β / √n of a state's code, n the number of times that it was met (Tang et al. 2017, arXiv:1611.04717)."""

    beta: Positive = 1.0
    """β, the bonus's scale, which counts for nothing where ``Exploring`` scales it."""
    bits: Annotated[int, Range(1, 24)] = 16
    """k: states have one of 2ᵏ codes; with fewer, more states are taken for one another."""
    bound: Positive = 5.0
    """Bound on the normalised observations that are coded."""

    def module(self, policy: ActorCritic, generator: Generator) -> nn.Module:
        """The codes' directions and the table of counts."""
        return VisitCounts(policy, self.beta, self.bits, self.bound, generator)


@runtime_checkable
class OwnBonus(Protocol):
    """A bonus of your own."""

    def module(self, policy: ActorCritic, generator: Generator) -> nn.Module:
        """A module for the learner that follows ``clipper.networks.novelty.Novelty``, weights from ``generator``."""
        ...


Bonus: TypeAlias = RND | ICM | Counts | OwnBonus

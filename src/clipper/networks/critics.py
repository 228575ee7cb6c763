"""What a critic's last layer says, as values: one number, in the returns' own units or rescaled, or weights of bins."""

from typing import Annotated, NamedTuple, Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clipper.data.steps import Value
from clipper.data.values import NonNegative, Range, value
from clipper.errors import ConfigError
from clipper.functional.objectives import rescale, restore, symexp, two_hot_cross_entropy
from clipper.networks.normalise import ReturnNormaliser


class TwoHotValue(NamedTuple):
    """A critic's answer that is a distribution over ``bins``, which are symmetric about the middle one, 0."""

    logits: Float[Tensor, "*batch K"]
    bins: Float[Tensor, " K"]

    @property
    def mean(self) -> Float[Tensor, "*batch"]:
        """V(s) = Σₖ pₖ bₖ, summed in pairs so that equal weights cancel exactly, however large the bins."""
        p, middle = self.logits.softmax(-1), len(self.bins) // 2
        return ((p[..., middle + 1 :] - p[..., :middle].flip(-1)) * self.bins[middle + 1 :]).sum(-1)

    def loss(self, target: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """The cross-entropy to the target's two neighbouring bins."""
        return two_hot_cross_entropy(self.logits, target, self.bins)

    def in_units(self, x: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """There are none: raises ``ConfigError``."""
        raise ConfigError("a two-hot critic has no error in units of V: set value_loss=CrossEntropy()")

    error = in_units


class TwoHotBins(nn.Module):
    """Reads the value layer's numbers as logits of bins, symexp(linspace(−limit, limit, K)).

    The layer starts at 0: then V is 0 everywhere, and not some chance sum of large bins (arXiv:2301.04104).
    """

    bins: Tensor

    def __init__(self, layer: nn.Linear, count: int, limit: float) -> None:
        super().__init__()
        self.register_buffer("bins", symexp(torch.linspace(-limit, limit, count)), persistent=False)
        self.bins[count // 2] = 0.0
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)

    def value(self, raw: Float[Tensor, "*batch K"]) -> TwoHotValue:
        """V(s) of what the value layer says."""
        return TwoHotValue(raw, self.bins)

    def absorb(self, returns: Float[Tensor, " batch"]) -> None:
        """Nothing: the bins hold returns of every size."""

    def follow(self, other: "TwoHotBins", layer: nn.Linear) -> None:
        """Nothing: there are no units."""


class RescaledValue(NamedTuple):
    """A critic's answer that is h(V)."""

    raw: Float[Tensor, "*batch"]
    """What the value layer says."""
    epsilon: float
    """ε of h."""

    @property
    def mean(self) -> Float[Tensor, "*batch"]:
        """V(s) = h⁻¹(raw), in the units of the rewards."""
        return restore(self.raw, self.epsilon)

    def error(self, target: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """The error h(V) − h(R)."""
        return self.raw - self.in_units(target)

    def in_units(self, x: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """What h makes of a value or a return."""
        return rescale(x, self.epsilon)


class Rescaling(nn.Module):
    """Reads the value layer's number as h(V). There is no statistic in it, and so nothing to absorb."""

    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon

    def value(self, raw: Float[Tensor, "*batch 1"]) -> RescaledValue:
        """V(s) of what the value layer says."""
        return RescaledValue(raw.squeeze(-1), self.epsilon)

    def absorb(self, returns: Float[Tensor, " batch"]) -> None:
        """Nothing: h holds returns of every size."""

    def follow(self, other: "Rescaling", layer: nn.Linear) -> None:
        """Nothing: the units never change."""


Reader: TypeAlias = ReturnNormaliser | TwoHotBins | Rescaling
"""What makes an answer of the numbers that a value layer gives."""
CriticOutput: TypeAlias = Value | RescaledValue | TwoHotValue
"""A critic's answer, which has a ``mean``, V(s)."""


@value
class Scalar:
    """V(s) is what the layer says."""

    @property
    def outputs(self) -> int:
        """Numbers that the value layer gives."""
        return 1

    def reader(self, layer: nn.Linear) -> Reader | None:
        """What makes V(s) of them; None where nothing has to."""
        return None


@value
class PopArt:
    """V(s) = μ + σ · what the layer says, which is rescaled when μ and σ move, so that V stays (arXiv:1602.07714)."""

    beta: Annotated[float, Range(0, 1, open_below=True)] = 0.1
    """Weight of the latest update's returns in their running mean μ and deviation σ."""

    @property
    def outputs(self) -> int:
        return 1

    def reader(self, layer: nn.Linear) -> Reader | None:
        return ReturnNormaliser(layer, self.beta)


@value
class Rescaled:
    """The layer says h(V), h(x) = sign(x) (√(|x| + 1) − 1) + εx, and is fitted to h(R) (arXiv:1805.11593).

    Large returns are brought near, without statistics that move. A critic of noisy returns then answers with
    h⁻¹(E[h(R)]), which is not E[R]: below it where returns are positive.
    """

    epsilon: NonNegative = 1e-3
    """ε, which keeps h⁻¹ from growing faster than linearly in the end; 0 leaves the root alone."""

    @property
    def outputs(self) -> int:
        return 1

    def reader(self, layer: nn.Linear) -> Reader | None:
        return Rescaling(self.epsilon)


@value
class TwoHot:
    """V(s) is the mean of a distribution over bins that lie the denser the nearer to 0 (arXiv:2301.04104).

    It is fitted by ``CrossEntropy``, whose gradient does not grow with the returns.
    """

    bins: Annotated[int, Range(3)] = 255
    """How many; odd, so that one of them is 0."""
    limit: Annotated[float, Range(0, 80, open_below=True)] = 20.0
    """The outermost bins are ±(exp(limit) − 1)."""

    def __post_init__(self) -> None:
        if self.bins % 2 == 0:
            raise ConfigError(f"TwoHot: bins must be odd, not {self.bins}, so that one of them is 0")

    @property
    def outputs(self) -> int:
        return self.bins

    def reader(self, layer: nn.Linear) -> Reader | None:
        return TwoHotBins(layer, self.bins, self.limit)


class NoValue(nn.Module):
    """Stands where a policy that has no V would have its critic: to ask for V is an error."""

    def forward(self, features: Tensor) -> Tensor:
        raise ConfigError(
            "this policy has no V (critic=None, as SAC, TD3 and DDPG need none): for an algorithm that needs one, make "
            "it with a critic, clipper.PolicyOptions(critic=clipper.critics.Scalar())"
        )


@runtime_checkable
class OwnCritic(Protocol):
    """A critic's answer of your own."""

    @property
    def outputs(self) -> int:
        """Numbers that the value layer gives."""
        ...

    def reader(self, layer: nn.Linear) -> Reader | None:
        """What makes V(s) of them, as ``ReturnNormaliser`` and ``Rescaling`` do; None where nothing has to."""
        ...


Critic: TypeAlias = Scalar | PopArt | Rescaled | TwoHot | OwnCritic

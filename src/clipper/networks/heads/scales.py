"""Where a Gaussian policy's log σ comes from, as values: learned, fixed, decaying with progress, or given by the state.

Each makes a module that maps features ``[*batch, F]`` to log σ ``[*#batch, A]``; what is the same in every state
broadcasts.
"""

import math
from collections.abc import Callable
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.nn.functional import softplus

from clipper.data.values import Positive, value
from clipper.errors import ConfigError
from clipper.networks.initialisation import OrthogonalLinear

LOG_STD_BOUNDS = (-10.0, 2.0)  # σ between 5e-5 and 7.4: neither collapses to 0 nor overflows


@value
class Learned:
    """One log σ per component, a parameter, the same in every state (Schulman et al. 2017, arXiv:1707.06347)."""

    def log_std_layer(self, features: int, size: int, start: float, generator: Generator) -> nn.Module:
        return LearnedLogStd(size, start)


@value
class Fixed:
    """σ stays as it starts; nothing about it is trained."""

    def log_std(self, start: float, progress: Tensor) -> Tensor:
        """Log σ, at any time."""
        return torch.full_like(progress, start)

    def log_std_layer(self, features: int, size: int, start: float, generator: Generator) -> nn.Module:
        return PlannedLogStd(size, start, self.log_std)


@value
class LinearLogStd:
    """Log σ along a line from its start to ``end``, by the fraction of the run that is done; not trained."""

    end: float = -2.0
    """log σ at the run's end."""

    def log_std(self, start: float, progress: Tensor) -> Tensor:
        """(1 − p) log σ₀ + p log σ₁."""
        return start + (self.end - start) * progress

    def log_std_layer(self, features: int, size: int, start: float, generator: Generator) -> nn.Module:
        return PlannedLogStd(size, start, self.log_std)


@value
class LinearStd:
    """σ along a line from its start to ``end``, by the fraction of the run that is done; not trained."""

    end: Positive = 0.1
    """σ at the run's end."""

    def log_std(self, start: float, progress: Tensor) -> Tensor:
        """log((1 − p) σ₀ + p σ₁)."""
        first = math.exp(start)
        return (first + (self.end - first) * progress).log()

    def log_std_layer(self, features: int, size: int, start: float, generator: Generator) -> nn.Module:
        return PlannedLogStd(size, start, self.log_std)


@value
class ExpOfState:
    """σ(s) = exp(c + W z(s) + b) with c the start, kept within bounds."""

    def log_std(self, raw: Tensor) -> Tensor:
        """The layer's own output."""
        return raw

    def log_std_layer(self, features: int, size: int, start: float, generator: Generator) -> nn.Module:
        return StateLogStd(features, size, start, self.log_std, generator)


@value
class SoftplusOfState:
    """σ(s) = softplus(c + W z(s) + b) + σ_min, bounded above, with c from the start.

    Andrychowicz et al. 2020, arXiv:2006.05990, appendix B.
    """

    def log_std(self, raw: Tensor) -> Tensor:
        """log(softplus(x) + σ_min); σ_min inside the logarithm keeps its gradient finite as x → −∞."""
        return (softplus(raw) + math.exp(LOG_STD_BOUNDS[0])).log()

    def log_std_layer(self, features: int, size: int, start: float, generator: Generator) -> nn.Module:
        std = math.exp(start)
        first = std + math.log(-math.expm1(-std))  # softplus(first) = σ
        return StateLogStd(features, size, first, self.log_std, generator)


@runtime_checkable
class OwnScale(Protocol):
    """A σ of your own."""

    def log_std_layer(self, features: int, size: int, start: float, generator: Generator) -> nn.Module:
        """A module from features ``[*batch, F]`` to log σ ``[*#batch, A]``."""
        ...


Scale: TypeAlias = Learned | Fixed | LinearLogStd | LinearStd | ExpOfState | SoftplusOfState | OwnScale


class LearnedLogStd(nn.Module):
    """log σ as a parameter."""

    def __init__(self, size: int, start: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.full((size,), start))

    def forward(self, features: Float[Tensor, "*batch F"]) -> Float[Tensor, " A"]:
        return self.value.clamp(*LOG_STD_BOUNDS)


class PlannedLogStd(nn.Module):
    """log σ as a function of ``progress``, which ``Learner.advance`` sets before each iteration and nothing within."""

    progress: Tensor

    def __init__(self, size: int, start: float, plan: Callable[[float, Tensor], Tensor]) -> None:
        super().__init__()
        self.size, self.start, self.plan = size, start, plan
        self.register_buffer("progress", torch.zeros((), dtype=torch.float64))

    def forward(self, features: Float[Tensor, "*batch F"]) -> Float[Tensor, " A"]:
        log_std = self.plan(self.start, self.progress.clamp(0, 1)).clamp(*LOG_STD_BOUNDS)
        return log_std.to(features.dtype).expand(self.size)


class StateLogStd(nn.Module):
    """log σ from a linear layer on the actor's features; its weights are small, so that all states start alike."""

    def __init__(
        self, features: int, size: int, start: float, link: Callable[[Tensor], Tensor], generator: Generator
    ) -> None:
        super().__init__()
        self.linear, self.start, self.link = OrthogonalLinear(features, size, 0.01, generator), start, link

    def forward(self, features: Float[Tensor, "*batch F"]) -> Float[Tensor, "*batch A"]:
        return self.link(self.start + self.linear(features)).clamp(*LOG_STD_BOUNDS)


def only_learned(std: Scale, why: str) -> None:
    """Raise ``ConfigError`` where σ was chosen for a distribution that has none to choose."""
    if not isinstance(std, Learned):
        raise ConfigError(f"{why}: leave std at learned, or use gaussian or tanh_gaussian")

"""What the critic is fitted to, and whose values stand in for what was not seen, as values that an algorithm holds."""

from typing import Any, Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clipper.data.values import Count, Fraction, value
from clipper.functional.returns import lambda_return, n_step


@value
class Periodic:
    """The critic as it was when the last of every so many updates began (Mnih et al. 2015, doi:10.1038/nature14236)."""

    updates: Count = 10
    """How many updates one copy serves; 1 is the critic itself."""

    @torch.no_grad()
    def __call__(self, lagged: nn.Module, policy: nn.Module, update: int) -> None:
        if update % self.updates == 0:
            lagged.load_state_dict(policy.state_dict())


@value
class Polyak:
    """θ⁻ ← θ⁻ + τ (θ − θ⁻) when each update begins (Lillicrap et al. 2016, arXiv:1509.02971, algorithm 1).

    Running statistics are no parameters: the copy has them as they are now. Where returns are normalised, its value
    layer is first brought to the present units, in which its V is what it was: only then do both have one unit.
    """

    tau: Fraction = 0.1
    """τ; 1 is the critic itself."""

    @torch.no_grad()
    def __call__(self, lagged: nn.Module, policy: nn.Module, update: int) -> None:
        if getattr(lagged, "returns", None) is not None:
            lagged.returns.follow(policy.returns, lagged.value_layer)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
        for slow, fast in zip(lagged.parameters(), policy.parameters(), strict=True):
            slow.lerp_(fast, self.tau)
        for slow, fast in zip(lagged.buffers(), policy.buffers(), strict=True):
            slow.copy_(fast)


@runtime_checkable
class OwnLag(Protocol):
    """A way of your own to let a copy lag behind."""

    def __call__(self, lagged: nn.Module, policy: nn.Module, update: int) -> None:
        """Change ``lagged`` as the ``update`` of this number begins."""
        ...


Lag: TypeAlias = Periodic | Polyak | OwnLag | None


@value
class MonteCarlo:
    """The discounted return that followed; V(s) of the last observation where an episode was cut before its end."""

    lag: Lag = None
    """A copy of the critic that lags behind and gives V: periodic(k) or polyak(τ); None: the critic itself."""

    def __call__(self, *recorded: Any) -> Float[Tensor, "T N"]:
        return lambda_return(*recorded, lam=1.0)


@value
class TD0:
    """r + γ V(s′): one reward, then bootstrap from the critic."""

    lag: Lag = None
    """As ``MonteCarlo``'s."""

    def __call__(self, *recorded: Any) -> Float[Tensor, "T N"]:
        return n_step(*recorded, n=1)


@value
class NStep:
    """``n`` rewards, then bootstrap from the critic."""

    n: Count = 5
    """At least 1."""
    lag: Lag = None
    """As ``MonteCarlo``'s."""

    def __call__(self, *recorded: Any) -> Float[Tensor, "T N"]:
        return n_step(*recorded, n=self.n)


@value
class TDLambda:
    """The λ-return, with a λ that need not be the advantage's."""

    lam: Fraction = 0.95
    """λ: 0 is ``TD0``, 1 ``MonteCarlo``."""
    lag: Lag = None
    """As ``MonteCarlo``'s."""

    def __call__(self, *recorded: Any) -> Float[Tensor, "T N"]:
        return lambda_return(*recorded, lam=self.lam)


@runtime_checkable
class OwnCriticTarget(Protocol):
    """A target of your own: a function will do. With an attribute ``lag`` it gets the values of a lagged critic."""

    def __call__(
        self, reward: Float[Tensor, "T N"], value: Float[Tensor, "T+1 N"], terminated: Bool[Tensor, "T N"],
        done: Bool[Tensor, "T N"], mask: Bool[Tensor, "T N"], gamma: float,
    ) -> Float[Tensor, "T N"]:  # fmt: skip
        """What the critic is fitted to."""
        ...


CriticTarget: TypeAlias = MonteCarlo | TD0 | NStep | TDLambda | OwnCriticTarget | None


def lag_of(critic_target: CriticTarget) -> Lag:
    """How the critic whose values the target takes lags behind; None where it does not."""
    return getattr(critic_target, "lag", None)

"""What the critic is fitted to, and whose values stand in for what was not seen, as values that an algorithm holds."""

from typing import Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clipper.data.values import Count, Fraction, value
from clipper.functional.returns import lambda_return, n_step


@value
class MonteCarlo:
    """The discounted return that followed; V(s) of the last observation where an episode was cut before its end."""

    def __call__(
        self, reward: Float[Tensor, "T N"], value: Float[Tensor, "T+1 N"], terminated: Bool[Tensor, "T N"],
        done: Bool[Tensor, "T N"], mask: Bool[Tensor, "T N"], gamma: float,
    ) -> Float[Tensor, "T N"]:  # fmt: skip
        return lambda_return(reward, value, terminated, done, mask, gamma, 1.0)


@value
class TD0:
    """R + γ V(s′): one reward, and the critic for the rest."""

    def __call__(
        self, reward: Float[Tensor, "T N"], value: Float[Tensor, "T+1 N"], terminated: Bool[Tensor, "T N"],
        done: Bool[Tensor, "T N"], mask: Bool[Tensor, "T N"], gamma: float,
    ) -> Float[Tensor, "T N"]:  # fmt: skip
        return n_step(reward, value, terminated, done, mask, gamma, 1)


@value
class NStep:
    """``n`` rewards, and the critic for the rest."""

    n: Count = 5
    """At least 1."""

    def __call__(
        self, reward: Float[Tensor, "T N"], value: Float[Tensor, "T+1 N"], terminated: Bool[Tensor, "T N"],
        done: Bool[Tensor, "T N"], mask: Bool[Tensor, "T N"], gamma: float,
    ) -> Float[Tensor, "T N"]:  # fmt: skip
        return n_step(reward, value, terminated, done, mask, gamma, self.n)


@value
class TDLambda:
    """The λ-return, with a λ that need not be the advantage's."""

    lam: Fraction = 0.95
    """λ: 0 is ``TD0``, 1 ``MonteCarlo``."""

    def __call__(
        self, reward: Float[Tensor, "T N"], value: Float[Tensor, "T+1 N"], terminated: Bool[Tensor, "T N"],
        done: Bool[Tensor, "T N"], mask: Bool[Tensor, "T N"], gamma: float,
    ) -> Float[Tensor, "T N"]:  # fmt: skip
        return lambda_return(reward, value, terminated, done, mask, gamma, self.lam)


@runtime_checkable
class OwnCriticTarget(Protocol):
    """A target of your own: a function will do."""

    def __call__(
        self, reward: Float[Tensor, "T N"], value: Float[Tensor, "T+1 N"], terminated: Bool[Tensor, "T N"],
        done: Bool[Tensor, "T N"], mask: Bool[Tensor, "T N"], gamma: float,
    ) -> Float[Tensor, "T N"]:  # fmt: skip
        """What the critic is fitted to."""
        ...


CriticTarget: TypeAlias = MonteCarlo | TD0 | NStep | TDLambda | OwnCriticTarget | None


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
class OwnTargetCritic(Protocol):
    """A way of your own to let a copy lag behind."""

    def __call__(self, lagged: nn.Module, policy: nn.Module, update: int) -> None:
        """Change ``lagged`` as the ``update`` of this number begins."""
        ...


TargetCritic: TypeAlias = Periodic | Polyak | OwnTargetCritic | None

"""First-order optimizers as values that an algorithm holds."""

import functools
import inspect
from typing import Annotated, Any, Protocol, TypeAlias, runtime_checkable

import torch
from torch import nn

from clipper.data.values import Fraction, NonNegative, Range, value


@functools.cache
def light(kind: type[torch.optim.Optimizer]) -> Any:
    """The same optimizer, without the decorators that load torch's compiler: some 75 MB, and over a second."""
    add, step = (inspect.unwrap(x) for x in (kind.add_param_group, kind.step))
    return type(kind.__name__, (kind,), {"add_param_group": add, "step": torch.no_grad()(step)})


def as_list(parameters: nn.Parameter | list[nn.Parameter]) -> list[nn.Parameter]:
    """As torch's optimizers take them."""
    return [parameters] if isinstance(parameters, nn.Parameter) else parameters


Decay: TypeAlias = Annotated[float, Range(0, 1, open_above=True)]


@value
class Adam:
    """Steps along the mean gradient over the root of its mean square (Kingma & Ba 2015, arXiv:1412.6980)."""

    eps: NonNegative = 1e-5
    """ε, which bounds steps along tiny gradients ("37 details", core 3); torch's default is 1e-8."""
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    """How much of the mean gradient and of its mean square a step keeps, β₁ and β₂."""
    weight_decay: NonNegative = 0.0
    """λ of an L2 penalty: λ θ is added to the gradient, as torch's Adam does."""

    def make(self, parameters: nn.Parameter | list[nn.Parameter]) -> torch.optim.Optimizer:
        fused = light(torch.optim.Adam)
        return fused(
            as_list(parameters), eps=self.eps, betas=self.betas, weight_decay=self.weight_decay, fused=True
        )  # fmt: skip


class RMSprop(light(torch.optim.RMSprop)):
    """torch's, which leaves all as it was where ``found_inf`` is 1, as torch's fused Adam does."""

    found_inf: torch.Tensor | None = None

    def step(self, closure: object = None) -> None:
        before = []
        for p in self.param_groups[0]["params"]:
            moments = self.state[p] or {"step": torch.zeros(()), "square_avg": torch.zeros_like(p)}
            before.append({name: x.clone() for name, x in moments.items()} | {"": p.detach().clone()})
        super().step()
        if self.found_inf is None:
            return
        for p, kept in zip(self.param_groups[0]["params"], before, strict=True):
            for name, old in kept.items():
                now = self.state[p][name] if name else p.data
                now.copy_(torch.where(self.found_inf.to(now.device) > 0, old, now))


@value
class RMSProp:
    """g ← αg + (1 − α)∇², θ ← θ − η ∇/(√g + ε) (Mnih et al. 2016, arXiv:1602.01783, eqs 8 and 9)."""

    decay: Fraction = 0.99
    """α, how much of the mean square a step keeps."""
    eps: NonNegative = 1e-5
    """ε, added to √g."""

    def make(self, parameters: nn.Parameter | list[nn.Parameter]) -> torch.optim.Optimizer:
        return RMSprop(as_list(parameters), alpha=self.decay, eps=self.eps)


@value
class RMSPropTF:
    """g ← αg + (1 − α)∇², θ ← θ − η ∇/√(g + ε), g = 1 at first: RMSProp as TensorFlow and openai/baselines have it.

    ε stands below the root, and the first steps are shorter, since g starts far above the squared gradients.
    """

    decay: Fraction = 0.99
    """α, how much of the mean square a step keeps."""
    eps: NonNegative = 1e-5
    """ε, added to g."""

    def make(self, parameters: nn.Parameter | list[nn.Parameter]) -> torch.optim.Optimizer:
        return TensorFlowRMSProp(as_list(parameters), {"lr": 0.0, "alpha": self.decay, "eps": self.eps})


class TensorFlowRMSProp(light(torch.optim.Optimizer)):
    """What ``RMSPropTF`` describes."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        for group in self.param_groups:
            for parameter in group["params"]:
                square = self.state[parameter].setdefault("square_avg", torch.ones_like(parameter))
                square.lerp_(parameter.grad.square(), 1 - group["alpha"])
                parameter.addcdiv_(parameter.grad, (square + group["eps"]).sqrt(), value=-group["lr"])


@runtime_checkable
class OwnOptimizer(Protocol):
    """An optimizer of your own, which keeps tensors per parameter, as torch's do."""

    def make(self, parameters: nn.Parameter | list[nn.Parameter]) -> torch.optim.Optimizer:
        """For one flat vector, or for a list of them where dtypes or devices differ; its ``lr`` is set before each
        step.
        """
        ...


Optimizer: TypeAlias = Adam | RMSProp | RMSPropTF | OwnOptimizer

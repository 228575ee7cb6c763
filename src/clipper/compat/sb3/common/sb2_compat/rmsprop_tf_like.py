"""TensorFlow's RMSProp, which adds ε under the root and begins its averages at 1."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer


class RMSpropTFLike(Optimizer):
    """v ← α v + (1 − α) g², θ ← θ − lr g / √(v + ε), v₀ = 1; with ``momentum`` and ``centered`` as torch's."""

    def __init__(
        self, params: Iterable[torch.nn.Parameter], lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8,
        weight_decay: float = 0, momentum: float = 0, centered: bool = False,
    ) -> None:  # fmt: skip
        given = {"learning rate": lr, "epsilon value": eps, "momentum value": momentum}
        given |= {"weight_decay value": weight_decay, "alpha value": alpha}
        for name, value in given.items():
            if value < 0:
                raise ValueError(f"Invalid {name}: {value}, which must be at least 0")
        options = {"lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps}
        super().__init__(params, options | {"centered": centered, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step, after what ``closure`` computes."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for own in group["params"]:
                if own.grad is not None:
                    self.move(own, own.grad, group)
        return loss

    def move(self, own: Tensor, gradient: Tensor, group: dict) -> None:
        """One parameter."""
        state = self.state[own]
        if not state:
            state |= {"step": 0, "square_avg": torch.ones_like(own)}
            state |= {"momentum_buffer": torch.zeros_like(own)} if group["momentum"] > 0 else {}
            state |= {"grad_avg": torch.zeros_like(own)} if group["centered"] else {}
        state["step"] += 1
        if group["weight_decay"]:
            gradient = gradient.add(own, alpha=group["weight_decay"])
        square, alpha = state["square_avg"], group["alpha"]
        square.mul_(alpha).addcmul_(gradient, gradient, value=1 - alpha)
        if group["centered"]:
            mean = state["grad_avg"]
            mean.mul_(alpha).add_(gradient, alpha=1 - alpha)
            square = square - mean**2
        root = (square + group["eps"]).sqrt()
        if group["momentum"] > 0:
            buffer = state["momentum_buffer"]
            buffer.mul_(group["momentum"]).addcdiv_(gradient, root)
            own.add_(buffer, alpha=-group["lr"])
        else:
            own.addcdiv_(gradient, root, value=-group["lr"])

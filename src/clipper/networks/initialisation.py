"""Layers whose first weights come from a given generator, never from the global one."""

from typing import TypeVar

import torch
from torch import Generator, nn

M = TypeVar("M", bound=nn.Module)


class OrthogonalLinear(nn.Linear):
    """A linear layer with orthogonal weights times ``gain`` and zero bias (Saxe et al. 2014, arXiv:1312.6120)."""

    def __init__(self, inputs: int, outputs: int, gain: float, generator: Generator) -> None:
        super().__init__(inputs, outputs)
        with torch.no_grad():
            nn.init.orthogonal_(self.weight, gain, generator=generator)
            self.bias.zero_()

    def reset_parameters(self) -> None:
        """Draw nothing: ``nn.Linear`` would, from the global generator."""


class OrthogonalConv2d(nn.Conv2d):
    """A convolution whose kernels, in a row each, are orthogonal times ``gain``, and zero bias (arXiv:1312.6120)."""

    def __init__(
        self, channels: int, outputs: int, kernel: int, stride: int, padding: int, gain: float, generator: Generator
    ) -> None:
        super().__init__(channels, outputs, kernel, stride, padding)
        assert self.bias is not None
        with torch.no_grad():
            nn.init.orthogonal_(self.weight, gain, generator=generator)
            self.bias.zero_()

    def reset_parameters(self) -> None:
        """Draw nothing: ``nn.Conv2d`` would, from the global generator."""


def draw_uniform(module: M, generator: Generator) -> M:
    """Draw W, b ~ U(±1/√n) in every linear layer and convolution of n inputs: torch's own start, from ``generator``.

    The scale is that of LeCun et al. 1998, "Efficient BackProp", section 4.6, up to a factor √3.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            bound = layer.weight[0].numel() ** -0.5
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -bound, bound, generator=generator)
    return module

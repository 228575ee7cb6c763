"""Layers whose first weights come from a given generator, never from the global one."""

import math
import os
from typing import TypeVar

import torch
from torch import Generator, nn

from clipper.errors import ConfigError

COPIES = 4  # of each weight, in float32: itself, its gradient, and the two moments of an optimizer
M = TypeVar("M", bound=nn.Module)


class OrthogonalLinear(nn.Linear):
    """A linear layer with orthogonal weights times ``gain`` and zero bias (Saxe et al. 2014, arXiv:1312.6120)."""

    def __init__(self, inputs: int, outputs: int, gain: float, generator: Generator) -> None:
        check_size(inputs, outputs)
        super().__init__(inputs, outputs)
        with torch.no_grad():
            nn.init.orthogonal_(self.weight, gain, generator=generator)
            self.bias.zero_()

    def reset_parameters(self) -> None:
        """Draw nothing: ``nn.Linear`` would, from the global generator."""


def check_size(inputs: int, outputs: int) -> None:
    """Raise ``ConfigError`` where to learn a linear layer takes more than the machine's memory, before it is taken."""
    needed = 4 * COPIES * inputs * outputs
    if needed > physical_memory():
        raise ConfigError(
            f"a layer of {outputs:,} numbers that reads {inputs:,} takes {needed / 1e9:,.0f} GB to learn, more memory "
            "than there is: show the networks smaller images (--image-size 84 84, EncoderOptions(image_size=(84, 84))) "
            "or smaller observations, or lower hidden, critic_hidden or cnn_features"
        )


def physical_memory() -> float:
    """Bytes of the machine's memory, infinity where that is not known."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return math.inf


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
            bound = max(layer.weight.shape[1:].numel(), 1) ** -0.5  # of none where observations hold no number
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -bound, bound, generator=generator)
    return module

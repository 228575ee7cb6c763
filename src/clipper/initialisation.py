"""Layers whose first weights come from a given generator, never from the global one."""

import torch
from torch import Generator, nn


def orthogonal_linear(inputs: int, outputs: int, gain: float, generator: Generator) -> nn.Linear:
    """A linear layer with orthogonal weights times ``gain`` and zero bias (Saxe et al. 2014, arXiv:1312.6120)."""
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs)
    with torch.no_grad():
        nn.init.orthogonal_(layer.weight, gain, generator=generator)
        layer.bias.zero_()
    return layer

"""Layers whose first weights come from a given generator, never from the global one."""

import torch
from torch import Generator, nn


class OrthogonalLinear(nn.Linear):
    """A linear layer with orthogonal weights times ``gain`` and zero bias (Saxe et al. 2014, arXiv:1312.6120)."""

    def __init__(self, inputs: int, outputs: int, gain: float, generator: Generator) -> None:
        super().__init__(inputs, outputs)
        with torch.no_grad():
            nn.init.orthogonal_(self.weight, gain, generator=generator)
            self.bias.zero_()

    def reset_parameters(self) -> None:
        """Draw nothing: ``nn.Linear`` would, from the global generator."""

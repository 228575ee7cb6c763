"""First-order optimizers as values that an algorithm holds."""

from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import nn


@dataclass(frozen=True, slots=True)
class Adam:
    """Steps along the mean gradient over the root of its mean square (Kingma & Ba 2015, arXiv:1412.6980)."""

    eps: float = 1e-5
    """ε, which bounds steps along tiny gradients."""

    def make(self, parameters: nn.Parameter) -> torch.optim.Optimizer:
        return torch.optim.Adam([parameters], eps=self.eps, fused=True)


@dataclass(frozen=True, slots=True)
class RMSProp:
    """g ← αg + (1 − α)∇², θ ← θ − η ∇/(√g + ε) (Mnih et al. 2016, arXiv:1602.01783, eqs 8 and 9)."""

    decay: float = 0.99
    """α, how much of the mean square a step keeps."""
    eps: float = 1e-5
    """ε, added to √g."""

    def make(self, parameters: nn.Parameter) -> torch.optim.Optimizer:
        return torch.optim.RMSprop([parameters], alpha=self.decay, eps=self.eps)


Optimizer: TypeAlias = Adam | RMSProp

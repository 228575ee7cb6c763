"""The Beta policy on a finite Box (Chou et al. 2017, PMLR 70:834)."""

import gymnasium.spaces
import numpy as np
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.nn.functional import softplus

from clipper.data.trees import Tree
from clipper.data.values import value
from clipper.distributions import IndependentBeta
from clipper.networks.heads.box import finite_box
from clipper.networks.heads.gaussian import LARGEST_TANH
from clipper.networks.heads.scales import Scale, only_learned
from clipper.networks.initialisation import OrthogonalLinear

SHARPEST = 1e4  # bound on α and β: σ of 0.007 on [−1, 1]; beyond it float32 no longer tells ratios near 1


@value
class Beta:
    """Independent Beta components, mapped onto a finite Box: no mass beyond the bounds, hence no bias by clipping."""

    def box_head(
        self, space: gymnasium.spaces.Box, features: int, generator: Generator, *, gain: float, std: Scale,
        initial_log_std: float, rescale: bool,
    ) -> "BetaHead":  # fmt: skip
        only_learned(std, "a beta policy has no σ")
        return BetaHead(space, features, generator, gain)


class BetaHead(nn.Module):
    """α = 1 + softplus(x), β = 1 + softplus(y) from the features: above 1, so that the density has one peak."""

    def __init__(self, space: gymnasium.spaces.Box, features: int, generator: Generator, gain: float) -> None:
        super().__init__()
        self.box = finite_box(space, "beta")
        self.raw = OrthogonalLinear(features, 2 * self.box.size, gain, generator)

    def forward(self, features: Float[Tensor, "*batch F"], action_mask: Tree = ()) -> IndependentBeta:
        alpha, beta = (1 + softplus(self.raw(features))).clamp(max=SHARPEST).chunk(2, -1)
        return IndependentBeta(alpha, beta)

    def to_env(self, action: Float[Tensor, "*batch A"], action_mask: Tree = ()) -> np.ndarray:
        return self.box((action / 2).tanh(), action_mask)  # 2x − 1 of the x whose logit was drawn

    def from_env(self, action: np.ndarray, action_mask: Tree = ()) -> Float[Tensor, "*batch A"]:
        return 2 * self.box.inverse(action, action_mask).clamp(-LARGEST_TANH, LARGEST_TANH).atanh()

"""Last layers of a policy: features → a distribution, and a sample → what the environment takes."""

from clipper.heads.autoregressive import AutoregressiveHead
from clipper.heads.beta import Beta, BetaHead
from clipper.heads.discrete import CategoricalHead, MultiCategoricalHead
from clipper.heads.gaussian import Gaussian, GaussianHead, SquashedHead, TanhGaussian
from clipper.heads.options import BoxDistribution, HeadOptions
from clipper.heads.protocol import Head
from clipper.heads.scales import ExpOfState, Fixed, Learned, LinearLogStd, LinearStd, Scale, SoftplusOfState
from clipper.heads.state_dependent import GSDE, StateDependentHead
from clipper.heads.trees import OneOfHead, ProductHead

__all__ = [
    "GSDE",
    "AutoregressiveHead",
    "Beta",
    "BetaHead",
    "BoxDistribution",
    "CategoricalHead",
    "ExpOfState",
    "Fixed",
    "Gaussian",
    "GaussianHead",
    "Head",
    "HeadOptions",
    "Learned",
    "LinearLogStd",
    "LinearStd",
    "MultiCategoricalHead",
    "OneOfHead",
    "ProductHead",
    "Scale",
    "SoftplusOfState",
    "SquashedHead",
    "StateDependentHead",
    "TanhGaussian",
]

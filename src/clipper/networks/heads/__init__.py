"""Last layers of a policy: features → a distribution, and a sample → what the environment takes."""

from clipper.networks.heads.autoregressive import AutoregressiveHead
from clipper.networks.heads.best_of import BestHead, BestQ
from clipper.networks.heads.beta import Beta, BetaHead
from clipper.networks.heads.binned import Binned, BinnedHead
from clipper.networks.heads.composite import OneOfHead, ProductHead
from clipper.networks.heads.deterministic import Deterministic, DeterministicHead
from clipper.networks.heads.discrete import CategoricalHead, MultiCategoricalHead
from clipper.networks.heads.gaussian import Gaussian, GaussianHead, SquashedHead, TanhGaussian
from clipper.networks.heads.head_options import BoxDistribution, HeadOptions
from clipper.networks.heads.latent import Latent, LatentHead
from clipper.networks.heads.protocol import Head
from clipper.networks.heads.scales import ExpOfState, Fixed, Learned, LinearLogStd, LinearStd, Scale, SoftplusOfState
from clipper.networks.heads.scores import Scores, ScoresHead
from clipper.networks.heads.state_dependent import GSDE, StateDependentHead

__all__ = [
    "GSDE",
    "AutoregressiveHead",
    "BestHead",
    "BestQ",
    "Beta",
    "BetaHead",
    "Binned",
    "BinnedHead",
    "BoxDistribution",
    "CategoricalHead",
    "Deterministic",
    "DeterministicHead",
    "ExpOfState",
    "Fixed",
    "Gaussian",
    "GaussianHead",
    "Head",
    "HeadOptions",
    "Latent",
    "LatentHead",
    "Learned",
    "LinearLogStd",
    "LinearStd",
    "MultiCategoricalHead",
    "OneOfHead",
    "ProductHead",
    "Scale",
    "Scores",
    "ScoresHead",
    "SoftplusOfState",
    "SquashedHead",
    "StateDependentHead",
    "TanhGaussian",
]

"""Action distributions, each over one part of an action space, and what joins them into trees."""

from clipper.distributions.autoregressive import Autoregressive
from clipper.distributions.beta import IndependentBeta
from clipper.distributions.categorical import Categorical
from clipper.distributions.clipped import ClippedGaussian
from clipper.distributions.gaussian import DiagonalGaussian
from clipper.distributions.multi_categorical import MultiCategorical
from clipper.distributions.one_of import OneOf
from clipper.distributions.parts import Composite, entropies, kls, log_probs
from clipper.distributions.product import Product
from clipper.distributions.protocol import Distribution, Sampler
from clipper.distributions.readout import Readout
from clipper.distributions.squashed import SquashedGaussian
from clipper.distributions.state_dependent import StateDependentGaussian

__all__ = [
    "Autoregressive",
    "Categorical",
    "ClippedGaussian",
    "Composite",
    "DiagonalGaussian",
    "Distribution",
    "IndependentBeta",
    "MultiCategorical",
    "OneOf",
    "Product",
    "Readout",
    "Sampler",
    "SquashedGaussian",
    "StateDependentGaussian",
    "entropies",
    "kls",
    "log_probs",
]

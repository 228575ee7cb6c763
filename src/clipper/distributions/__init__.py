"""Action distributions, each over one part of an action space, and what joins them into trees."""

from clipper.distributions.categorical import Categorical
from clipper.distributions.gaussian import DiagonalGaussian
from clipper.distributions.multi_categorical import MultiCategorical
from clipper.distributions.one_of import OneOf
from clipper.distributions.parts import Composite, entropies, kls, log_probs
from clipper.distributions.product import Product
from clipper.distributions.protocol import Distribution, Sampler

__all__ = [
    "Categorical",
    "Composite",
    "DiagonalGaussian",
    "Distribution",
    "MultiCategorical",
    "OneOf",
    "Product",
    "Sampler",
    "entropies",
    "kls",
    "log_probs",
]

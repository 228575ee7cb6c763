"""Action distributions, each over one part of an action space."""

from clipper.distributions.categorical import Categorical
from clipper.distributions.gaussian import DiagonalGaussian
from clipper.distributions.protocol import Distribution, Sampler

__all__ = ["Categorical", "DiagonalGaussian", "Distribution", "Sampler"]

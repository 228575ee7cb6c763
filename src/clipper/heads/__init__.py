"""Last layers of a policy: features → a distribution, and a sample → what the environment takes."""

from clipper.heads.discrete import CategoricalHead, MultiCategoricalHead
from clipper.heads.gaussian import GaussianHead
from clipper.heads.options import HeadOptions
from clipper.heads.protocol import Head
from clipper.heads.trees import OneOfHead, ProductHead

__all__ = [
    "CategoricalHead",
    "GaussianHead",
    "Head",
    "HeadOptions",
    "MultiCategoricalHead",
    "OneOfHead",
    "ProductHead",
]

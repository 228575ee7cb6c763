"""Last layers of a policy: features → a distribution, and a sample → what the environment takes."""

from clipper.heads.gaussian import GaussianHead
from clipper.heads.options import HeadOptions

__all__ = ["GaussianHead", "HeadOptions"]

"""Environments: made by id, from a factory, or taken ready."""

from clipper.environments import hybrid
from clipper.environments.make import make, make_single

__all__ = ["hybrid", "make", "make_single"]

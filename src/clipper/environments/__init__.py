"""Environments: made by id, from a factory, or taken ready."""

from clipper.environments.make import make, make_single

__all__ = ["make", "make_single"]

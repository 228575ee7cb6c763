"""Environments: made by id, from a factory, or taken ready."""

from clipper.environments import agents, atari, envpool_ids, hybrid, recall
from clipper.environments.make import make, make_single
from clipper.environments.one_of import OneOfActions

__all__ = ["OneOfActions", "agents", "atari", "envpool_ids", "hybrid", "make", "make_single", "recall"]

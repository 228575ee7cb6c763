"""Environments: made by id, from a factory, or taken ready."""

from clipper.environments import agents, atari, envpool_ids, hybrid, joint_groups, recall
from clipper.environments.joint_groups import JointGroups
from clipper.environments.make import make, make_single
from clipper.environments.one_of import OneOfActions

__all__ = [
    "JointGroups",
    "OneOfActions",
    "agents",
    "atari",
    "envpool_ids",
    "hybrid",
    "joint_groups",
    "make",
    "make_single",
    "recall",
]

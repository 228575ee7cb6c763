"""Environments of several agents: each agent is a column of the rollouts, so any algorithm trains them.

>>> import clipper
>>> env = clipper.Agents("pettingzoo:mpe2.simple_spread_v3", 32)
>>> run = clipper.train(env, clipper.PPO())
"""

from clipper.environments.agents.names import is_pettingzoo
from clipper.environments.agents.parallel import Agents
from clipper.environments.make import MANY

MANY.append(lambda source, num_envs: Agents(source, num_envs) if is_pettingzoo(source) else None)

__all__ = ["Agents", "is_pettingzoo"]

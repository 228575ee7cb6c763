"""Environments of several agents: each agent is a column of the rollouts, so any algorithm trains them.

>>> import clipper
>>> run = clipper.train("clipper/Spread-v0", clipper.PPO(), num_envs=32)
>>> run = clipper.train(clipper.Agents("pettingzoo:mpe2.simple_spread_v3", 32), clipper.PPO())
"""

from functools import partial

import gymnasium

from clipper.environments.agents.climbing import Climbing
from clipper.environments.agents.connect_four import ConnectFour
from clipper.environments.agents.look_ahead import LookAhead
from clipper.environments.agents.names import is_pettingzoo
from clipper.environments.agents.parallel import Agents
from clipper.environments.agents.rock_paper_scissors import RockPaperScissors
from clipper.environments.agents.spread import Spread
from clipper.environments.agents.tic_tac_toe import TicTacToe
from clipper.environments.agents.together import Together
from clipper.environments.agents.turns import Turns
from clipper.environments.make import MANY

TEAM_TASKS = {"clipper/Spread-v0": Spread, "clipper/Climbing-v0": Climbing}
"""By id: what makes E copies. There is no form of one agent alone."""

GAMES = {"clipper/TicTacToe-v0": TicTacToe, "clipper/ConnectFour-v0": ConnectFour}
"""By id: the rules of a game by turns, whose other player moves uniformly."""

for _id, _task in TEAM_TASKS.items():
    gymnasium.register(_id, vector_entry_point=partial(Together, _task), disable_env_checker=True)
for _id, _game in GAMES.items():
    gymnasium.register(_id, vector_entry_point=partial(Turns, _game), disable_env_checker=True)

MANY.append(lambda source, num_envs: Agents(source, num_envs) if is_pettingzoo(source) else None)


def is_several(name: str) -> bool:
    """Is it an environment of several agents, or a game of two, whose columns are stepped together?"""
    return is_pettingzoo(name) or name in TEAM_TASKS or name in GAMES


__all__ = [
    "GAMES", "TEAM_TASKS", "Agents", "ConnectFour", "LookAhead", "RockPaperScissors", "TicTacToe", "Together", "Turns",
    "is_pettingzoo", "is_several",
]  # fmt: skip

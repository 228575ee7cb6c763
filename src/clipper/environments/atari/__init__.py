"""Atari 2600 games, ``ALE/…``, with the standard preprocessing; they need ale-py.

>>> clipper.train("ALE/Breakout-v5,repeat_action_probability=0.25")
"""

from clipper.environments.atari.game import Game, make_game
from clipper.environments.atari.game_options import Atari, described, is_atari, read_options
from clipper.environments.atari.native import NativeGames, make_native
from clipper.environments.make import MAKERS

MAKERS.append(make_game)

__all__ = ["Atari", "Game", "NativeGames", "described", "is_atari", "make_game", "make_native", "read_options"]

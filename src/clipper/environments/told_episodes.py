"""Environments that keep count of their episodes themselves, and how they report it."""

from typing import Any

import numpy as np

Info = dict[str, Any]
"""What an environment tells beside observations and rewards, by name: anything there is."""

TELLS = "tells_episodes"  # in the metadata of an environment whose last infos tell each episode's return and length
TOLD = ("episode_return", "episode_length")  # these two
FINAL = "final_info"  # where a vector environment that resets in the same step keeps the last infos
EACH = "clipper/infos"  # where Clipper's vector environments put the infos of all environments, if these were asked for
WHOLE = {"whole_episode": True}  # what such an environment's reset is given where a part of an episode will not do


def told(total: float, length: int) -> Info:
    """What the info of one environment says where an episode has ended, and the environment keeps count itself."""
    return dict(zip(TOLD, (total, length), strict=True))


def told_part(info: Info) -> Info:
    """What of a vector environment's info tells of episodes."""
    return {key: info[key] for name in TOLD for key in (name, f"_{name}") if key in info}


def told_where(over: np.ndarray, total: np.ndarray, length: np.ndarray) -> Info:
    """What a vector environment's info says of whole episodes, where they are ``over`` (``[N]``); counts begin anew."""
    if not over.any():
        return {}
    values = dict(zip(TOLD, (total.copy(), length.copy()), strict=True))
    total[over] = length[over] = 0
    return values | {f"_{key}": over.copy() for key in values}

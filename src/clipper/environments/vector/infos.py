"""The info of each environment by itself. Gymnasium's vector environments lay all of them out as one dict of arrays."""

import numpy as np
from gymnasium.vector import VectorEnv

from clipper.environments.told_episodes import EACH, FINAL, Info
from clipper.environments.vector.reach import having

OF_WHOLE = (FINAL, "final_obs")  # what a vector environment tells of those that it has reset in the same step


def ask_for_infos(env: VectorEnv, wanted: bool = True) -> None:
    """Let Clipper's own vector environments pass all infos on, or no longer; they leave most out, which saves time."""
    inner = having(env, "pass_infos")
    if inner is not None:
        inner.pass_infos(wanted)


def info_of_each(info: Info, num_envs: int) -> list[Info]:
    """What each of ``num_envs`` environments reported with a step, ``{}`` where it reported nothing.

    Where an episode has ended and the next one begun in the same step, it is the last info of the one that ended.
    """
    if EACH in info:
        return [own or {} for own in info[EACH]]
    found = [told_by(info, i) for i in range(num_envs)]
    last = info.get(FINAL)
    if isinstance(last, dict):
        over = np.asarray(info.get(f"_{FINAL}", np.zeros(num_envs, dtype=bool)))
        for i in np.flatnonzero(over).tolist():
            found[i] = told_by(last, i)
    return found


def told_by(info: Info, i: int) -> Info:
    """Environment i's entries: Gymnasium keeps in ``_key`` which environments have a ``key``."""
    own: Info = {}
    for key, values in info.items():
        if key in OF_WHOLE or (key.startswith("_") and key[1:] in info):
            continue
        there = info.get(f"_{key}")
        if there is not None and not there[i]:
            continue
        if isinstance(values, dict):
            own[key] = told_by(values, i)
        else:
            own[key] = values[i] if isinstance(values, np.ndarray | list | tuple) else values
    return own

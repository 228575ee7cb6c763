"""The edges of episodes: last observations, whatever the autoreset mode, and what a restart cuts off."""

from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from torch import Tensor

from clipper.data.steps import Steps
from clipper.data.trees import Tree, each
from clipper.environments.checks import (
    check_finite,
    checked_reset,
)
from clipper.environments.mask_sources import masks_where_done
from clipper.environments.told_episodes import FINAL, Info, told_part
from clipper.errors import EnvironmentContractError
from clipper.rollout.protocol import Episode
from clipper.rollout.state import CollectState


class Last(NamedTuple):
    """The last observation of an episode that ended in row ``row`` of column ``env``."""

    row: int
    env: int
    obs: Tree


def reset_ended(
    env: VectorEnv, obs: Tree, done: np.ndarray, info: Info, state: CollectState, row: int
) -> tuple[Tree, Info, list[Last]]:
    """For modes other than next-step: the first observations of new episodes, and the last ones of those that ended.

    With the observations comes the info that belongs to them.
    """
    promise, ended = state.promise, np.flatnonzero(done).tolist()
    if state.mode is AutoresetMode.DISABLED:
        final = [each(lambda x, i=i: x[i].copy(), obs) for i in ended]
        ending = {key: np.array(x) for key, x in told_part(info).items()}  # a reset may clear it
        obs, fresh = checked_reset(env, state, options={"reset_mask": done})
        info = masks_where_done(env, done, fresh, info) | told_part(fresh) | {FINAL: ending}
    elif "final_obs" in info:
        final = [each(np.array, x) for x in promise.last_observations(info["final_obs"], ended)]  # kept by nobody else
        check_finite(env, each(lambda *rows: np.stack(rows), *final), "observation", state.steps, ended)
    else:
        raise EnvironmentContractError(
            f"{env} resets in the same step but gives no info['final_obs'] to bootstrap from"
        )
    return obs, info, [Last(row, i, x) for i, x in zip(ended, final, strict=True)]


def cut_off(
    done: np.ndarray, mask: np.ndarray, restarts: list[tuple[int, np.ndarray]], state: CollectState
) -> list[Episode]:
    """Truncate what a restart cut off: ``restarts`` says in which row which environments (``[N]``) were made anew.

    What the action of that row led to is not known, so the row is no decision, and the one before ends the episode.
    Where that was the last row of the segment before, the episode is returned; that row is handed out already.
    """
    before = list[Episode]()
    for row, restarted in restarts:
        lost = restarted & mask[row]
        mask[row] &= ~lost
        state.steps -= int(lost.sum())
        if row:
            done[row - 1] |= lost & mask[row - 1]
        else:
            total, length = state.running_total, state.running_length
            ended = np.flatnonzero(restarted & (length > 0)).tolist()
            before += [Episode(i, float(total[i]), int(length[i])) for i in ended]
            total[restarted], length[restarted] = 0, 0
    return before


def with_last_observations(steps: Steps, last: list[Last], next_obs: Tree) -> Steps:
    """Insert, after each row in which an episode ended, a row that is no decision and holds the true last observation.

    Columns are padded at their end by such rows with ``next_obs``, which keeps V(sₜ₊₁) = ``value[t + 1]`` true.
    """
    t, n = steps.mask.shape
    ended = torch.zeros((t, n), dtype=torch.long, device=steps.mask.device)
    for row, env, _ in last:
        ended[row, env] = 1
    target = torch.arange(t, device=ended.device)[:, None] + ended.cumsum(0) - ended
    rows = t + int(ended.sum(0).max())
    column = torch.arange(n, device=ended.device).expand(t, n)

    def spread(x: Tensor, filler: Tensor) -> Tensor:
        out = filler.expand(rows, *x.shape[1:]).clone()
        out[target, column] = x
        return out

    def blanks(x: Tensor) -> Tensor:
        return spread(x, torch.zeros_like(x[:1]))

    blank = steps._replace(obs=each(spread, steps.obs, next_obs))

    def put(there: Tensor, x: object, at: Tensor, env: int) -> None:
        there[at, env] = torch.as_tensor(x, dtype=there.dtype, device=there.device)

    for row, env, obs in last:
        each(partial(put, at=target[row, env] + 1, env=env), blank.obs, obs)
    zeros = {name: each(blanks, x) for name, x in steps._asdict().items() if name not in ("obs", "memory")}
    return blank._replace(**zeros)

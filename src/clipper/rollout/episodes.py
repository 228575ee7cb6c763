"""Returns and lengths of finished episodes."""

from typing import Protocol, runtime_checkable

import numpy as np

from clipper.data.steps import Steps
from clipper.environments.told_episodes import FINAL, TOLD, Info
from clipper.rollout.protocol import Episode


class Told:
    """Episodes of environments that keep count themselves, by what their infos tell.

    So a score is a game's own, and a whole game's, although rewards are clipped and the loss of a life ends what is
    learned from.
    """

    def __init__(self) -> None:
        self.episodes = list[Episode]()

    def ended(self, wanted: np.ndarray, info: Info) -> np.ndarray:
        """Where one of the environments that are still ``wanted`` (``[N]``) has ended an episode; it is kept."""
        found = np.zeros_like(wanted)
        for given in (info.get(FINAL), info):  # where it resets in the same step, or while it is reset
            if not isinstance(given, dict) or TOLD[0] not in given:
                continue
            ended = wanted & ~found & given.get(f"_{TOLD[0]}", False)
            total, length = (given[key] for key in TOLD)
            self.episodes += [Episode(i, float(total[i]), int(length[i])) for i in np.flatnonzero(ended).tolist()]
            found |= ended
        return found


@runtime_checkable
class Counting(Protocol):
    """What counting needs of rollouts, and brings up to date."""

    running_total: np.ndarray
    running_length: np.ndarray
    told: Told | None
    episodes: list[Episode]


@runtime_checkable
class Kept(Protocol):
    """What it needs of who kept the rows, on the host, where nothing has to be waited for."""

    reward: np.ndarray
    """``[T, N]`` in float64: ``steps.reward`` has been rounded to float32."""
    flags: tuple[np.ndarray, ...]
    """``[T, N]`` each: ``terminated``, ``done`` and ``mask`` of the steps."""


def count_episodes(state: Counting, kept: Kept, steps: Steps) -> Steps:
    """Note the episodes that finished in a segment: rewards and decisions of each, across the segments that it spans.

    Each episode is a sum of its own, so that none loses digits to another one. The environment's own count goes before.
    """
    reward, total, length = kept.reward, state.running_total, state.running_length
    _, done, mask = kept.flags
    state.episodes, rows = [], len(mask)
    if rows == 1:  # of a part each there is nothing to add up
        np.add(total, reward[0], out=total, where=mask[0])
        length += mask[0]
        for i in done[0].nonzero()[0].tolist():
            state.episodes.append(Episode(i, float(total[i]), int(length[i])))
            total[i] = length[i] = 0
    else:
        mask, done = mask.T, done.T  # by environment, then by time
        last = done.copy()
        last[:, -1] = True  # a part of an episode ends with it, or with the segment
        ends = np.flatnonzero(last)
        starts = np.concatenate([[0], ends[:-1] + 1])
        env, over = ends // rows, done.ravel()[ends]
        totals = np.add.reduceat(np.where(mask, reward.T, 0.0).ravel(), starts)
        lengths = np.add.reduceat(mask.ravel().astype(np.int64), starts)
        first = starts % rows == 0
        totals[first] += total
        lengths[first] += length
        total[:], length[:] = 0, 0
        total[env[~over]], length[env[~over]] = totals[~over], lengths[~over]
        state.episodes = list(map(Episode, env[over].tolist(), totals[over].tolist(), lengths[over].tolist()))
    if state.told is not None:
        state.episodes, state.told.episodes = state.told.episodes, []
    return steps

"""Returns and lengths of finished episodes."""

from typing import Any

import numpy as np

from clipper.data.steps import Steps
from clipper.environments.told_episodes import TOLD
from clipper.rollout.state import CollectState, Episode


def count_episodes(steps: Steps, reward: np.ndarray, state: CollectState, told: list[Episode] | None = None) -> None:
    """Sum rewards and decisions per episode, across the segments that an episode spans, unless these were ``told``.

    ``reward`` ``[T, N]`` is what the environments gave, in float64: ``steps.reward`` has been rounded to float32. Each
    episode is a sum of its own, so that none loses digits to another one.
    """
    mask, done = (x.cpu().numpy().T for x in (steps.mask, steps.done))  # by environment, then by time
    n, rows = mask.shape
    last = done.copy()
    last[:, -1] = True  # a part of an episode ends with it, or with the segment
    ends = np.flatnonzero(last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    env, over = ends // rows, done.ravel()[ends]
    totals = np.add.reduceat(np.where(mask, reward.T, 0.0).ravel(), starts)
    lengths = np.add.reduceat(mask.ravel().astype(np.int64), starts)
    first = starts % rows == 0
    totals[first] += state.running_total
    lengths[first] += state.running_length
    state.running_total, state.running_length = np.zeros(n), np.zeros(n, dtype=np.int64)
    state.running_total[env[~over]], state.running_length[env[~over]] = totals[~over], lengths[~over]
    counted = map(Episode, env[over].tolist(), totals[over].tolist(), lengths[over].tolist())
    state.episodes = list(counted) if told is None else told


def count_down(
    quota: np.ndarray | None, decided: np.ndarray, done: np.ndarray, info: dict[str, Any], told: list[Episode] | None
) -> np.ndarray:
    """``decided`` (``[N]``) without the environments whose ``quota`` is used up; it is lowered where an episode ends.

    Environments may keep count of their episodes themselves, by what their infos tell: then these are added to
    ``told``, which is else None. So a score is a game's own, and a whole game's, although rewards are clipped and the
    loss of a life ends what is learned from.
    """
    wanted = np.ones_like(decided) if quota is None else quota > 0
    decided = decided & wanted
    if told is None:
        ended = decided & done
    else:
        ended = wanted & info.get(f"_{TOLD[0]}", False)
        total, length = (info.get(key, wanted) for key in TOLD)
        told += [Episode(i, float(total[i]), int(length[i])) for i in np.flatnonzero(ended).tolist()]
    if quota is not None:
        quota -= ended
    return decided

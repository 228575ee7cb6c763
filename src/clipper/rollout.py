"""Collect ``[T, N]`` decisions from a vector environment, whatever its autoreset mode.

Canonical is Gymnasium's next-step mode: the row after an episode's end holds the true last observation and is no
decision, so V(sₜ₊₁) is always ``value[t + 1]``. For environments that reset in the same step, or that wait to be reset,
``with_last_observations`` inserts that row afterwards.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from torch import Generator, Tensor

from clipper.data.steps import Steps
from clipper.data.trees import Tree, each, same_form, total
from clipper.distributions import Composite
from clipper.environments.checks import (
    LARGEST_REWARD,
    Promise,
    check_finite,
    check_rewards,
    checked_reset,
    checked_step,
    describe,
)
from clipper.environments.mask_sources import Source, mask_source, read_masks, where_done
from clipper.environments.told_episodes import TELLS, TOLD
from clipper.errors import ConfigError, EnvironmentContractError
from clipper.networks.protocol import Actor


class Episode(NamedTuple):
    """A finished episode, in the environment's own rewards."""

    env: int
    total: float
    length: int


class Last(NamedTuple):
    """The last observation of an episode that ended in row ``row`` of column ``env``."""

    row: int
    env: int
    obs: Tree


@dataclass(slots=True)
class CollectState:
    """Where collecting stands between two segments."""

    obs: Tree
    """sₜ of each environment, ``[N, ...]`` or a tree of such: ``last_obs`` of the segment before."""
    done: np.ndarray
    """``[N]``: the next row is no decision (next-step mode)."""
    generator: Generator
    """Draws the actions."""
    mode: AutoresetMode
    """When the environment resets what has ended."""
    memory: tuple[Tensor, ...] = ()
    """What the policy carries from step to step, each ``[N, ...]``; empty at first, and where it carries nothing.

    It is emptied as soon as an episode's last row is behind."""
    action_mask: Tree = ()
    """What is legal for the next actions; empty where everything always is."""
    mask_source: Source | None = None
    """Where the masks come from."""
    steps: int = 0
    """Decisions collected since the start."""
    running_total: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """Undiscounted return of each unfinished episode so far, ``[N]``."""
    running_length: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """Decisions in each unfinished episode so far, ``[N]``."""
    episodes: list[Episode] = field(default_factory=list)
    """Episodes that finished in the last segment."""
    fresh: bool = True
    """No step has been taken since the reset."""
    stale: bool = False
    """The next segment begins with a reset, since this one held whole episodes and padding."""
    promise: Promise | None = None
    """What the environment's arrays are held to; made where it is needed."""


def start(env: VectorEnv, seed: int, device: torch.device | str = "cpu", mask_key: str = "action_mask") -> CollectState:
    """Reset all environments, environment i with ``seed + i`` (Gymnasium's custom), and seed the actions' generator.

    ``mask_key``: the part of a Dict observation that is the action mask, where there is one.
    """
    mode = autoreset_mode(env)
    # A number, since natively vectorised environments take no list.
    promise = Promise(env)
    obs, info = checked_reset(promise, 0, seed=seed)
    n = env.num_envs
    source, every = mask_source(env, obs, info, mask_key), np.ones(env.num_envs, dtype=bool)
    return CollectState(
        obs=observation_tensor(obs, device),
        done=np.zeros(n, dtype=bool),
        generator=Generator(device).manual_seed(seed),
        mode=mode,
        mask_source=source,
        action_mask=() if source is None else read_masks(source, env, obs, info, every, 0, device),
        running_total=np.zeros(n),
        running_length=np.zeros(n, dtype=np.int64),
        promise=promise,
    )


def observation_tensor(obs: Tree, device: torch.device | str) -> Tree:
    """A copy on the device: floating observations as float32, all others as they are."""
    return each(lambda x: torch.tensor(x, dtype=torch.float32 if x.dtype.kind == "f" else None, device=device), obs)


def copy_like(before: Tree, obs: Tree) -> Tree:
    """A copy of an observation that is a tree, of the same dtypes and on the same device as one before."""
    return each(lambda old, x: torch.tensor(x, dtype=old.dtype, device=old.device), before, obs)


def autoreset_mode(env: VectorEnv) -> AutoresetMode:
    """The environment's declared mode; refuses one that declares none, since guessing would corrupt the targets."""
    mode = env.metadata.get("autoreset_mode")
    if isinstance(mode, AutoresetMode):
        return mode
    try:
        return AutoresetMode(mode)
    except ValueError:
        raise EnvironmentContractError(
            f"{env} declares autoreset_mode={mode!r}; set env.metadata['autoreset_mode'] to a "
            "gymnasium.vector.AutoresetMode, so that episodes' edges can be told"
        ) from None


def reset_ended(
    env: VectorEnv, obs: Any, done: np.ndarray, info: dict[str, Any], state: CollectState, row: int
) -> tuple[Any, dict[str, Any], list[Last]]:
    """For modes other than next-step: the first observations of new episodes, and the last ones of those that ended.

    With the observations comes the info that belongs to them.
    """
    promise, ended = state.promise or Promise(env), np.flatnonzero(done).tolist()
    if state.mode is AutoresetMode.DISABLED:
        final = [each(lambda x, i=i: x[i].copy(), obs) for i in ended]
        obs, fresh = checked_reset(promise, state.steps, options={"reset_mask": done})
        info = {key: where_done(done, fresh[key], info[key]) for key in fresh if key in info}
    elif "final_obs" in info:
        given = info["final_obs"]  # one per environment, or a tree of arrays that lead with them
        final = [each(lambda x, i=i: x[i], given) if isinstance(given, dict | tuple) else given[i] for i in ended]
        final = [promise.last_observation(x) for x in final]
        check_finite(env, each(lambda *rows: np.stack(rows), *final), "observation", state.steps, ended)
    else:
        raise EnvironmentContractError(
            f"{env} resets in the same step but gives no info['final_obs'] to bootstrap from"
        )
    return obs, info, [Last(row, i, x) for i, x in zip(ended, final, strict=True)]


@torch.no_grad()
def collect(
    env: VectorEnv, policy: Actor, state: CollectState, *, horizon: int | None = None, episodes: int | None = None
) -> tuple[Steps, CollectState]:
    """Act in ``env`` with ``policy`` and record what happened.

    ``horizon`` collects that many rows per environment and goes on where the last call stopped. ``episodes`` begins
    with a reset and collects whole episodes, a quota fixed in advance for each environment ("the first n to finish"
    would favour short ones), padded by the mask. ``state`` is updated in place and returned; its ``obs`` is
    ``last_obs`` for the algorithm's update.
    """
    if (horizon is None) == (episodes is None) or (horizon or episodes or 0) < 1:
        raise ConfigError(f"collect takes either horizon or episodes, at least 1, not {horizon=} and {episodes=}")
    n, next_step, memory = env.num_envs, state.mode is AutoresetMode.NEXT_STEP, getattr(policy, "memory", None)
    if state.stale or (episodes is not None and not state.fresh):
        restart(env, state)
    quota = None if episodes is None else np.array([episodes // n + (i < episodes % n) for i in range(n)])
    rows, restarts, last = list[tuple](), list[tuple[int, np.ndarray]](), list[Last]()
    state.fresh, state.stale, told = False, episodes is not None, list[Episode]() if env.metadata.get(TELLS) else None
    renew, lone, device = getattr(policy, "renew", None), isinstance(state.obs, Tensor), state.generator.device
    carried = state.memory = state.memory if memory is None else memory.forget(state.memory, np.zeros(n, dtype=bool))
    while len(rows) < horizon if horizon is not None else quota is not None and (quota > 0).any():
        if renew is not None:
            state.memory = renew(state.memory, state.done, state.generator)
        given = (state.action_mask,) if state.mask_source else ()
        dist, state.memory = policy.act(state.obs, state.memory, *given)
        action = dist.sample(state.generator)
        log_probs: Tree = dist.log_probs(action) if isinstance(dist, Composite) else ()
        log_prob = total(log_probs) if log_probs else dist.log_prob(action)
        obs, reward, terminated, truncated, info = checked_step(env, policy.to_env(action, *given), state)
        if "restarted" in info:
            restarts.append((len(rows), info["restarted"]))
        done = terminated | truncated
        decided = ~state.done if next_step else np.ones(n, dtype=bool)
        if quota is not None or told is not None:
            decided = count_down(quota, decided, done, info, told)
        if not next_step and done.any():
            obs, info, ended = reset_ended(env, obs, done, info, state, len(rows))
            last += [e for e in ended if decided[e.env]]
        if memory is not None:
            state.memory = memory.forget(
                state.memory, (state.done if next_step else done) | info.get("restarted", False)
            )
        # Environments may reuse their arrays, so each row keeps copies.
        facts = np.array(reward), terminated & decided, done & decided, decided
        rows.append((state.obs, action, log_prob, log_probs, state.action_mask, *facts))
        state.obs = torch.tensor(obs, dtype=state.obs.dtype, device=device) if lone else copy_like(state.obs, obs)
        state.done = done
        if state.mask_source:
            keep_masks(env, state, obs, info)
        state.steps += int(decided.sum())
    columns = list(zip(*rows, strict=True))
    reward, *flags = map(np.stack, columns[5:])
    if not float(np.vdot(reward, reward)) <= LARGEST_REWARD * LARGEST_REWARD:
        check_rewards(env, reward, flags[-1], state.steps)
    obs, action, log_prob, log_probs, masks = (each(lambda *rows: torch.stack(rows), *column) for column in columns[:5])
    facts = (torch.from_numpy(x).to(device) for x in (reward.astype(np.float32), *flags))
    steps = Steps(obs, action, log_prob, *facts, log_probs=log_probs, action_mask=masks)
    if restarts:
        cut_off(steps, restarts, state)
    count_episodes(steps, reward, state, told)
    steps = with_last_observations(steps, last, state.obs) if last else steps
    return steps if memory is None else steps._replace(memory=memory.past(carried, steps.mask)), state


def keep_masks(env: VectorEnv, state: CollectState, obs: Any, info: dict[str, Any]) -> None:
    """Note what is legal next; in next-step mode an environment that is done decides nothing."""
    assert state.mask_source is not None
    needed = ~state.done if state.mode is AutoresetMode.NEXT_STEP else np.ones(env.num_envs, dtype=bool)
    if not needed.any():
        return  # none need be given, and any will do
    masks = read_masks(state.mask_source, env, obs, info, needed, state.steps, state.generator.device)
    if not same_form(masks, state.action_mask):
        raise EnvironmentContractError(
            f"{describe(env)} gives masks of another form than before, after {state.steps} decisions in all: a part's "
            "mask must be a table always, or never"
        )
    state.action_mask = masks


def restart(env: VectorEnv, state: CollectState) -> None:
    """Reset all environments without reseeding them, and forget their unfinished episodes."""
    obs, info = checked_reset(Promise(env), state.steps)
    state.obs = observation_tensor(obs, state.generator.device)
    state.memory = ()
    for array in (state.done, state.running_total, state.running_length):
        array[:] = 0
    if state.mask_source:
        keep_masks(env, state, obs, info)


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


def cut_off(steps: Steps, restarts: list[tuple[int, np.ndarray]], state: CollectState) -> None:
    """Truncate what a restart cut off: ``restarts`` says in which row which environments (``[N]``) were made anew.

    What the action of that row led to is not known, so the row is no decision, and the one before ends the episode.
    """
    for row, restarted in restarts:
        lost = torch.from_numpy(restarted).to(steps.mask.device) & steps.mask[row]
        steps.mask[row] &= ~lost
        state.steps -= int(lost.sum())
        if row:
            steps.done[row - 1] |= lost & steps.mask[row - 1]
        else:
            state.running_total[restarted], state.running_length[restarted] = 0, 0


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

    def put(there: Tensor, x: Any, at: Tensor, env: int) -> None:
        there[at, env] = torch.as_tensor(x, dtype=there.dtype, device=there.device)

    for row, env, obs in last:
        each(partial(put, at=target[row, env] + 1, env=env), blank.obs, obs)
    zeros = {name: each(blanks, x) for name, x in steps._asdict().items() if name not in ("obs", "memory")}
    return blank._replace(**zeros)

"""Collect ``[T, N]`` decisions from a vector environment, whatever its autoreset mode.

Canonical is Gymnasium's next-step mode: the row after an episode's end holds the true last observation and is no
decision, so V(sₜ₊₁) is always ``value[t + 1]``. For environments that reset in the same step, or that wait to be reset,
``with_last_observations`` inserts that row afterwards.
"""

from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from torch import Tensor

from clipper.data.steps import Steps
from clipper.data.trees import Tree, each, same_form, total
from clipper.distributions import Composite
from clipper.environments.checks import (
    LARGEST_REWARD,
    RESTARTED,
    Promise,
    check_rewards,
    checked_reset,
    checked_step,
    describe,
)
from clipper.environments.mask_sources import read_masks, refuse_late_masks
from clipper.environments.told_episodes import TELLS
from clipper.errors import ConfigError, EnvironmentContractError
from clipper.networks.protocol import Actor
from clipper.rollout.edges import Last, cut_off, reset_ended, with_last_observations
from clipper.rollout.episodes import count_down, count_episodes
from clipper.rollout.state import CollectState, Episode, copy_like, observation_tensor


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
        if RESTARTED in info:
            restarts.append((len(rows), info[RESTARTED]))
        done = terminated | truncated
        decided = ~state.done if next_step else np.ones(n, dtype=bool)
        if quota is not None or told is not None:
            decided = count_down(quota, decided, done, info, told)
        if not next_step and done.any():
            obs, info, ended = reset_ended(env, obs, done, info, state, len(rows))
            last += [e for e in ended if decided[e.env]]
        if memory is not None:
            state.memory = memory.forget(state.memory, (state.done if next_step else done) | info.get(RESTARTED, False))
        # Environments may reuse their arrays, so each row keeps copies.
        facts = np.array(reward), terminated & decided, done & decided, decided
        rows.append((state.obs, action, log_prob, log_probs, state.action_mask, *facts))
        state.obs = torch.tensor(obs, dtype=state.obs.dtype, device=device) if lone else copy_like(state.obs, obs)
        state.done = done
        if state.mask_source or info:
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
    if state.mask_source is None:
        refuse_late_masks(env, info)
        return
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

"""``evaluate_policy``: whole episodes, as many in each environment."""

import warnings
from collections.abc import Callable
from typing import Literal, overload

import gymnasium
import numpy as np

from clipper.compat.sb3.common.monitor import Monitor
from clipper.compat.sb3.common.vec_env import DummyVecEnv, VecEnv, VecMonitor, is_vecenv_wrapped
from clipper.data.tree_type import Tree
from clipper.environments.told_episodes import Info

Told = Callable[[dict[str, Tree], dict[str, Tree]], object]


@overload
def evaluate_policy(
    model: Tree, env: gymnasium.Env | VecEnv, n_eval_episodes: int = 10, deterministic: bool = True,
    render: bool = False, callback: Told | None = None, reward_threshold: float | None = None,
    return_episode_rewards: Literal[False] = False, warn: bool = True, use_masking: bool = True,
) -> tuple[float, float]: ...  # fmt: skip
@overload
def evaluate_policy(
    model: Tree, env: gymnasium.Env | VecEnv, n_eval_episodes: int = 10, deterministic: bool = True,
    render: bool = False, callback: Told | None = None, reward_threshold: float | None = None,
    *, return_episode_rewards: Literal[True], warn: bool = True, use_masking: bool = True,
) -> tuple[list[float], list[int]]: ...  # fmt: skip
def evaluate_policy(
    model: Tree,
    env: gymnasium.Env | VecEnv,
    n_eval_episodes: int = 10,
    deterministic: bool = True,
    render: bool = False,
    callback: Told | None = None,
    reward_threshold: float | None = None,
    return_episode_rewards: bool = False,
    warn: bool = True,
    use_masking: bool = True,
) -> tuple[float, float] | tuple[list[float], list[int]]:
    """Mean and deviation of the returns of ``n_eval_episodes``, or the lists of all returns and lengths.

    ``model`` is anything with ``predict``. Environments that say ``action_masks`` are asked for them where the model
    takes them. A ``Monitor``'s returns and lengths count where there is one, whatever is wrapped around it.
    """
    single = env
    env = single if isinstance(single, VecEnv) else DummyVecEnv([lambda: single])
    monitored = is_vecenv_wrapped(env, VecMonitor) or env.env_is_wrapped(Monitor)[0]
    if warn and not monitored:
        warnings.warn(
            "no Monitor is around this environment: returns and lengths are those that its outermost wrapper gives",
            UserWarning, stacklevel=2,
        )  # fmt: skip
    n = env.num_envs
    returns, lengths = list[float](), list[int]()
    counts, targets = np.zeros(n, int), np.array([(n_eval_episodes + i) // n for i in range(n)])
    current_rewards, current_lengths = np.zeros(n), np.zeros(n, int)
    observations, states, episode_starts = env.reset(), None, np.ones(n, bool)
    masks = use_masking and takes_masks(model) and env.has_attr("action_masks")
    while (counts < targets).any():
        given = {"action_masks": np.stack(env.env_method("action_masks"))} if masks else {}
        actions, states = model.predict(
            observations, state=states, episode_start=episode_starts, deterministic=deterministic, **given
        )
        new_observations, rewards, dones, infos = env.step(actions)
        current_rewards += rewards
        current_lengths += 1
        for i in np.flatnonzero(counts < targets):
            reward, done, info = rewards[i], dones[i], infos[i]
            episode_starts[i] = done
            if callback is not None:
                callback(locals(), globals())
            if done:
                found = ended(info, monitored, float(current_rewards[i]), int(current_lengths[i]))
                if found is not None:
                    returns.append(found[0])
                    lengths.append(found[1])
                    counts[i] += 1
                current_rewards[i] = current_lengths[i] = 0
        observations = new_observations
        if render:
            env.render()
    mean = float(np.mean(returns))
    if reward_threshold is not None:
        assert mean > reward_threshold, f"Mean reward below threshold: {mean:.2f} < {reward_threshold:.2f}"
    return (returns, lengths) if return_episode_rewards else (mean, float(np.std(returns)))


def ended(info: Info, monitored: bool, total: float, length: int) -> tuple[float, int] | None:
    """What an episode gave; None where a ``Monitor`` says that it goes on, as after one life of several."""
    if not monitored:
        return total, length
    return (info["episode"]["r"], info["episode"]["l"]) if "episode" in info else None


def takes_masks(model: Tree) -> bool:
    """Does ``predict`` know action masks, and does the model act by them?"""
    return bool(getattr(model, "uses_masks", False))

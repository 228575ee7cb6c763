"""``evaluate_policy``: whole episodes, a fixed number per environment."""

from collections.abc import Callable
from typing import Literal, overload

import gymnasium
import numpy as np

from clipper.compat.sb3.common.vec_env import VecEnv, vectorised
from clipper.compat.sb3.protocol import LearningModel
from clipper.errors import ConfigError
from clipper.rollout.evaluation import evaluate_policy as play


@overload
def evaluate_policy(
    model: LearningModel, env: gymnasium.Env | VecEnv, n_eval_episodes: int = 10, deterministic: bool = True,
    render: bool = False, callback: Callable[..., None] | None = None, reward_threshold: float | None = None,
    return_episode_rewards: Literal[False] = False, warn: bool = True, use_masking: bool = True,
) -> tuple[float, float]: ...  # fmt: skip
@overload
def evaluate_policy(
    model: LearningModel, env: gymnasium.Env | VecEnv, n_eval_episodes: int = 10, deterministic: bool = True,
    render: bool = False, callback: Callable[..., None] | None = None, reward_threshold: float | None = None,
    *, return_episode_rewards: Literal[True], warn: bool = True, use_masking: bool = True,
) -> tuple[list[float], list[int]]: ...  # fmt: skip
def evaluate_policy(
    model: LearningModel,
    env: gymnasium.Env | VecEnv,
    n_eval_episodes: int = 10,
    deterministic: bool = True,
    render: bool = False,
    callback: Callable[..., None] | None = None,
    reward_threshold: float | None = None,
    return_episode_rewards: bool = False,
    warn: bool = True,
    use_masking: bool = True,
) -> tuple[float, float] | tuple[list[float], list[int]]:
    """Mean and deviation of the returns of ``n_eval_episodes``, or the lists of all returns and lengths.

    Returns are sums of the environment's own rewards, also where it is wrapped in ``VecNormalize``.
    """
    if render or callback is not None:
        raise ConfigError("evaluate_policy takes no render or callback here: step the environment yourself for these")
    envs = vectorised(env)
    found = play(
        model.policy,
        envs.for_playing(),
        episodes=n_eval_episodes,
        seed=envs.next_seed(),
        deterministic=deterministic,
        device=model.config.device,
    )
    if reward_threshold is not None and found.mean < reward_threshold:
        raise AssertionError(f"mean return {found.mean:.2f} is below the threshold {reward_threshold:.2f}")
    if return_episode_rewards:
        return found.returns.tolist(), found.lengths.tolist()
    return found.mean, float(np.std(found.returns))

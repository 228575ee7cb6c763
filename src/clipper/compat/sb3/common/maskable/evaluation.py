"""Evaluation with action masks, which the environments must have."""

import gymnasium

from clipper.compat.sb3.common import evaluation
from clipper.compat.sb3.common.maskable.utils import check_masking_supported
from clipper.compat.sb3.common.vec_env import VecEnv
from clipper.data.tree_type import Tree

__all__ = ["evaluate_policy"]


def evaluate_policy(
    model: Tree,
    env: gymnasium.Env | VecEnv,
    n_eval_episodes: int = 10,
    deterministic: bool = True,
    render: bool = False,
    callback: evaluation.Told | None = None,
    reward_threshold: float | None = None,
    return_episode_rewards: bool = False,
    warn: bool = True,
    use_masking: bool = True,
) -> tuple[float, float] | tuple[list[float], list[int]]:
    """As without masks; raises ``ConfigError`` for environments that have none, unless ``use_masking=False``."""
    if use_masking:
        check_masking_supported(env)
    evaluate: Tree = evaluation.evaluate_policy
    return evaluate(
        model, env, n_eval_episodes, deterministic, render, callback, reward_threshold, return_episode_rewards, warn,
        use_masking,
    )  # fmt: skip

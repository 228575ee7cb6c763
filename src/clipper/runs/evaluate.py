"""How good is a run, a policy, or what a folder holds?"""

from pathlib import Path

import gymnasium
from gymnasium.vector import VectorEnv

from clipper.data.values import shown
from clipper.environments.from_file import env_of_file
from clipper.environments.sources import EnvSource
from clipper.errors import ConfigError
from clipper.networks.protocol import Actor
from clipper.rollout.evaluation import EVALUATION_SEED, MAX_STEPS, Evaluation, evaluate_policy
from clipper.runs.load import load_with_config
from clipper.runs.run import Run


def evaluate(
    subject: Run | Actor | str | Path,
    env: EnvSource | None = None,
    *,
    episodes: int = 100,
    seed: int = EVALUATION_SEED,
    deterministic: bool = True,
    num_envs: int | None = None,
    max_steps: int = MAX_STEPS,
) -> Evaluation:
    """Play whole episodes with a run, a policy, or the folder of a run.

    A bare policy needs ``env``: an id, a factory, a list of such or a vector environment; a run brings its own. See
    ``evaluate_policy`` for how episodes are counted, seeded and bounded.
    """
    how = {"seed": seed, "deterministic": deterministic, "num_envs": num_envs, "max_steps": max_steps}
    if isinstance(subject, (str, Path)):
        policy, config = load_with_config(subject)
        env = env_of_file(config.env, env)
    elif isinstance(subject, Actor):
        policy = subject
    elif not hasattr(subject, "policy"):
        first = ": the policy comes first" if isinstance(subject, gymnasium.Env | VectorEnv) else ""
        raise ConfigError(
            f"{shown(subject)} is no run, no policy and no run's folder{first}: write clipper.evaluate(policy, env)"
        )
    else:
        if env is None:
            return subject.evaluate(episodes, **how)
        policy = subject.policy
    if env is None:
        raise ConfigError("to evaluate a policy, name its environment: evaluate(policy, env)")
    return evaluate_policy(policy, env, episodes=episodes, **how)

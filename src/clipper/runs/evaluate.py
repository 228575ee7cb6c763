"""How good is a run, a policy, or what a folder holds?"""

from pathlib import Path

from clipper.environments.from_file import env_of_file
from clipper.environments.make import EnvSource
from clipper.errors import ConfigError
from clipper.networks.protocol import Actor
from clipper.rollout.evaluation import Evaluation, evaluate_policy
from clipper.runs.load import load_with_config
from clipper.runs.run import Run


def evaluate(
    subject: Run | Actor | str | Path,
    env: EnvSource | None = None,
    *,
    episodes: int = 100,
    seed: int = 0,
    deterministic: bool = True,
    num_envs: int | None = None,
) -> Evaluation:
    """Play whole episodes with a run, a policy, or the folder of a run.

    A bare policy needs ``env``: an id, a factory or a vector environment; a run brings its own. See
    ``evaluate_policy`` for how episodes are counted.
    """
    if isinstance(subject, (str, Path)):
        policy, config = load_with_config(subject)
        env = env_of_file(config.env, env)
    elif isinstance(subject, Actor):
        policy = subject
    else:
        if env is None:
            return subject.evaluate(episodes, seed=seed, deterministic=deterministic, num_envs=num_envs)
        policy = subject.policy
    if env is None:
        raise ConfigError("to evaluate a policy, name its environment: evaluate(policy, env)")
    return evaluate_policy(policy, env, episodes=episodes, seed=seed, deterministic=deterministic, num_envs=num_envs)

"""Vector environments that count decisions and returns, for scripts that are run unmodified and build their own.

Under Gymnasium 1.x such a script sees no finished episodes; these see them, for a few microseconds a step.
"""

from typing import Any, ClassVar

import gymnasium
import numpy as np
import torch

made: "list[CountingEnv | CountingNativeEnv]" = []  # by the script


class CountingEnv(gymnasium.vector.SyncVectorEnv):
    """Counts decisions (in next-step autoreset the row after an episode's end is none) and returns."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.decisions, self.resetting = 0, 0
        self.returns: list[float] = []
        made.append(self)

    def step(self, actions: np.ndarray) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """One step of every environment."""
        result = super().step(actions)
        self.decisions += self.num_envs - self.resetting
        self.resetting = int(np.count_nonzero(result[2] | result[3]))
        if self.resetting:
            info = result[4]
            if "episode" in info:  # a game's lost life ends none
                self.returns += info["episode"]["r"][info["_episode"]].tolist()
        return result


class CountingNativeEnv(gymnasium.vector.VectorWrapper):
    """The same for an environment vectorised natively, which tells no returns."""

    work: ClassVar[dict[str, Any]]

    def __init__(self, makers: list[Any]) -> None:
        env = gymnasium.make_vec(self.work["env"], num_envs=len(makers), vectorization_mode="vector_entry_point")
        super().__init__(env)
        self.decisions, self.resetting = 0, 0
        self.totals, self.returns = np.zeros(len(makers)), []
        made.append(self)

    def step(self, actions: np.ndarray) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """One step of every environment."""
        result = self.env.step(actions)
        self.decisions += self.num_envs - self.resetting
        ended = result[2] | result[3]
        self.totals += result[1]
        self.resetting = int(np.count_nonzero(ended))
        if self.resetting:
            self.returns += self.totals[ended].tolist()
            self.totals[ended] = 0.0
        return result


def linear_of_width(width: int) -> type[torch.nn.Linear]:
    """A Linear of torch with ``width`` wherever the script says 64."""

    class Linear(torch.nn.Linear):
        def __init__(self, inputs: int, outputs: int) -> None:
            in_features, out_features = (width if size == 64 else int(size) for size in (inputs, outputs))
            super().__init__(in_features, out_features)

    return Linear


def script_flags(work: dict[str, Any]) -> list[str]:
    """The workload as the flags that CleanRL's scripts have, and LeanRL's, which descend from them."""
    values = {
        "env-id": work["env"],
        "seed": work["seed"],
        "total-timesteps": work["iterations"] * work["horizon"] * work["num_envs"],
        "num-envs": work["num_envs"],
        "num-steps": work["horizon"],
        "num-minibatches": work["minibatches"],
        "update-epochs": work["epochs"],
        "learning-rate": work["learning_rate"],
        "gamma": 0.99,
        "gae-lambda": 0.95,
        "clip-coef": 0.2,
        "vf-coef": 1.0,  # their value loss carries another factor of 0.5
        "ent-coef": 0.0,
        "max-grad-norm": 0.5,
    }
    flags = ["--no-anneal-lr", "--no-clip-vloss", "--no-cuda"]
    return [word for name, value in values.items() for word in (f"--{name}", str(value))] + flags


def without(env: gymnasium.Env, *_: Any, **__: Any) -> gymnasium.Env:
    """A wrapper that wraps nothing."""
    return env

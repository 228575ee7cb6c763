"""Callbacks at each step of the environments, in a loop that collects whole segments."""

from types import TracebackType
from typing import Literal

import numpy as np
import torch
from gymnasium.vector import VectorEnv

from clipper.compat.sb3.common.callbacks import BaseCallback
from clipper.compat.sb3.protocol import LearningModel
from clipper.data.steps import Steps
from clipper.data.trees import Tree
from clipper.environments.checks import Answer
from clipper.environments.told_episodes import EACH, Info
from clipper.learning.metrics import Metrics
from clipper.networks.protocol import Actor
from clipper.rollout.protocol import abilities
from clipper.runs.callbacks import says_stop
from clipper.runs.run import Run


class Watching:
    """A callback for ``train`` and a context around it; stands between the loop and its engine, as one more engine."""

    def __init__(self, model: LearningModel, run: Run, callback: BaseCallback) -> None:
        self.model, self.callback, self.rollouts, self.engine = model, callback, run.rollouts, run.engine
        env = abilities(run.rollouts).env
        assert env is not None
        self.env: VectorEnv = env
        self.name: Literal["torch", "cpu", "compile"] = run.engine.name
        self.description, self.actor = run.engine.description, run.engine.actor
        self.going, self.total = True, run.config.total_steps
        self.noted = run.noted
        run.engine = self
        self.original, self.env.step = self.env.step, self.step
        self.original_collect, run.rollouts.collect = run.rollouts.collect, self.collect

    def __enter__(self) -> "Watching":
        self.callback.init_callback(self.model)
        told = {"self": self.model, "env": self.model.env, "total_timesteps": self.total}
        self.callback.on_training_start(told, {})
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.env.step, self.rollouts.collect = self.original, self.original_collect
        if kind is None:
            self.callback.on_training_end()

    def __call__(self, run: Run) -> bool:
        """After an iteration: go on?"""
        self.model.num_timesteps = run.steps
        return self.going

    def collect(self, actor: Actor, **quota: int | None) -> tuple[Steps, Tree]:
        """A segment, between two of the callback's methods."""
        self.callback.on_rollout_start()
        found = self.original_collect(actor, **quota)
        self.callback.on_rollout_end()
        return found

    def update(self, steps: Steps, last_obs: Tree) -> Metrics:
        """The engine's, with what was noted since the last."""
        values = self.model.logger.name_to_value
        noted = {key: float(x) for key, x in values.items() if isinstance(x, int | float | np.number | np.bool_)}
        self.noted |= noted
        return self.engine.update(steps, last_obs) | {key: torch.tensor(x) for key, x in noted.items()}

    def step(self, actions: Tree) -> Answer:
        """The environments' step, told to the callback."""
        found = obs, rewards, terminated, truncated, info = self.original(actions)
        infos: list[Info] = info[EACH]
        dones = terminated | truncated
        if self.going:
            self.model.num_timesteps += len(dones)
            told = {"infos": infos, "rewards": np.array(rewards), "dones": dones, "actions": actions, "new_obs": obs}
            self.callback.update_locals({"self": self.model, "env": self.model.env} | told)
            self.going = not says_stop(self.callback.on_step())
            self.model.ep_info_buffer.extend(own["episode"] for own in infos if "episode" in own)
        return found

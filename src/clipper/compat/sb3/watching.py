"""Callbacks at each step of the environments, in a loop that collects whole segments."""

import time
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
from clipper.environments.told_episodes import Info
from clipper.environments.vector.infos import ask_for_infos, info_of_each
from clipper.learning.metrics import Metrics
from clipper.networks.protocol import Actor
from clipper.rollout.protocol import abilities
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
        self.going = True
        n = run.rollouts.num_envs
        self.ended, self.total, self.length = np.zeros(n, dtype=bool), np.zeros(n), np.zeros(n, dtype=int)
        self.noted, self.began = run.noted, time.time()
        ask_for_infos(env)
        run.engine = self
        self.original, self.env.step = self.env.step, self.step
        self.original_collect, run.rollouts.collect = run.rollouts.collect, self.collect

    def __enter__(self) -> "Watching":
        self.callback.init_callback(self.model)
        self.callback.on_training_start({"self": self.model, "env": self.model.env}, {})
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.env.step, self.rollouts.collect = self.original, self.original_collect
        if not self.env.closed:
            ask_for_infos(self.env, wanted=False)
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
        values = self.model.logger.values
        noted = {key: torch.tensor(value) for key, value in values.items()}
        self.noted |= values
        values.clear()
        return self.engine.update(steps, last_obs) | noted

    def step(self, actions: Tree) -> Answer:
        """The environments' step, told to the callback; rows that only reset an environment are none of it."""
        found = obs, rewards, terminated, truncated, info = self.original(actions)
        decided = ~self.ended
        self.total, self.length = self.total + rewards * decided, self.length + decided
        done = (terminated | truncated) & decided
        infos: list[Info] = [dict(own) for own in info_of_each(info, len(done))]
        for own, cut_off in zip(infos, truncated & ~terminated, strict=True):
            own["TimeLimit.truncated"] = bool(cut_off)
        for i in np.flatnonzero(done):
            seconds = round(time.time() - self.began, 6)
            infos[i].setdefault("episode", {"r": float(self.total[i]), "l": int(self.length[i]), "t": seconds})
        self.total[done], self.length[done] = 0.0, 0
        self.ended = done
        if self.going and decided.any():
            self.model.num_timesteps += int(decided.sum())
            self.callback.update_locals(
                {"infos": infos, "rewards": np.array(rewards), "dones": done, "actions": actions, "new_obs": obs}
            )
            self.going = self.callback.on_step()
        return found

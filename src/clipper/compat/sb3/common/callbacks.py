"""Callbacks: what a program wants to happen while a model learns."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from clipper.compat.sb3.common.evaluation import evaluate_policy
from clipper.compat.sb3.common.logger import Logger
from clipper.compat.sb3.common.vec_env import VecEnv, VecNormalize, vectorised
from clipper.compat.sb3.protocol import LearningModel
from clipper.errors import ConfigError
from clipper.runs.callbacks import says_stop
from clipper.storage.files import from_user

StepFunction = Callable[[dict[str, Any], dict[str, Any]], object]
"""Of ``(locals, globals)``; where it returns False, learning ends."""


class BaseCallback:
    """Called at each step of the environments; where ``_on_step`` returns False, learning ends.

    ``locals`` holds ``infos``, ``rewards``, ``dones``, ``actions`` and ``new_obs`` of that step.
    """

    model: LearningModel
    parent: "BaseCallback | None" = None
    """The callback that calls this one."""

    def __init__(self, verbose: int = 0) -> None:
        self.n_calls = self.num_timesteps = 0
        self.verbose = verbose
        self.locals: dict[str, Any] = {}
        self.globals: dict[str, object] = {}

    @property
    def training_env(self) -> VecEnv:
        """The environments."""
        env = self.model.get_env()
        assert env is not None
        return env

    @property
    def logger(self) -> Logger:
        """Takes numbers beside those that training tells."""
        return self.model.logger

    def init_callback(self, model: LearningModel) -> None:
        """Learn whose callback it is."""
        self.model = model
        self._init_callback()

    def on_training_start(self, locals_: dict[str, object], globals_: dict[str, object]) -> None:
        """Before the first step."""
        self.locals, self.globals, self.num_timesteps = locals_, globals_, self.model.num_timesteps
        self._on_training_start()

    def on_rollout_start(self) -> None:
        """Before a segment."""
        self._on_rollout_start()

    def on_step(self) -> bool:
        """After a step; says whether to go on."""
        self.n_calls += 1
        self.num_timesteps = self.model.num_timesteps
        return not says_stop(self._on_step())

    def on_rollout_end(self) -> None:
        """After a segment, before the update."""
        self._on_rollout_end()

    def on_training_end(self) -> None:
        """After the last update."""
        self._on_training_end()

    def update_locals(self, locals_: dict[str, object]) -> None:
        """Take what ``locals`` is now."""
        self.locals.update(locals_)
        self.update_child_locals(locals_)

    def update_child_locals(self, locals_: dict[str, object]) -> None:
        """Hand it on."""

    def _init_callback(self) -> None: ...
    def _on_training_start(self) -> None: ...
    def _on_rollout_start(self) -> None: ...
    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None: ...
    def _on_training_end(self) -> None: ...


class ConvertCallback(BaseCallback):
    """A function of ``(locals, globals)`` as a callback."""

    def __init__(self, callback: StepFunction, verbose: int = 0) -> None:
        super().__init__(verbose)
        self.callback = callback

    def _on_step(self) -> bool:
        return not says_stop(self.callback(self.locals, self.globals))


class Parent(BaseCallback):
    """One that has others, which it calls when it wants."""

    def __init__(self, children: Sequence[BaseCallback], verbose: int = 0) -> None:
        super().__init__(verbose)
        self.children = list(children)

    def _init_callback(self) -> None:
        for child in self.children:
            child.parent = self
            child.init_callback(self.model)

    def _on_training_start(self) -> None:
        for child in self.children:
            child.on_training_start(self.locals, self.globals)

    def update_child_locals(self, locals_: dict[str, object]) -> None:
        for child in self.children:
            child.update_locals(locals_)

    def call(self) -> bool:
        """Call all of them; says whether all want to go on."""
        return all([child.on_step() for child in self.children])  # noqa: C419 (each must see it)


class CallbackList(Parent):
    """Several, each called at each step."""

    def _on_rollout_start(self) -> None:
        for child in self.children:
            child.on_rollout_start()

    def _on_step(self) -> bool:
        return self.call()

    def _on_rollout_end(self) -> None:
        for child in self.children:
            child.on_rollout_end()

    def _on_training_end(self) -> None:
        for child in self.children:
            child.on_training_end()


class EveryNTimesteps(Parent):
    """Calls another one each time so many decisions have passed."""

    def __init__(self, n_steps: int, callback: BaseCallback) -> None:
        super().__init__([callback])
        self.n_steps, self.last = n_steps, 0

    def _on_step(self) -> bool:
        if self.num_timesteps - self.last < self.n_steps:
            return True
        self.last = self.num_timesteps
        return self.call()


class CheckpointCallback(BaseCallback):
    """Saves the model every ``save_freq`` steps of the environments, as ``PREFIX_N_steps.zip``."""

    def __init__(
        self,
        save_freq: int,
        save_path: str | Path,
        name_prefix: str = "rl_model",
        save_replay_buffer: bool = False,
        save_vecnormalize: bool = False,
        verbose: int = 0,
    ) -> None:
        super().__init__(verbose)
        if save_replay_buffer:
            raise ConfigError("CheckpointCallback takes no save_replay_buffer: these algorithms have none")
        self.save_freq, self.path, self.prefix = save_freq, from_user(save_path), name_prefix
        self.save_vecnormalize = save_vecnormalize

    def _on_step(self) -> bool:
        if self.n_calls % self.save_freq == 0:
            self.model.save(self.path / f"{self.prefix}_{self.num_timesteps}_steps.zip")
            env = self.model.get_env()
            if self.save_vecnormalize and isinstance(env, VecNormalize):
                env.save(self.path / f"{self.prefix}_vecnormalize_{self.num_timesteps}_steps.pkl")
        return True


class EvalCallback(Parent):
    """Evaluates every ``eval_freq`` steps of the environments, and keeps the best model."""

    def __init__(
        self,
        eval_env: gymnasium.Env | VecEnv,
        callback_on_new_best: BaseCallback | None = None,
        callback_after_eval: BaseCallback | None = None,
        n_eval_episodes: int = 5,
        eval_freq: int = 10_000,
        log_path: str | Path | None = None,
        best_model_save_path: str | Path | None = None,
        deterministic: bool = True,
        render: bool = False,
        verbose: int = 1,
        warn: bool = True,
        use_masking: bool = True,
    ) -> None:
        super().__init__([x for x in (callback_on_new_best, callback_after_eval) if x is not None], verbose)
        if render:
            raise ConfigError("EvalCallback takes no render=True: watch with clipper play")
        self.on_best, self.after = callback_on_new_best, callback_after_eval
        self.eval_env, self.n_eval_episodes, self.eval_freq = vectorised(eval_env), n_eval_episodes, eval_freq
        self.log_path = None if log_path is None else from_user(log_path) / "evaluations.npz"
        self.best_path = None if best_model_save_path is None else from_user(best_model_save_path)
        self.deterministic = deterministic
        self.best_mean_reward = self.last_mean_reward = -np.inf
        self.found: list[tuple[int, list[float], list[int]]] = []

    def _on_step(self) -> bool:
        if self.eval_freq < 1 or self.n_calls % self.eval_freq:
            return True
        returns, lengths = evaluate_policy(
            self.model, self.eval_env, self.n_eval_episodes, self.deterministic, return_episode_rewards=True
        )
        self.found.append((self.num_timesteps, returns, lengths))
        self.write()
        self.last_mean_reward = float(np.mean(returns))
        self.logger.record("eval/mean_reward", self.last_mean_reward)
        self.logger.record("eval/mean_ep_length", float(np.mean(lengths)))
        if self.verbose:
            self.model.say(f"evaluation after {self.num_timesteps} steps: {self.last_mean_reward:.2f}")
        go_on = True
        if self.last_mean_reward > self.best_mean_reward:
            self.best_mean_reward = self.last_mean_reward
            if self.best_path is not None:
                self.model.save(self.best_path / "best_model")
            go_on = self.on_best is None or self.on_best.on_step()
        return (self.after is None or self.after.on_step()) and go_on

    def write(self) -> None:
        """All evaluations so far, as arrays."""
        if self.log_path is not None:
            self.log_path.parent.mkdir(parents=True, exist_ok=True)
            steps, results, lengths = zip(*self.found, strict=True)
            np.savez(self.log_path, timesteps=steps, results=results, ep_lengths=lengths)


class StopTrainingOnRewardThreshold(BaseCallback):
    """Ends learning once its ``EvalCallback`` has seen this mean return; given as ``callback_on_new_best``."""

    def __init__(self, reward_threshold: float, verbose: int = 0) -> None:
        super().__init__(verbose)
        self.reward_threshold = reward_threshold

    def _on_step(self) -> bool:
        best: float | None = getattr(self.parent, "best_mean_reward", None)
        if best is None:
            raise ConfigError("StopTrainingOnRewardThreshold belongs into an EvalCallback, as callback_on_new_best")
        return bool(best < self.reward_threshold)


class StopTrainingOnMaxEpisodes(BaseCallback):
    """Ends learning after so many episodes for each environment."""

    def __init__(self, max_episodes: int, verbose: int = 0) -> None:
        super().__init__(verbose)
        self.max_episodes, self.n_episodes = max_episodes, 0

    def _on_step(self) -> bool:
        self.n_episodes += int(np.sum(self.locals["dones"]))
        return self.n_episodes < self.max_episodes * self.training_env.num_envs


MaybeCallback = None | BaseCallback | list[BaseCallback] | StepFunction


def one_callback(callback: MaybeCallback) -> BaseCallback | None:
    """Whatever ``learn`` was given, as one."""
    if callback is None or isinstance(callback, BaseCallback):
        return callback
    return CallbackList(callback) if isinstance(callback, list) else ConvertCallback(callback)

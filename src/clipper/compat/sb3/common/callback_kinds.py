"""Callbacks that are called at each step, but for evaluation."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

import gymnasium
import numpy as np

from clipper.compat.sb3.common.logger import Logger
from clipper.compat.sb3.common.vec_env import DummyVecEnv, VecEnv
from clipper.data.tree_type import Tree
from clipper.storage.files import from_user

StepFunction = Callable[[dict[str, Tree], dict[str, Tree]], object]
"""Of ``(locals, globals)``; where it returns False, learning ends."""


class BaseCallback(ABC):
    """Called at each step of the environments; where ``_on_step`` returns False, learning ends at once.

    ``locals`` holds ``infos``, ``rewards``, ``dones``, ``actions``, ``new_obs`` and what else Stable-Baselines3's has.
    """

    model: Tree
    """Whose callback it is."""

    def __init__(self, verbose: int = 0) -> None:
        self.n_calls = self.num_timesteps = 0
        self.verbose = verbose
        self.locals: dict[str, Tree] = {}
        self.globals: dict[str, Tree] = {}
        self.parent: Tree = None
        """The callback that calls this one."""

    @property
    def training_env(self) -> VecEnv:
        """The environments."""
        env = self.model.get_env()
        assert env is not None, "`model.get_env()` returned None, you must initialize the model with an environment"
        return env

    @property
    def logger(self) -> Logger:
        """Takes numbers beside those that training tells."""
        return self.model.logger

    def init_callback(self, model: Tree) -> None:
        """Learn whose callback it is."""
        self.model = model
        self._init_callback()

    def on_training_start(self, locals_: dict[str, Tree], globals_: dict[str, Tree]) -> None:
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
        return self._on_step()

    def on_rollout_end(self) -> None:
        """After a segment, before the update."""
        self._on_rollout_end()

    def on_training_end(self) -> None:
        """After the last update."""
        self._on_training_end()

    def update_locals(self, locals_: dict[str, Tree]) -> None:
        """Take what ``locals`` is now."""
        self.locals.update(locals_)
        self.update_child_locals(locals_)

    def update_child_locals(self, locals_: dict[str, Tree]) -> None:  # noqa: B027 (most have none)
        """Hand it on."""

    def _init_callback(self) -> None: ...  # noqa: B027
    def _on_training_start(self) -> None: ...  # noqa: B027
    def _on_rollout_start(self) -> None: ...  # noqa: B027

    @abstractmethod
    def _on_step(self) -> bool: ...

    def _on_rollout_end(self) -> None: ...  # noqa: B027
    def _on_training_end(self) -> None: ...  # noqa: B027


class EventCallback(BaseCallback):
    """One that calls another when something happens."""

    def __init__(self, callback: BaseCallback | None = None, verbose: int = 0) -> None:
        super().__init__(verbose)
        self.callback = callback
        if callback is not None:
            callback.parent = self

    def init_callback(self, model: Tree) -> None:
        super().init_callback(model)
        if self.callback is not None:
            self.callback.init_callback(model)

    def _on_training_start(self) -> None:
        if self.callback is not None:
            self.callback.on_training_start(self.locals, self.globals)

    def _on_event(self) -> bool:
        return True if self.callback is None else self.callback.on_step()

    def _on_step(self) -> bool:
        return True

    def update_child_locals(self, locals_: dict[str, Tree]) -> None:
        if self.callback is not None:
            self.callback.update_locals(locals_)


class CallbackList(BaseCallback):
    """Several, each called at each step."""

    def __init__(self, callbacks: Sequence[BaseCallback]) -> None:
        super().__init__()
        self.callbacks = callbacks

    def _init_callback(self) -> None:
        for callback in self.callbacks:
            callback.init_callback(self.model)
            callback.parent = self.parent

    def _on_training_start(self) -> None:
        for callback in self.callbacks:
            callback.on_training_start(self.locals, self.globals)

    def _on_rollout_start(self) -> None:
        for callback in self.callbacks:
            callback.on_rollout_start()

    def _on_step(self) -> bool:
        going = True
        for callback in self.callbacks:  # each must see it
            going = bool(callback.on_step()) and going
        return going

    def _on_rollout_end(self) -> None:
        for callback in self.callbacks:
            callback.on_rollout_end()

    def _on_training_end(self) -> None:
        for callback in self.callbacks:
            callback.on_training_end()

    def update_child_locals(self, locals_: dict[str, Tree]) -> None:
        for callback in self.callbacks:
            callback.update_locals(locals_)


class CheckpointCallback(BaseCallback):
    """Saves the model every ``save_freq`` steps of the environments, as ``PREFIX_N_steps.zip``."""

    def __init__(
        self, save_freq: int, save_path: str | Path, name_prefix: str = "rl_model", save_replay_buffer: bool = False,
        save_vecnormalize: bool = False, verbose: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(verbose)
        self.save_freq, self.save_path, self.name_prefix = save_freq, save_path, name_prefix
        self.save_replay_buffer, self.save_vecnormalize = save_replay_buffer, save_vecnormalize

    def _init_callback(self) -> None:
        from_user(self.save_path).mkdir(parents=True, exist_ok=True)

    def _checkpoint_path(self, checkpoint_type: str = "", extension: str = "") -> str:
        name = f"{self.name_prefix}_{checkpoint_type}{self.num_timesteps}_steps.{extension}"
        return str(from_user(self.save_path) / name)

    def _on_step(self) -> bool:
        if self.n_calls % self.save_freq:
            return True
        file = self._checkpoint_path(extension="zip")
        self.model.save(file)
        if self.verbose >= 2:
            self.logger.info(f"Saving model checkpoint to {file}")
        if self.save_replay_buffer and getattr(self.model, "replay_buffer", None) is not None:
            self.model.save_replay_buffer(self._checkpoint_path("replay_buffer_", "pkl"))
        normaliser = self.model.get_vec_normalize_env()
        if self.save_vecnormalize and normaliser is not None:
            normaliser.save(self._checkpoint_path("vecnormalize_", "pkl"))
        return True


class ConvertCallback(BaseCallback):
    """A function of ``(locals, globals)`` as a callback."""

    def __init__(self, callback: StepFunction | None, verbose: int = 0) -> None:
        super().__init__(verbose)
        self.callback = callback

    def _on_step(self) -> bool:
        return True if self.callback is None else self.callback(self.locals, self.globals)  # pyright: ignore[reportReturnType]


class StopTrainingOnRewardThreshold(BaseCallback):
    """Ends learning once its ``EvalCallback`` has seen this mean return; given as ``callback_on_new_best``."""

    def __init__(self, reward_threshold: float, verbose: int = 0) -> None:
        super().__init__(verbose)
        self.reward_threshold = reward_threshold

    def _on_step(self) -> bool:
        assert self.parent is not None, "`StopTrainingOnMinimumReward` callback must be used with an `EvalCallback`"
        going = bool(self.parent.best_mean_reward < self.reward_threshold)
        if self.verbose >= 1 and not going:
            self.logger.info(
                f"The best mean return, {self.parent.best_mean_reward:.2f}, is at the threshold of "
                f"{self.reward_threshold} or above: training ends"
            )
        return going


class EveryNTimesteps(EventCallback):
    """Calls another one each time so many decisions have passed."""

    def __init__(self, n_steps: int, callback: BaseCallback) -> None:
        super().__init__(callback)
        self.n_steps, self.last_time_trigger = n_steps, 0

    def _on_step(self) -> bool:
        if self.num_timesteps - self.last_time_trigger < self.n_steps:
            return True
        self.last_time_trigger = self.num_timesteps
        return self._on_event()


class DumpLogs(BaseCallback):
    """Writes what was noted."""

    def _on_step(self) -> bool:
        self.model.dump_logs()
        return True


class LogEveryNTimesteps(EveryNTimesteps):
    """A row of the log each time so many decisions have passed, beside those of ``log_interval``."""

    def __init__(self, n_steps: int) -> None:
        super().__init__(n_steps, DumpLogs())


class StopTrainingOnMaxEpisodes(BaseCallback):
    """Ends learning after so many episodes for each environment."""

    def __init__(self, max_episodes: int, verbose: int = 0) -> None:
        super().__init__(verbose)
        self.max_episodes, self._total_max_episodes, self.n_episodes = max_episodes, max_episodes, 0

    def _init_callback(self) -> None:
        self._total_max_episodes = self.max_episodes * self.training_env.num_envs

    def _on_step(self) -> bool:
        assert "dones" in self.locals, "a loop that calls on_step must have a variable dones"
        self.n_episodes += int(np.sum(self.locals["dones"]))
        going = self.n_episodes < self._total_max_episodes
        if self.verbose >= 1 and not going:
            self.logger.info(f"Stopping training after {self.n_episodes} episodes, {self.num_timesteps} steps")
        return going


class StopTrainingOnNoModelImprovement(BaseCallback):
    """Ends learning after so many evaluations in a row without a new best; given as ``callback_after_eval``."""

    def __init__(self, max_no_improvement_evals: int, min_evals: int = 0, verbose: int = 0) -> None:
        super().__init__(verbose)
        self.max_no_improvement_evals, self.min_evals = max_no_improvement_evals, min_evals
        self.last_best_mean_reward, self.no_improvement_evals = -np.inf, 0

    def _on_step(self) -> bool:
        assert self.parent is not None, (
            "`StopTrainingOnNoModelImprovement` callback must be used with an `EvalCallback`"
        )
        going = True
        if self.n_calls > self.min_evals:
            better = self.parent.best_mean_reward > self.last_best_mean_reward
            self.no_improvement_evals = 0 if better else self.no_improvement_evals + 1
            going = self.no_improvement_evals <= self.max_no_improvement_evals
        self.last_best_mean_reward = self.parent.best_mean_reward
        if self.verbose >= 1 and not going:
            self.logger.info(f"Stopping training: no new best in the last {self.no_improvement_evals} evaluations")
        return going


class ProgressBarCallback(BaseCallback):
    """A bar on the screen, by tqdm."""

    def _on_training_start(self) -> None:
        from tqdm.auto import tqdm  # noqa: PLC0415 (only those who look need it)

        self.pbar = tqdm(total=self.locals["total_timesteps"] - self.model.num_timesteps)

    def _on_step(self) -> bool:
        self.pbar.update(self.training_env.num_envs)
        return True

    def _on_training_end(self) -> None:
        self.pbar.refresh()
        self.pbar.close()


MaybeCallback = None | BaseCallback | list[BaseCallback] | StepFunction


def one_callback(callback: MaybeCallback, progress_bar: bool = False) -> BaseCallback:
    """Whatever ``learn`` was given, as one."""
    if isinstance(callback, list):
        callback = CallbackList(callback)
    elif not isinstance(callback, BaseCallback):
        callback = ConvertCallback(callback)
    return CallbackList([callback, ProgressBarCallback()]) if progress_bar else callback


def vectorised(env: gymnasium.Env | VecEnv) -> VecEnv:
    """One environment as a vector of one."""
    return env if isinstance(env, VecEnv) else DummyVecEnv([lambda: env])

"""Evaluation during training."""

import warnings
from pathlib import Path

import gymnasium
import numpy as np

from clipper.compat.sb3.common.callback_kinds import BaseCallback, EventCallback, vectorised
from clipper.compat.sb3.common.evaluation import evaluate_policy
from clipper.compat.sb3.common.vec_env import VecEnv, sync_envs_normalization
from clipper.data.tree_type import Tree
from clipper.errors import ConfigError
from clipper.storage.files import from_user


class EvalCallback(EventCallback):
    """Evaluates every ``eval_freq`` steps of the environments, and keeps the best model."""

    def __init__(
        self, eval_env: gymnasium.Env | VecEnv, callback_on_new_best: BaseCallback | None = None,
        callback_after_eval: BaseCallback | None = None, n_eval_episodes: int = 5, eval_freq: int = 10_000,
        log_path: str | Path | None = None, best_model_save_path: str | Path | None = None, deterministic: bool = True,
        render: bool = False, verbose: int = 1, warn: bool = True, use_masking: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(callback_after_eval, verbose)
        self.callback_on_new_best = callback_on_new_best
        if callback_on_new_best is not None:
            callback_on_new_best.parent = self
        self.eval_env, self.n_eval_episodes, self.eval_freq = vectorised(eval_env), n_eval_episodes, eval_freq
        self.log_path = None if log_path is None else str(from_user(log_path) / "evaluations")
        self.best_model_save_path = None if best_model_save_path is None else str(from_user(best_model_save_path))
        self.deterministic, self.render, self.warn, self.use_masking = deterministic, render, warn, use_masking
        self.best_mean_reward = self.last_mean_reward = -np.inf
        self.evaluations_results, self.evaluations_timesteps = list[list[float]](), list[int]()
        self.evaluations_length, self.evaluations_successes = list[list[int]](), list[list[bool]]()
        self._is_success_buffer = list[bool]()

    def _init_callback(self) -> None:
        if self.eval_env is self.training_env:
            raise ConfigError(
                "EvalCallback was given the environments that the model learns in, whose episodes it would break off: "
                "make others for it"
            )
        if type(self.training_env) is not type(self.eval_env):
            warnings.warn(
                f"training is in a {type(self.training_env).__name__}, evaluation in a {type(self.eval_env).__name__}",
                stacklevel=2,
            )  # fmt: skip
        for path in (self.best_model_save_path, None if self.log_path is None else Path(self.log_path).parent):
            if path is not None:
                Path(path).mkdir(parents=True, exist_ok=True)
        if self.callback_on_new_best is not None:
            self.callback_on_new_best.init_callback(self.model)

    def _log_success_callback(self, locals_: dict[str, Tree], globals_: dict[str, Tree]) -> None:
        if locals_["done"]:
            success = locals_["info"].get("is_success")
            if success is not None:
                self._is_success_buffer.append(success)

    def _on_step(self) -> bool:
        if self.eval_freq <= 0 or self.n_calls % self.eval_freq:
            return True
        if self.model.get_vec_normalize_env() is not None:
            try:
                sync_envs_normalization(self.training_env, self.eval_env)
            except AttributeError as error:
                raise AssertionError("Training and eval env are not wrapped the same way") from error
        self._is_success_buffer = []
        rewards, lengths = evaluate_policy(
            self.model, self.eval_env, n_eval_episodes=self.n_eval_episodes, render=self.render,
            deterministic=self.deterministic, return_episode_rewards=True, warn=self.warn,
            callback=self._log_success_callback, use_masking=self.use_masking,
        )  # fmt: skip
        self.keep(rewards, lengths)
        mean_reward, std_reward = float(np.mean(rewards)), float(np.std(rewards))
        mean_length, std_length = float(np.mean(lengths)), float(np.std(lengths))
        self.last_mean_reward = mean_reward
        if self.verbose >= 1:
            self.logger.info(
                f"Eval num_timesteps={self.num_timesteps}, episode_reward={mean_reward:.2f} +/- {std_reward:.2f}"
            )
            self.logger.info(f"Episode length: {mean_length:.2f} +/- {std_length:.2f}")
        self.logger.record("eval/mean_reward", mean_reward)
        self.logger.record("eval/mean_ep_length", mean_length)
        if self._is_success_buffer:
            rate = float(np.mean(self._is_success_buffer))
            if self.verbose >= 1:
                self.logger.info(f"Success rate: {100 * rate:.2f}%")
            self.logger.record("eval/success_rate", rate)
        self.logger.record("time/total_timesteps", self.num_timesteps, exclude="tensorboard")
        self.logger.dump(self.num_timesteps)
        going = True
        if mean_reward > self.best_mean_reward:
            if self.verbose >= 1:
                self.logger.info("New best mean reward!")
            self.best_mean_reward = mean_reward
            if self.best_model_save_path is not None:
                self.model.save(str(Path(self.best_model_save_path) / "best_model"))
            if self.callback_on_new_best is not None:
                going = self.callback_on_new_best.on_step()
        return going and self._on_event()

    def keep(self, rewards: list[float], lengths: list[int]) -> None:
        """All evaluations so far, as arrays in a file where one is wanted."""
        if self.log_path is None:
            return
        self.evaluations_timesteps.append(self.num_timesteps)
        self.evaluations_results.append(rewards)
        self.evaluations_length.append(lengths)
        more: dict[str, Tree] = {}
        if self._is_success_buffer:
            self.evaluations_successes.append(self._is_success_buffer)
            more["successes"] = self.evaluations_successes
        np.savez(
            self.log_path, timesteps=self.evaluations_timesteps, results=self.evaluations_results,
            ep_lengths=self.evaluations_length, **more,
        )  # fmt: skip

    def update_child_locals(self, locals_: dict[str, Tree]) -> None:
        super().update_child_locals(locals_)
        if self.callback_on_new_best is not None:
            self.callback_on_new_best.update_locals(locals_)

"""DQN under Stable-Baselines3's name, with its arguments and defaults (2.9)."""

import warnings
from typing import ClassVar

import numpy as np
import torch
from gymnasium.spaces import Discrete

from clipper import algorithms
from clipper.compat.sb3.common import dqn_policies
from clipper.compat.sb3.common.learnt_q import LearntQ, smooth_l1
from clipper.compat.sb3.common.off_policy_algorithm import Frequency
from clipper.compat.sb3.common.policies import BasePolicy
from clipper.compat.sb3.common.schedules import LinearSchedule
from clipper.compat.sb3.common.utils import get_parameters_by_name, polyak_update
from clipper.compat.sb3.off_policy import Kind, Kwargs, Number, Off, Source
from clipper.data.tree_type import Tree
from clipper.learning.critic_targets import Polyak
from clipper.learning.learner import Learner


class DQN(Off):
    """``stable_baselines3.DQN``."""

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": dqn_policies.DQNPolicy, "CnnPolicy": dqn_policies.CnnPolicy,
        "MultiInputPolicy": dqn_policies.MultiInputPolicy,
    }  # fmt: skip
    supported = (Discrete,)
    settings = (
        *Off.settings, "target_update_interval", "exploration_fraction", "exploration_initial_eps",
        "exploration_final_eps", "max_grad_norm", "exploration_rate", "_n_calls",
    )  # fmt: skip
    layers: ClassVar[dict[str, str]] = {"": "q_net.q_net.!"}

    def __init__(
        self,
        policy: str | type[BasePolicy],
        env: Source,
        learning_rate: Number = 1e-4,
        buffer_size: int = 1_000_000,
        learning_starts: int = 100,
        batch_size: int = 32,
        tau: float = 1.0,
        gamma: float = 0.99,
        train_freq: Frequency = 4,
        gradient_steps: int = 1,
        replay_buffer_class: Kind = None,
        replay_buffer_kwargs: Kwargs = None,
        optimize_memory_usage: bool = False,
        n_steps: int = 1,
        target_update_interval: int = 10_000,
        exploration_fraction: float = 0.1,
        exploration_initial_eps: float = 1.0,
        exploration_final_eps: float = 0.05,
        max_grad_norm: float = 10,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: Kwargs = None,
        verbose: int = 0,
        seed: int | None = None,
        device: str | torch.device = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        super().__init__(
            policy, env, learning_rate, buffer_size, learning_starts, batch_size, tau, gamma, train_freq,
            gradient_steps, None, replay_buffer_class, replay_buffer_kwargs, optimize_memory_usage, n_steps,
            policy_kwargs, stats_window_size, tensorboard_log, verbose, device, True, True, seed,
        )  # fmt: skip
        self.exploration_initial_eps, self.exploration_final_eps = exploration_initial_eps, exploration_final_eps
        self.exploration_fraction, self.target_update_interval = exploration_fraction, target_update_interval
        self.max_grad_norm, self.exploration_rate, self._n_calls = max_grad_norm, 0.0, 0
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        super()._setup_model()
        first, last, part = self.exploration_initial_eps, self.exploration_final_eps, self.exploration_fraction
        self.exploration_schedule = LinearSchedule(first, last, part)
        if self.n_envs > max(self.target_update_interval, 1):
            warnings.warn(
                f"The number of environments used is greater than target_update_interval, {self.n_envs} than "
                f"{self.target_update_interval}: the target is made anew after each of their steps",
                stacklevel=3,
            )

    @property
    def q_net(self) -> Tree:
        """The policy's."""
        return self.policy.q_net

    @property
    def q_net_target(self) -> Tree:
        """The copy that lags behind."""
        return self.policy.q_net_target

    def algorithm(self) -> algorithms.DQN:
        return algorithms.DQN(max_grad_norm=self.max_grad_norm, lag=Polyak(0.0), q_loss=smooth_l1, **self.fields())

    def make_learner(self, seed: int) -> Learner:
        learner = Learner(LearntQ(self.q_net), seed=seed, optimizer=self.optimizer())
        learner.modules["lagged_q"] = LearntQ(self.q_net_target)
        self.policy.optimizer = learner.optimizer
        learner.optimizer.param_groups[0]["lr"] = self.lr_schedule(1)
        return learner

    def _on_step(self) -> None:
        self._n_calls += 1
        if self._n_calls % max(self.target_update_interval // self.n_envs, 1) == 0:
            polyak_update(self.q_net.parameters(), self.q_net_target.parameters(), self.tau)
            own, lagging = (get_parameters_by_name(net, ["running_"]) for net in (self.q_net, self.q_net_target))
            polyak_update(own, lagging, 1.0)
        self.exploration_rate = self.exploration_schedule(self._current_progress_remaining)
        self.logger.record("rollout/exploration_rate", self.exploration_rate)

    def tags(self, rows: list[dict[str, float]], numbers: dict[str, float]) -> dict[str, float]:
        return {"loss": numbers["loss/q"]}

    def predict(
        self, observation: Tree, state: Tree = None, episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, Tree]:  # fmt: skip
        """Action(s); one at random for all, with the probability ``exploration_rate``, unless ``deterministic``."""
        if deterministic or np.random.rand() >= self.exploration_rate:
            return self.policy.predict(observation, state, episode_start, deterministic)
        if not self.policy.is_vectorized_observation(observation):
            return np.array(self.action_space.sample()), state
        rows = next(iter(observation.values())) if isinstance(observation, dict) else observation
        return np.array([self.action_space.sample() for _ in range(len(rows))]), state

"""``sb3_contrib.RecurrentPPO``: PPO of a policy with an LSTM."""

import copy
import dataclasses
from collections.abc import Callable
from typing import ClassVar

import gymnasium
import numpy as np
import torch
from torch import Tensor

from clipper import algorithms
from clipper.compat.sb3.common.policies import BasePolicy
from clipper.compat.sb3.common.recurrent.buffers import RecurrentDictRolloutBuffer, RecurrentRolloutBuffer
from clipper.compat.sb3.common.recurrent.policies import (
    RecurrentActorCriticCnnPolicy,
    RecurrentActorCriticPolicy,
    RecurrentMultiInputActorCriticPolicy,
)
from clipper.compat.sb3.common.recurrent.sequences import LearntRecurrentPolicy, in_columns
from clipper.compat.sb3.common.recurrent.type_aliases import RNNStates
from clipper.compat.sb3.common.vec_env import VecEnv
from clipper.compat.sb3.models import PPO
from clipper.data.steps import Targets
from clipper.data.tree_type import Tree
from clipper.learning.metrics import Metrics

Source = str | gymnasium.Env | VecEnv | None
Number = float | Callable[[float], float]


class RecurrentPPO(PPO):
    """As PPO; ``policy_kwargs`` says how the LSTM is made.

    Rows are cut where episodes begin. Each epoch they follow one another from another random row on, environment after
    environment, and ``batch_size`` of them are a minibatch.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpLstmPolicy": RecurrentActorCriticPolicy, "CnnLstmPolicy": RecurrentActorCriticCnnPolicy,
        "MultiInputLstmPolicy": RecurrentMultiInputActorCriticPolicy,
    }  # fmt: skip
    buffer_classes = RecurrentRolloutBuffer, RecurrentDictRolloutBuffer
    learnt_as = LearntRecurrentPolicy

    def __init__(
        self, policy: str | type[RecurrentActorCriticPolicy], env: Source, learning_rate: Number = 3e-4,
        n_steps: int = 128, batch_size: int = 128, n_epochs: int = 10, gamma: float = 0.99, gae_lambda: float = 0.95,
        clip_range: Number = 0.2, clip_range_vf: Number | None = None, normalize_advantage: bool = True,
        ent_coef: float = 0.0, vf_coef: float = 0.5, max_grad_norm: float = 0.5, use_sde: bool = False,
        sde_sample_freq: int = -1, target_kl: float | None = None, stats_window_size: int = 100,
        tensorboard_log: str | None = None, policy_kwargs: dict[str, Tree] | None = None, verbose: int = 0,
        seed: int | None = None, device: torch.device | str = "auto", _init_setup_model: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(
            policy, env, learning_rate, n_steps, batch_size, n_epochs, gamma, gae_lambda, clip_range, clip_range_vf,
            normalize_advantage, ent_coef, vf_coef, max_grad_norm, use_sde, sde_sample_freq, None, None, target_kl,
            stats_window_size, tensorboard_log, policy_kwargs, verbose, seed, device, _init_setup_model,
        )  # fmt: skip

    def _setup_model(self) -> None:
        super()._setup_model()
        assert isinstance(self.policy, RecurrentActorCriticPolicy), (
            f"RecurrentPPO's policy is a RecurrentActorCriticPolicy, and {self.policy_class.__name__} is none"
        )
        self._last_lstm_states = self.empty()

    @property
    def shape_of_state(self) -> tuple[int, int, int]:
        """Layers, environments, numbers."""
        layers, _, size = self.policy.lstm_hidden_state_shape
        return layers, self.n_envs, size

    def empty(self) -> RNNStates:
        """States of zeros."""
        pi, cell_pi, vf, cell_vf = (torch.zeros(self.shape_of_state, device=self.device) for _ in range(4))
        return RNNStates((pi, cell_pi), (vf, cell_vf))

    def shape_of_buffer(self) -> dict[str, Tree]:
        return {"hidden_state_shape": (self.n_steps, *self.shape_of_state)}

    def act(self, obs: Tree, env: VecEnv) -> tuple[Tensor, Tensor, Tensor]:
        self._states_before = self._last_lstm_states
        actions, values, log_probs, self._last_lstm_states = self.policy(
            obs, self._states_before, self.starting(self._last_episode_starts)
        )
        return actions, values, log_probs

    def starting(self, starts: np.ndarray) -> Tensor:
        """Where episodes begin, as the policy is given it."""
        return torch.as_tensor(starts, dtype=torch.float32, device=self.device)

    def states(self) -> dict[str, Tree]:
        return {"lstm_states": copy.deepcopy(self._last_lstm_states)}

    def add(
        self, obs: Tree, actions: np.ndarray, rewards: np.ndarray, starts: np.ndarray, values: Tensor, log_probs: Tensor
    ) -> None:
        buffer: Tree = self.rollout_buffer
        buffer.add(obs, actions, rewards, starts, values, log_probs, lstm_states=self._states_before)

    def value_of_last(self, obs: Tree, env: int) -> Tensor:
        state = tuple(x[:, env : env + 1].contiguous() for x in self._last_lstm_states.vf)
        return self.policy.predict_values(obs, state, torch.zeros(1, device=self.device))

    def values_after(self, obs: Tree, dones: np.ndarray) -> Tensor:
        return self.policy.predict_values(obs, self._last_lstm_states.vf, self.starting(dones))

    def improve(self, algorithm: Tree, targets: Targets) -> Metrics:
        again: algorithms.PPO = algorithm
        return again.improve(self.learner, self.cut_up(targets), lambda: self.cut_up(targets))

    def cut_up(self, targets: Targets) -> Targets:
        """The buffer's rows in an order for one epoch, a column for each minibatch."""
        buffer: Tree = self.rollout_buffer
        names = ("hidden_states_pi", "cell_states_pi", "hidden_states_vf", "cell_states_vf")
        states = [torch.as_tensor(getattr(buffer, x), device=self.device).transpose(1, 2) for x in names]
        starts = torch.as_tensor(buffer.episode_starts > 0, device=self.device)
        first = int(torch.randint(starts.numel(), (), generator=self.learner.generator))
        both = RNNStates((states[0], states[1]), (states[2], states[3]))
        return in_columns(targets, both, starts, min(self.batch_size, starts.numel()), first)

    def watched(self, algorithm: Tree) -> algorithms.PPO:
        return dataclasses.replace(super().watched(algorithm), recompute=True)  # another order in each epoch

"""Models that learn from what they have just collected: the loop, as Stable-Baselines3 runs it.

Environments are stepped here, and all that a callback sees is theirs. The update is Clipper's: its algorithm, made of
the model's attributes as they are then.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, TypeVar

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete
from torch import Tensor

from clipper.algorithms import A2C, PPO, TRPO
from clipper.compat.sb3.common.callbacks import BaseCallback, MaybeCallback
from clipper.compat.sb3.common.clipper_policy import LearntPolicy, optimizer_of
from clipper.compat.sb3.common.distributions import TanhBijector
from clipper.compat.sb3.common.logged import LoggedAlgorithm
from clipper.compat.sb3.common.policies import (
    ActorCriticCnnPolicy,
    ActorCriticPolicy,
    BasePolicy,
    MultiInputActorCriticPolicy,
    sampled,
)
from clipper.compat.sb3.common.rollout_buffers import DictRolloutBuffer, RolloutBuffer
from clipper.compat.sb3.common.saved_policies import taken
from clipper.compat.sb3.common.utils import obs_as_tensor
from clipper.compat.sb3.common.vec_env import VecEnv
from clipper.data.steps import Steps, Targets
from clipper.data.tree_type import Tree
from clipper.errors import ConfigError, NonFiniteError
from clipper.learning.metrics import Metrics

O = TypeVar("O", bound="OnPolicyAlgorithm")
NAMES = {
    "policy/entropy": "train/entropy_loss",
    "loss/policy": "train/policy_gradient_loss",
    "loss/value": "train/value_loss",
    "policy/kl": "train/approx_kl",
    "policy/clip_fraction": "train/clip_fraction",
}
"""Clipper's metrics by the tags of Stable-Baselines3."""


class OnPolicyAlgorithm(LoggedAlgorithm):
    """What PPO, A2C and TRPO share."""

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": ActorCriticPolicy,
        "CnnPolicy": ActorCriticCnnPolicy,
        "MultiInputPolicy": MultiInputActorCriticPolicy,
    }
    supported = (Box, Discrete, MultiDiscrete, MultiBinary)
    settings = (
        "n_steps",
        "gamma",
        "gae_lambda",
        "ent_coef",
        "vf_coef",
        "max_grad_norm",
        "normalize_advantage",
        "rollout_buffer_class",
        "rollout_buffer_kwargs",
    )
    rollout_buffer: RolloutBuffer
    rollout_buffer_class: type[RolloutBuffer] | None = None
    buffer_classes: ClassVar[tuple[type[RolloutBuffer], type[RolloutBuffer]]] = RolloutBuffer, DictRolloutBuffer
    """The usual ones, of other observations and of a Dict's."""
    tags: ClassVar[dict[str, str]] = NAMES
    learnt_as = LearntPolicy
    """What Clipper's losses see of a policy."""

    def __init__(
        self,
        policy: str | type[BasePolicy],
        env: gymnasium.Env | VecEnv | str | None,
        learning_rate: float | Callable[[float], float],
        n_steps: int,
        gamma: float,
        gae_lambda: float,
        ent_coef: float,
        vf_coef: float,
        max_grad_norm: float,
        use_sde: bool,
        sde_sample_freq: int,
        rollout_buffer_class: type[RolloutBuffer] | None = None,
        rollout_buffer_kwargs: dict[str, Tree] | None = None,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        monitor_wrapper: bool = True,
        policy_kwargs: dict[str, Tree] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "auto",
        _init_setup_model: bool = True,
        supported_action_spaces: tuple[type[gymnasium.Space], ...] | None = None,
    ) -> None:
        super().__init__(
            policy,
            env,
            learning_rate,
            policy_kwargs,
            stats_window_size,
            tensorboard_log,
            verbose,
            device,
            True,
            monitor_wrapper,
            seed,
            use_sde,
            sde_sample_freq,
            supported_action_spaces,
        )
        self.n_steps, self.gamma, self.gae_lambda = n_steps, gamma, gae_lambda
        self.ent_coef, self.vf_coef, self.max_grad_norm = ent_coef, vf_coef, max_grad_norm
        self.rollout_buffer_class, self.rollout_buffer_kwargs = rollout_buffer_class, rollout_buffer_kwargs or {}
        self.normalize_advantage = False

    @abstractmethod
    def algorithm(self) -> PPO | A2C | TRPO:
        """Clipper's, of the attributes as they are now."""

    def _setup_model(self) -> None:
        if self.observation_space is None:
            raise ConfigError(f"{type(self).__name__} needs an environment: an id, a gymnasium.Env or make_vec_env's")
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        kind = self.rollout_buffer_class or self.buffer_classes[isinstance(self.observation_space, Dict)]
        self.refuse_replaced(kind, "get", "change the rows in its add, or in compute_returns_and_advantage")
        self.policy = self.make_policy().to(self.device)
        self.rollout_buffer_class = kind
        self.rollout_buffer = kind(
            self.n_steps,
            self.observation_space,
            self.action_space,
            device=self.device,
            gamma=self.gamma,
            gae_lambda=self.gae_lambda,
            n_envs=self.n_envs,
            **self.rollout_buffer_kwargs,
            **self.shape_of_buffer(),
        )
        instead = "change _get_action_dist_from_latent, extract_features or mlp_extractor"
        self.refuse_replaced(type(self.policy), "evaluate_actions", instead)
        seed = int(np.random.SeedSequence().generate_state(1)[0]) if self.seed is None else self.seed
        self.learner = self.algorithm().init(self.learnt_as(self.policy), seed=seed)
        self.policy.optimizer = self.learner.optimizer
        self.learner.optimizer.param_groups[0]["lr"] = self.lr_schedule(1)

    def shape_of_buffer(self) -> dict[str, Tree]:
        """What else the buffer is given."""
        return {}

    def refuse_replaced(self, kind: type, name: str, instead: str) -> None:
        """Raise ``ConfigError`` for a class of the program's own with a method that ``train`` would not call."""
        owner = next((one for one in kind.__mro__ if name in vars(one)), kind)
        if type(self).train is OnPolicyAlgorithm.train and not owner.__module__.startswith("clipper.compat."):
            raise ConfigError(
                f"{kind.__name__} has its own {name}, which Clipper's update does not call: {instead}, or write train"
            )

    def make_policy(self) -> BasePolicy:
        """A new one."""
        make: Tree = self.policy_class
        return make(
            self.observation_space, self.action_space, self.lr_schedule, use_sde=self.use_sde, **self.policy_kwargs
        )

    def optimizer(self) -> Tree:
        """Of the policy's class and arguments."""
        return optimizer_of(self.policy.optimizer_class, self.policy.optimizer_kwargs)

    def act(self, obs: Tree, env: VecEnv) -> tuple[Tensor, Tensor, Tensor]:
        """Actions, values and log-probabilities."""
        return self.policy(obs)

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """Fill the buffer; False where a callback said stop."""
        assert self._last_obs is not None, "learn begins with an observation: it calls _setup_learn first"
        self.policy.set_training_mode(False)
        n_steps = 0
        rollout_buffer.reset()
        if self.use_sde:
            self.policy.reset_noise(env.num_envs)
        callback.on_rollout_start()
        dones, new_obs = np.zeros(env.num_envs, bool), self._last_obs
        while n_steps < n_rollout_steps:
            if self.use_sde and self.sde_sample_freq > 0 and n_steps % self.sde_sample_freq == 0:
                self.policy.reset_noise(env.num_envs)
            with torch.no_grad():
                obs_tensor = obs_as_tensor(self._last_obs, self.device)
                actions, values, log_probs = self.act(obs_tensor, env)
            actions = actions.cpu().numpy()
            clipped_actions = sampled(self.policy, actions)
            new_obs, rewards, dones, infos = env.step(clipped_actions)
            self.num_timesteps += env.num_envs
            callback.update_locals(locals() | self.states())
            if not callback.on_step():
                return False
            self._update_info_buffer(infos, dones)
            n_steps += 1
            rewards = self.with_cut_off(rewards, dones, infos)
            row = actions.reshape(-1, 1) if isinstance(self.action_space, Discrete) else actions
            self.add(self._last_obs, row, rewards, self._last_episode_starts, values, log_probs)
            self._last_obs, self._last_episode_starts = new_obs, dones
        with torch.no_grad():
            values = self.values_after(obs_as_tensor(new_obs, self.device), dones)
        rollout_buffer.compute_returns_and_advantage(last_values=values, dones=dones)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def add(
        self, obs: Tree, actions: np.ndarray, rewards: np.ndarray, starts: np.ndarray, values: Tensor, log_probs: Tensor
    ) -> None:
        """One row, into the buffer."""
        self.rollout_buffer.add(obs, actions, rewards, starts, values, log_probs)

    def with_cut_off(self, rewards: np.ndarray, dones: np.ndarray, infos: list[dict[str, Tree]]) -> np.ndarray:
        """Rewards, with γ V of the last observation where a time limit has cut an episode off."""
        for i in np.flatnonzero(dones):
            if infos[i].get("terminal_observation") is not None and infos[i].get("TimeLimit.truncated", False):
                last, _ = self.policy.obs_to_tensor(infos[i]["terminal_observation"])
                with torch.no_grad():
                    rewards[i] += self.gamma * float(self.value_of_last(last, int(i))[0])
        return rewards

    def states(self) -> dict[str, Tree]:
        """What callbacks see in ``locals`` besides."""
        return {}

    def value_of_last(self, obs: Tree, env: int) -> Tensor:
        """V of an episode's last observation, of one environment."""
        return self.policy.predict_values(obs)

    def values_after(self, obs: Tree, dones: np.ndarray) -> Tensor:
        """V of what is seen after a segment."""
        return self.policy.predict_values(obs)

    def targets(self) -> Targets:
        """The buffer as Clipper's algorithms read it: every row is a decision, and all ends are in the rewards."""
        buffer = self.rollout_buffer
        place = self.device
        for name in ("rewards", "values", "advantages", "returns"):
            if not np.isfinite(getattr(buffer, name)).all():
                raise NonFiniteError(
                    f"{name} are not finite after {self.num_timesteps} steps: VecCheckNan(env) names the environment "
                    "that gave such a number, or lower the learning rate"
                )

        def tensor(x: np.ndarray) -> Tensor:
            return torch.as_tensor(x, device=place)

        actions = tensor(buffer.actions)
        if isinstance(self.action_space, Discrete):
            actions = actions.long().squeeze(-1)
        elif isinstance(self.action_space, Box):
            actions = actions.float()
            if self.policy.squash_output:
                actions = TanhBijector.inverse(actions)
        else:
            actions = actions.long()
        yes = torch.ones(buffer.rewards.shape, dtype=torch.bool, device=place)
        lead, space = buffer.rewards.shape, self.observation_space
        if isinstance(space, Dict):
            parts = space.spaces.items()
            obs: Tree = {k: tensor(buffer.observations[k]).reshape(*lead, *(x.shape or ())) for k, x in parts}
        else:
            obs = tensor(buffer.observations).reshape(*lead, *(space.shape or ()))
        steps = Steps(obs, actions, tensor(buffer.log_probs), tensor(buffer.rewards), ~yes, ~yes, yes)
        return Targets(steps, tensor(buffer.advantages), tensor(buffer.returns), tensor(buffer.values))

    def train(self) -> None:
        """An update, by the settings as they are."""
        self.policy.set_training_mode(True)
        algorithm, targets = self.watched(self.algorithm()), self.targets()
        self.learner.progress = 1 - self._current_progress_remaining
        targets = algorithm.advantages.of_batch(targets, self.learner.world)
        metrics = self.improve(algorithm, targets)
        self._n_updates += self.updates_of(algorithm)
        self.record(metrics, targets, algorithm)

    def improve(self, algorithm: PPO | A2C | TRPO, targets: Targets) -> Metrics:
        """The algorithm's steps."""
        return algorithm.improve(self.learner, targets)

    def watched(self, algorithm: PPO | A2C | TRPO) -> PPO | A2C | TRPO:
        """The same, which keeps what ``record`` tells of it."""
        return algorithm

    def updates_of(self, algorithm: PPO | A2C | TRPO) -> int:
        """What one call of ``train`` counts as."""
        return 1

    def record(self, metrics: Metrics, targets: Targets, algorithm: PPO | A2C | TRPO) -> None:
        """Note what was watched, by the names of Stable-Baselines3; Clipper's own names are in ``history``."""
        numbers = {name: float(x) for name, x in metrics.items()}
        if not all(bool(x.isfinite().all()) for x in self.policy.parameters()):
            raise NonFiniteError(f"weights are not finite after {self.num_timesteps} steps: lower the learning rate")
        told = {tag: numbers[name] for name, tag in self.tags.items() if name in numbers}
        if "train/entropy_loss" in told:
            told["train/entropy_loss"] *= -1
        told |= self.more(numbers, algorithm)
        variance = torch.var(targets.value_target, correction=0)
        left = torch.var(targets.value_target - targets.value, correction=0)
        told["train/explained_variance"] = float(1 - left / variance) if variance > 0 else float("nan")
        told["train/learning_rate"] = self.lr_schedule(self._current_progress_remaining)
        log_std = getattr(self.policy, "log_std", None)
        if log_std is not None:
            told["train/std"] = float(log_std.detach().exp().mean())
        for name, x in told.items():
            self.logger.record(name, x)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.remember(numbers)

    def more(self, numbers: dict[str, float], algorithm: PPO | A2C | TRPO) -> dict[str, float]:
        """What one algorithm alone notes."""
        return {}

    def dump_logs(self, iteration: int = 0) -> None:
        """Write a row of the log."""
        self.note_episodes("iterations", iteration)
        self._noted |= self.scalars()
        self.logger.dump(step=self.num_timesteps)

    def learn(
        self: O,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int | None = 1,
        tb_log_name: str | None = None,
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> O:
        """Learn for so many decisions more, in whole segments."""
        if not total_timesteps >= 0:  # nor NaN
            raise ConfigError(f"total_timesteps must be at least 0, not {total_timesteps}")
        iteration, tb_log_name = 0, tb_log_name or type(self).__name__
        total_timesteps, callback = self._setup_learn(
            total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar
        )
        callback.on_training_start(locals(), globals())
        assert self.env is not None
        while self.num_timesteps < total_timesteps:
            if not self.collect_rollouts(self.env, callback, self.rollout_buffer, n_rollout_steps=self.n_steps):
                break
            iteration += 1
            self._update_current_progress_remaining(self.num_timesteps, total_timesteps)
            if log_interval is not None and iteration % log_interval == 0:
                self.dump_logs(iteration)
            self.train()
        callback.on_training_end()
        return self

    def tensors(self) -> dict[str, Tensor]:
        own = {f"learner.{name}": x for name, x in self.learner.state_dict().items() if not name.startswith("policy.")}
        return super().tensors() | own

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        super().load_tensors(tensors)
        state = {f"policy.policy.{name}": x for name, x in taken(tensors, "policy.").items()}
        self.learner.load_state_dict(state | taken(tensors, "learner."))

"""SAC, TD3 and DDPG under Stable-Baselines3's names, with its arguments and defaults (2.9)."""

import math
from collections.abc import Callable
from typing import ClassVar

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box

from clipper import algorithms
from clipper.compat.sb3.common import sac_policies, td3_policies
from clipper.compat.sb3.common.buffers import ReplayBuffer
from clipper.compat.sb3.common.clipper_policy import optimizer_of
from clipper.compat.sb3.common.learnt_q import LearntActor, LearntCritics, LearntPoint
from clipper.compat.sb3.common.noise import ActionNoise
from clipper.compat.sb3.common.off_policy_algorithm import Frequency, OffPolicyAlgorithm
from clipper.compat.sb3.common.policies import BasePolicy
from clipper.compat.sb3.common.type_aliases import TrainFreq, TrainFrequencyUnit
from clipper.compat.sb3.common.vec_env import VecEnv
from clipper.data.tree_type import Tree
from clipper.errors import ConfigError
from clipper.learning.learner import Learner
from clipper.learning.optimizers import Adam
from clipper.learning.parts import make_part
from clipper.learning.temperature import EntropyTarget, add_temperature

Source = str | gymnasium.Env | VecEnv | None
Number = float | Callable[[float], float]
Kwargs = dict[str, Tree] | None
Kind = type[ReplayBuffer] | None


class Off(OffPolicyAlgorithm):
    """What they share besides."""

    def fields(self) -> dict[str, Tree]:
        """Settings of Clipper's algorithms that have an argument here."""
        freq = self.train_freq
        assert isinstance(freq, TrainFreq)
        rows = freq.frequency if freq.unit == TrainFrequencyUnit.STEP else 1
        steps = self.gradient_steps
        return {
            "gamma": self.gamma, "batch_size": self.batch_size, "capacity": self.buffer_size, "n_step": self.n_steps,
            "learning_starts": max(self.learning_starts, 1), "learning_rate": self.rate(),
            "optimizer": self.optimizer(), "horizon": rows,
            "update_ratio": 1.0 if steps < 0 else steps / (rows * self.n_envs),
        }  # fmt: skip

    def optimizer(self) -> Tree:
        """Of the policy's class and arguments; torch's ε where none is given."""
        return optimizer_of(self.policy.optimizer_class, {"eps": 1e-8, **self.policy.optimizer_kwargs})


class WithCritics(Off):
    """SAC, TD3 and DDPG: an actor and critics, each with an optimizer."""

    supported = (Box,)

    @property
    def actor(self) -> Tree:
        """The policy's."""
        return self.policy.actor

    @property
    def critic(self) -> Tree:
        """The policy's."""
        return self.policy.critic

    @property
    def critic_target(self) -> Tree:
        """The copy of the critics that lags behind."""
        return self.policy.critic_target

    def learner_of(self, actor: LearntActor, seed: int) -> Learner:
        """A learner of actor and critics."""
        learner = Learner(actor, seed=seed, optimizer=self.optimizer())
        learner.modules["critics"] = LearntCritics(self.critic)
        learner.modules["lagged_critics"] = LearntCritics(self.critic_target)
        learner.parts["critics"] = make_part(self.policy.critics_own(), self.optimizer())
        self.actor.optimizer, self.critic.optimizer = learner.optimizer, learner.parts["critics"].optimizer
        for name in ("", "critics"):
            learner.parts[name].optimizer.param_groups[0]["lr"] = self.lr_schedule(1)
        return learner

    def parts(self) -> dict[str, Tree]:
        own = {"actor.optimizer": self.actor.optimizer, "critic.optimizer": self.critic.optimizer}
        return {"policy": self.policy, **own}


class SAC(WithCritics):
    """``stable_baselines3.SAC``; with ``use_sde`` an update draws from the noise's normal distribution."""

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": sac_policies.SACPolicy, "CnnPolicy": sac_policies.CnnPolicy,
        "MultiInputPolicy": sac_policies.MultiInputPolicy,
    }  # fmt: skip
    settings = (*Off.settings, "ent_coef", "target_entropy", "target_update_interval")
    layers: ClassVar[dict[str, str]] = {"pi": "actor.latent_pi.", "qf": "critic.qf0.!"}

    def __init__(
        self,
        policy: str | type[BasePolicy],
        env: Source,
        learning_rate: Number = 3e-4,
        buffer_size: int = 1_000_000,
        learning_starts: int = 100,
        batch_size: int = 256,
        tau: float = 0.005,
        gamma: float = 0.99,
        train_freq: Frequency = 1,
        gradient_steps: int = 1,
        action_noise: ActionNoise | None = None,
        replay_buffer_class: Kind = None,
        replay_buffer_kwargs: Kwargs = None,
        optimize_memory_usage: bool = False,
        n_steps: int = 1,
        ent_coef: str | float = "auto",
        target_update_interval: int = 1,
        target_entropy: str | float = "auto",
        use_sde: bool = False,
        sde_sample_freq: int = -1,
        use_sde_at_warmup: bool = False,
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
            gradient_steps, action_noise, replay_buffer_class, replay_buffer_kwargs, optimize_memory_usage, n_steps,
            policy_kwargs, stats_window_size, tensorboard_log, verbose, device, True, True, seed, use_sde,
            sde_sample_freq, use_sde_at_warmup,
        )  # fmt: skip
        self.ent_coef, self.target_entropy = ent_coef, target_entropy
        self.target_update_interval = target_update_interval
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        if self.target_entropy == "auto":
            self.target_entropy = float(-np.prod(self.action_space.shape))
        try:
            self.target_entropy = float(self.target_entropy)
        except ValueError as error:
            raise ConfigError(f"target_entropy is 'auto' or a number, not {self.target_entropy!r}") from error
        super()._setup_model()

    def make_policy(self) -> BasePolicy:
        make: Tree = self.policy_class
        own = {"use_sde": True} if self.use_sde else {}
        return make(self.observation_space, self.action_space, self.lr_schedule, **own | self.policy_kwargs)

    def alpha(self) -> float | EntropyTarget:
        """The weight of the entropy; raises ``ConfigError`` for what is neither ``auto``, ``auto_0.1`` nor a number."""
        word, _, start = str(self.ent_coef).partition("_")
        try:
            if word == "auto":
                return EntropyTarget(float(self.target_entropy), float(start or 1.0))
            return float(self.ent_coef)
        except (ValueError, ConfigError) as error:
            raise ConfigError(f"ent_coef is 'auto', 'auto_0.1' or a number, not {self.ent_coef!r}") from error

    def algorithm(self) -> algorithms.SAC:
        return algorithms.SAC(tau=self.tau, alpha=self.alpha(), **self.fields())

    def make_learner(self, seed: int) -> Learner:
        alpha, learner = self.alpha(), self.learner_of(LearntActor(self.actor), seed)
        add_temperature(learner, "alpha", alpha, Adam(1e-8))
        self.ent_coef_optimizer = learner.parts["alpha"].optimizer if isinstance(alpha, EntropyTarget) else None
        return learner

    @property
    def log_ent_coef(self) -> torch.Tensor | None:
        """The logarithm of the entropy's weight, where it is learned."""
        return None if self.ent_coef_optimizer is None else self.learner.modules["alpha"].log_alpha.view(1)

    @property
    def ent_coef_tensor(self) -> torch.Tensor:
        """The entropy's weight."""
        return self.learner.modules["alpha"]()

    def parts(self) -> dict[str, Tree]:
        own = {} if self.ent_coef_optimizer is None else {"ent_coef_optimizer": self.ent_coef_optimizer}
        return super().parts() | own

    def step(self, algorithm: Tree, number: int) -> algorithms.SAC:
        return algorithm if number % self.target_update_interval == 0 else algorithms.SAC(
            tau=0.0, alpha=algorithm.alpha, **self.fields()
        )  # fmt: skip

    def tags(self, rows: list[dict[str, float]], numbers: dict[str, float]) -> dict[str, float]:
        found = {
            "ent_coef": numbers["policy/alpha"], "actor_loss": numbers["loss/policy"],
            "critic_loss": self.policy.n_critics * numbers["loss/q"],
        }  # fmt: skip
        if self.ent_coef_optimizer is not None:
            wanted = float(self.target_entropy)
            losses = [math.log(row["policy/alpha"]) * (row["policy/entropy"] - wanted) for row in rows]
            found["ent_coef_loss"] = float(np.mean(losses))
        return found


class TD3(WithCritics):
    """``stable_baselines3.TD3``."""

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": td3_policies.TD3Policy, "CnnPolicy": td3_policies.CnnPolicy,
        "MultiInputPolicy": td3_policies.MultiInputPolicy,
    }  # fmt: skip
    settings = (*Off.settings, "policy_delay", "target_policy_noise", "target_noise_clip")
    layers: ClassVar[dict[str, str]] = {"pi": "actor.mu.!", "qf": "critic.qf0.!"}

    def __init__(
        self,
        policy: str | type[BasePolicy],
        env: Source,
        learning_rate: Number = 1e-3,
        buffer_size: int = 1_000_000,
        learning_starts: int = 100,
        batch_size: int = 256,
        tau: float = 0.005,
        gamma: float = 0.99,
        train_freq: Frequency = 1,
        gradient_steps: int = 1,
        action_noise: ActionNoise | None = None,
        replay_buffer_class: Kind = None,
        replay_buffer_kwargs: Kwargs = None,
        optimize_memory_usage: bool = False,
        n_steps: int = 1,
        policy_delay: int = 2,
        target_policy_noise: float = 0.2,
        target_noise_clip: float = 0.5,
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
            gradient_steps, action_noise, replay_buffer_class, replay_buffer_kwargs, optimize_memory_usage, n_steps,
            policy_kwargs, stats_window_size, tensorboard_log, verbose, device, True, True, seed,
        )  # fmt: skip
        self.policy_delay, self.target_policy_noise, self.target_noise_clip = (
            policy_delay, target_policy_noise, target_noise_clip,
        )  # fmt: skip
        if _init_setup_model:
            self._setup_model()

    @property
    def actor_target(self) -> Tree:
        """The copy of the actor that lags behind."""
        return self.policy.actor_target

    def algorithm(self) -> algorithms.TD3 | algorithms.DDPG:
        return algorithms.TD3(
            tau=self.tau, policy_delay=self.policy_delay, target_noise=self.target_policy_noise,
            noise_clip=self.target_noise_clip, **self.fields(),
        )  # fmt: skip

    def make_learner(self, seed: int) -> Learner:
        learner = self.learner_of(LearntPoint(self.actor), seed)
        learner.modules["lagged_actor"] = LearntPoint(self.actor_target)
        return learner

    def tags(self, rows: list[dict[str, float]], numbers: dict[str, float]) -> dict[str, float]:
        found = {"actor_loss": numbers["loss/policy"]} if "loss/policy" in numbers else {}
        return found | {"critic_loss": self.policy.n_critics * numbers["loss/q"]}


class DDPG(TD3):
    """``stable_baselines3.DDPG``: one critic, and a policy that moves in each step."""

    def __init__(
        self,
        policy: str | type[BasePolicy],
        env: Source,
        learning_rate: Number = 1e-3,
        buffer_size: int = 1_000_000,
        learning_starts: int = 100,
        batch_size: int = 256,
        tau: float = 0.005,
        gamma: float = 0.99,
        train_freq: Frequency = 1,
        gradient_steps: int = 1,
        action_noise: ActionNoise | None = None,
        replay_buffer_class: Kind = None,
        replay_buffer_kwargs: Kwargs = None,
        optimize_memory_usage: bool = False,
        n_steps: int = 1,
        tensorboard_log: str | None = None,
        policy_kwargs: Kwargs = None,
        verbose: int = 0,
        seed: int | None = None,
        device: str | torch.device = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        super().__init__(
            policy, env, learning_rate, buffer_size, learning_starts, batch_size, tau, gamma, train_freq,
            gradient_steps, action_noise, replay_buffer_class, replay_buffer_kwargs, optimize_memory_usage, n_steps,
            1, 0.1, 0.0, 100, tensorboard_log, {"n_critics": 1, **(policy_kwargs or {})}, verbose, seed, device,
            _init_setup_model,
        )  # fmt: skip

    def algorithm(self) -> algorithms.TD3 | algorithms.DDPG:
        if self.policy.n_critics > 1:
            return super().algorithm()
        return algorithms.DDPG(tau=self.tau, **self.fields())

"""PPO, A2C and TRPO under Stable-Baselines3's names, with its arguments and defaults (2.9)."""

import dataclasses
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import ClassVar, Literal

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, MultiBinary

from clipper import algorithms
from clipper.compat.sb3.arguments import parts, refuse_others
from clipper.compat.sb3.common.clipper_policy import optimizer_of
from clipper.compat.sb3.common.on_policy_algorithm import OnPolicyAlgorithm
from clipper.compat.sb3.common.policies import BasePolicy
from clipper.compat.sb3.common.rollout_buffers import RolloutBuffer
from clipper.compat.sb3.common.schedules import FloatSchedule
from clipper.compat.sb3.common.vec_env import VecEnv
from clipper.data.tree_type import Tree
from clipper.learning.advantages import Standardised
from clipper.learning.kl import KLStop
from clipper.learning.optimizers import RMSProp
from clipper.learning.rewards import Raw
from clipper.learning.value_losses import MSE
from clipper.networks.critics import CriticOutput

Source = str | gymnasium.Env | VecEnv | None
Number = float | Callable[[float], float]
Policy = str | type[BasePolicy]
Kwargs = dict[str, Tree] | None


class ClippedValue:
    """(V_old + clip(V − V_old, ±ε) − R)²: Stable-Baselines3's value clip, which fits the clipped value alone."""

    def __init__(self, epsilon: float) -> None:
        self.epsilon = epsilon

    def __call__(self, value: CriticOutput, target: torch.Tensor, old: torch.Tensor) -> torch.Tensor:
        return (old + (value.mean - old).clamp(-self.epsilon, self.epsilon) - target).square()


class WatchedStop(KLStop):
    """A stop that keeps what it was given; a ``target`` of infinity never ends an update."""

    minibatches: int
    """Of an epoch."""
    kls: list[float]
    """Each minibatch's."""

    def __init__(self, target: float, minibatches: int) -> None:
        super().__init__(target)
        vars(self).update(minibatches=minibatches, kls=[])  # fields are frozen, and these are none

    def end(self, kl: torch.Tensor) -> Literal["minibatch", "epoch"] | None:
        self.kls.append(float(kl))
        return super().end(kl)

    @property
    def epochs(self) -> int:
        """How many have begun."""
        return -(-len(self.kls) // self.minibatches)

    @property
    def last_kl(self) -> float:
        """The mean over the last epoch's minibatches."""
        return float(np.mean(self.kls[(self.epochs - 1) * self.minibatches :]))


class Learns(OnPolicyAlgorithm):
    """What these have besides."""

    @property
    def config(self) -> SimpleNamespace:
        """Clipper's algorithm as it will learn next, with ``target_kl`` as a number."""
        own = self.algorithm()
        fields = {field.name: getattr(own, field.name) for field in dataclasses.fields(own)}
        return SimpleNamespace(algorithm=SimpleNamespace(**{"target_kl": getattr(self, "target_kl", None)} | fields))

    def rewards_of_batch(self) -> Standardised | Raw:
        """How advantages are scaled, where it is the batch that decides."""
        return Standardised("batch") if self.normalize_advantage else Raw()


class PPO(Learns):
    """``stable_baselines3.PPO``."""

    settings = (*OnPolicyAlgorithm.settings, "batch_size", "n_epochs", "clip_range", "clip_range_vf", "target_kl")

    def __init__(
        self,
        policy: Policy,
        env: Source,
        learning_rate: Number = 3e-4,
        n_steps: int = 2048,
        batch_size: int = 64,
        n_epochs: int = 10,
        gamma: float = 0.99,
        gae_lambda: float = 0.95,
        clip_range: Number = 0.2,
        clip_range_vf: Number | None = None,
        normalize_advantage: bool = True,
        ent_coef: float = 0.0,
        vf_coef: float = 0.5,
        max_grad_norm: float = 0.5,
        use_sde: bool = False,
        sde_sample_freq: int = -1,
        rollout_buffer_class: type[RolloutBuffer] | None = None,
        rollout_buffer_kwargs: Kwargs = None,
        target_kl: float | None = None,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: Kwargs = None,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        super().__init__(
            policy, env, learning_rate, n_steps, gamma, gae_lambda, ent_coef, vf_coef, max_grad_norm, use_sde,
            sde_sample_freq, rollout_buffer_class, rollout_buffer_kwargs, stats_window_size, tensorboard_log, True,
            policy_kwargs, verbose, seed, device,
        )  # fmt: skip
        if normalize_advantage:
            assert batch_size > 1, "`batch_size` must be greater than 1, of one advantage there is no deviation"
        self.batch_size, self.n_epochs, self.clip_range, self.clip_range_vf = (
            batch_size,
            n_epochs,
            clip_range,
            clip_range_vf,
        )
        self.normalize_advantage, self.target_kl = normalize_advantage, target_kl
        if self.env is not None:
            rows = self.env.num_envs * n_steps
            assert rows > 1 or not normalize_advantage, (
                f"one decision's advantage has no spread: n_steps={n_steps} × n_envs={self.env.num_envs} must exceed 1"
            )
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        self.clip_range = FloatSchedule(self.clip_range)
        if self.clip_range_vf is not None:
            if isinstance(self.clip_range_vf, float | int):
                assert self.clip_range_vf > 0, f"clip_range_vf must be above 0, or None, not {self.clip_range_vf}"
            self.clip_range_vf = FloatSchedule(self.clip_range_vf)
        super()._setup_model()
        self._maybe_recommend_cpu()

    def _maybe_recommend_cpu(self, mlp_class_name: str = "ActorCriticPolicy") -> None:
        if self.device.type != "cpu" and self.policy_class.__name__ == mlp_class_name:
            warnings.warn(
                f"You are trying to run {type(self).__name__} on the GPU, which pays for images only: device='cpu'",
                UserWarning,
                stacklevel=4,
            )

    def algorithm(self) -> algorithms.PPO:
        value_loss = MSE() if self.clip_range_vf is None else ClippedValue(self.at(self.clip_range_vf))
        return algorithms.PPO(
            horizon=self.n_steps,
            epochs=self.n_epochs,
            gamma=self.gamma,
            lam=self.gae_lambda,
            learning_rate=self.rate(),
            optimizer=self.optimizer(),
            minibatches=parts(self.n_envs, self.n_steps, self.batch_size),
            clip=self.at(self.clip_range),
            advantages=Standardised() if self.normalize_advantage else Raw(),
            entropy_coef=self.ent_coef,
            value_coef=self.vf_coef,
            max_grad_norm=self.max_grad_norm,
            value_loss=value_loss,
            stop=None if self.target_kl is None else KLStop(self.target_kl),
        )

    def watched(self, algorithm: Tree) -> algorithms.PPO:
        target = float("inf") if self.target_kl is None else self.target_kl
        return dataclasses.replace(
            algorithm, stop=WatchedStop(target, -(-self.n_envs * self.n_steps // self.batch_size))
        )

    def updates_of(self, algorithm: Tree) -> int:
        return algorithm.stop.epochs

    def more(self, numbers: dict[str, float], algorithm: Tree) -> dict[str, float]:
        loss = numbers["loss/policy"] + self.vf_coef * numbers["loss/value"] - self.ent_coef * numbers["policy/entropy"]
        found = {
            "train/loss": loss,
            "train/clip_range": self.at(self.clip_range),
            "train/approx_kl": algorithm.stop.last_kl,
        }
        return found if self.clip_range_vf is None else found | {"train/clip_range_vf": self.at(self.clip_range_vf)}


class A2C(Learns):
    """``stable_baselines3.A2C``."""

    tags: ClassVar[dict[str, str]] = {
        "policy/entropy": "train/entropy_loss", "loss/policy": "train/policy_loss", "loss/value": "train/value_loss",
    }  # fmt: skip

    def __init__(
        self,
        policy: Policy,
        env: Source,
        learning_rate: Number = 7e-4,
        n_steps: int = 5,
        gamma: float = 0.99,
        gae_lambda: float = 1.0,
        ent_coef: float = 0.0,
        vf_coef: float = 0.5,
        max_grad_norm: float = 0.5,
        rms_prop_eps: float = 1e-5,
        use_rms_prop: bool = True,
        use_sde: bool = False,
        sde_sample_freq: int = -1,
        rollout_buffer_class: type[RolloutBuffer] | None = None,
        rollout_buffer_kwargs: Kwargs = None,
        normalize_advantage: bool = False,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: Kwargs = None,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        super().__init__(
            policy, env, learning_rate, n_steps, gamma, gae_lambda, ent_coef, vf_coef, max_grad_norm, use_sde,
            sde_sample_freq, rollout_buffer_class, rollout_buffer_kwargs, stats_window_size, tensorboard_log, True,
            policy_kwargs, verbose, seed, device,
        )  # fmt: skip
        self.normalize_advantage = normalize_advantage
        if use_rms_prop and "optimizer_class" not in self.policy_kwargs:
            options = {"alpha": 0.99, "eps": rms_prop_eps, "weight_decay": 0}
            self.policy_kwargs = {
                **self.policy_kwargs,
                "optimizer_class": torch.optim.RMSprop,
                "optimizer_kwargs": options,
            }
        if _init_setup_model:
            self._setup_model()

    def optimizer(self) -> Tree:
        options = self.policy.optimizer_kwargs
        if (
            self.policy.optimizer_class is torch.optim.RMSprop
            and not options.get("weight_decay")
            and set(options) <= {"alpha", "eps", "weight_decay"}
        ):
            return RMSProp(options.get("alpha", 0.99), options.get("eps", 1e-8))
        return optimizer_of(self.policy.optimizer_class, options)

    def algorithm(self) -> algorithms.A2C:
        return algorithms.A2C(
            horizon=self.n_steps,
            gamma=self.gamma,
            lam=self.gae_lambda,
            learning_rate=self.rate(),
            optimizer=self.optimizer(),
            entropy_coef=self.ent_coef,
            value_coef=self.vf_coef,
            max_grad_norm=self.max_grad_norm,
            advantages=self.rewards_of_batch(),
        )


class TRPO(Learns):
    """``sb3_contrib.TRPO``; its KL is a mean over the components of an action, Clipper's their sum."""

    tags: ClassVar[dict[str, str]] = {"loss/value": "train/value_loss"}

    settings = (
        *OnPolicyAlgorithm.settings,
        "batch_size",
        "cg_max_steps",
        "cg_damping",
        "line_search_shrinking_factor",
        "line_search_max_iter",
        "n_critic_updates",
        "target_kl",
    )

    def __init__(
        self,
        policy: Policy,
        env: Source,
        learning_rate: Number = 1e-3,
        n_steps: int = 2048,
        batch_size: int = 128,
        gamma: float = 0.99,
        cg_max_steps: int = 15,
        cg_damping: float = 0.1,
        line_search_shrinking_factor: float = 0.8,
        line_search_max_iter: int = 10,
        n_critic_updates: int = 10,
        gae_lambda: float = 0.95,
        use_sde: bool = False,
        sde_sample_freq: int = -1,
        rollout_buffer_class: type[RolloutBuffer] | None = None,
        rollout_buffer_kwargs: Kwargs = None,
        normalize_advantage: bool = True,
        target_kl: float = 0.01,
        sub_sampling_factor: int = 1,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: Kwargs = None,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        refuse_others({"sub_sampling_factor": (sub_sampling_factor, 1)}, "the whole batch decides the step")
        super().__init__(
            policy, env, learning_rate, n_steps, gamma, gae_lambda, 0.0, 0.0, 0.0, use_sde, sde_sample_freq,
            rollout_buffer_class, rollout_buffer_kwargs, stats_window_size, tensorboard_log, True, policy_kwargs,
            verbose, seed, device,
        )  # fmt: skip
        self.normalize_advantage, self.batch_size, self.sub_sampling_factor = normalize_advantage, batch_size, 1
        if normalize_advantage:
            assert batch_size > 1, "`batch_size` must be greater than 1, of one advantage there is no deviation"
            rows = n_steps * self.n_envs
            assert self.env is None or rows > 1, f"`n_steps * n_envs` must be greater than 1, not {rows}"
        self.cg_max_steps, self.cg_damping, self.n_critic_updates, self.target_kl = (
            cg_max_steps,
            cg_damping,
            n_critic_updates,
            target_kl,
        )
        self.line_search_shrinking_factor, self.line_search_max_iter = (
            line_search_shrinking_factor,
            line_search_max_iter,
        )
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        super()._setup_model()
        critic = self.learner.critic_optimizer
        assert critic is not None
        self.policy.optimizer = critic

    @property
    def size(self) -> int:
        """How many components a KL is the mean of."""
        return int(np.prod(self.action_space.shape)) if isinstance(self.action_space, Box | MultiBinary) else 1  # pyright: ignore[reportArgumentType]

    def algorithm(self) -> algorithms.TRPO:
        return algorithms.TRPO(
            horizon=self.n_steps,
            gamma=self.gamma,
            lam=self.gae_lambda,
            delta=self.target_kl * self.size,
            damping=self.cg_damping * self.size,
            cg_iterations=self.cg_max_steps,
            shrink=self.line_search_shrinking_factor,
            tries=self.line_search_max_iter,
            value_epochs=self.n_critic_updates,
            value_learning_rate=self.rate(),
            value_minibatches=parts(self.n_envs, self.n_steps, self.batch_size),
            optimizer=self.optimizer(),
            max_grad_norm=float("inf"),
            advantages=self.rewards_of_batch(),
        )

    def more(self, numbers: dict[str, float], algorithm: Tree) -> dict[str, float]:
        found = {"train/is_line_search_success": float(numbers.get("policy/step_scale", 0) > 0)}
        if "policy/kl" in numbers:
            found["train/kl_divergence_loss"] = numbers["policy/kl"] / self.size
        return found | {"train/policy_objective": -numbers.get("loss/policy", 0.0)}

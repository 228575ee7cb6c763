"""The algorithms under Stable-Baselines3's names, with its arguments and defaults (2.9)."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
import torch

from clipper import algorithms
from clipper.algorithms import Algorithm
from clipper.compat.sb3.arguments import parts, policy_options, refuse_others, reward_scaling, schedule
from clipper.compat.sb3.base import Model
from clipper.compat.sb3.common.vec_env import VecEnv, vectorised
from clipper.errors import ConfigError
from clipper.learning.advantages import Standardised
from clipper.learning.kl import KLStop
from clipper.learning.optimizers import Adam, RMSProp
from clipper.learning.rewards import Raw

Source = str | gymnasium.Env | VecEnv | None
Number = float | Callable[[float], float]
CLIPPED_VALUE = (
    "its value clip fits the clipped value alone, Clipper's (clipper.value_losses.ClippedMSE) the larger of two errors"
)


def in_minibatches(algorithm: algorithms.PPO | algorithms.TRPO, n_envs: int, batch_size: int) -> Algorithm:
    """Minibatches of at most ``batch_size``, of the actor's steps or else of the critic's."""
    name = "minibatches" if hasattr(algorithm, "minibatches") else "value_minibatches"
    return dataclasses.replace(algorithm, **{name: parts(n_envs, algorithm.horizon, batch_size)})


def in_columns(algorithm: algorithms.PPO, n_envs: int, batch_size: int) -> Algorithm:
    """As many minibatches, but whole environments in each."""
    return dataclasses.replace(algorithm, minibatches=min(n_envs, parts(n_envs, algorithm.horizon, batch_size)))


def refuse_exploration(use_sde: bool, frequency: int, buffer: object, options: object, window: int) -> None:
    """What every algorithm has and Clipper has not, or has as a setting of its own."""
    given = {"use_sde": (use_sde, False), "sde_sample_freq": (frequency, -1)}
    refuse_others(given, "gSDE is clipper.HeadOptions(distribution=GSDE(n)), for clipper.train")
    given = {"rollout_buffer_class": (buffer, None), "rollout_buffer_kwargs": (options or None, None)}
    refuse_others(given | {"stats_window_size": (window, 100)})


class PPO(Model):
    """``stable_baselines3.PPO``."""

    batch_argument = staticmethod(in_minibatches)
    recurrent = False

    def __init__(
        self,
        policy: str,
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
        rollout_buffer_class: object = None,
        rollout_buffer_kwargs: Mapping[str, object] | None = None,
        target_kl: float | None = None,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: Mapping[str, object] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: str | torch.device = "auto",
    ) -> None:
        refuse_exploration(use_sde, sde_sample_freq, rollout_buffer_class, rollout_buffer_kwargs, stats_window_size)
        refuse_others({"clip_range_vf": (clip_range_vf, None)}, CLIPPED_VALUE)
        envs = None if env is None else vectorised(env)
        kwargs, adam = optimizer(policy_kwargs)
        algorithm = algorithms.PPO(
            horizon=n_steps, epochs=n_epochs, gamma=gamma, lam=gae_lambda, optimizer=adam,
            learning_rate=schedule("learning_rate", learning_rate), clip=schedule("clip_range", clip_range),
            advantages=Standardised() if normalize_advantage else Raw(), entropy_coef=ent_coef, value_coef=vf_coef,
            max_grad_norm=max_grad_norm, stop=None if target_kl is None else KLStop(target_kl),
            **reward_scaling(envs, gamma),
        )  # fmt: skip
        self.batch_size = batch_size
        count = 1 if envs is None else envs.num_envs
        self.make(
            type(self).batch_argument(algorithm, count, batch_size), envs,
            policy_options(policy, kwargs, envs, memory=self.recurrent), seed, device, tensorboard_log=tensorboard_log,
            verbose=verbose,
        )  # fmt: skip


class MaskablePPO(PPO):
    """``sb3_contrib.MaskablePPO``: as PPO, which reads masks wherever there are some; here there must be."""

    def check_masks(self, wanted: bool, there: bool) -> None:
        if not wanted:
            raise ConfigError("learn takes no use_masking=False: Clipper reads masks wherever there are some")
        if not there:
            raise ConfigError(
                "MaskablePPO needs an environment with action_masks(): wrap yours in ActionMasker, or use PPO"
            )


class RecurrentPPO(PPO):
    """``sb3_contrib.RecurrentPPO``, with the LSTM after the hidden layers instead of before them.

    Minibatches are whole environments, of which there must be several for more than one.
    """

    batch_argument = staticmethod(in_columns)
    recurrent = True

    def __init__(
        self,
        policy: str,
        env: Source,
        learning_rate: Number = 3e-4,
        n_steps: int = 128,
        batch_size: int = 128,
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
        target_kl: float | None = None,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: Mapping[str, object] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: str | torch.device = "auto",
    ) -> None:
        super().__init__(
            policy, env, learning_rate, n_steps, batch_size, n_epochs, gamma, gae_lambda, clip_range, clip_range_vf,
            normalize_advantage, ent_coef, vf_coef, max_grad_norm, use_sde, sde_sample_freq, None, None, target_kl,
            stats_window_size, tensorboard_log, policy_kwargs, verbose, seed, device,
        )  # fmt: skip


class A2C(Model):
    """``stable_baselines3.A2C``."""

    def __init__(
        self,
        policy: str,
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
        rollout_buffer_class: object = None,
        rollout_buffer_kwargs: Mapping[str, object] | None = None,
        normalize_advantage: bool = False,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: Mapping[str, object] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: str | torch.device = "auto",
    ) -> None:
        refuse_exploration(use_sde, sde_sample_freq, rollout_buffer_class, rollout_buffer_kwargs, stats_window_size)
        envs = None if env is None else vectorised(env)
        kwargs, adam = optimizer(policy_kwargs)
        algorithm = algorithms.A2C(
            horizon=n_steps, gamma=gamma, lam=gae_lambda, learning_rate=schedule("learning_rate", learning_rate),
            optimizer=RMSProp(0.99, rms_prop_eps) if use_rms_prop else adam, entropy_coef=ent_coef,
            value_coef=vf_coef, max_grad_norm=max_grad_norm,
            advantages=Standardised("batch") if normalize_advantage else Raw(),
            **reward_scaling(envs, gamma),
        )  # fmt: skip
        self.make(
            algorithm, envs, policy_options(policy, kwargs, envs), seed, device,
            tensorboard_log=tensorboard_log, verbose=verbose,
        )  # fmt: skip


class TRPO(Model):
    """``sb3_contrib.TRPO``; its KL is a mean over the components of a Box action, Clipper's their sum."""

    batch_argument = staticmethod(in_minibatches)

    def __init__(
        self,
        policy: str,
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
        rollout_buffer_class: object = None,
        rollout_buffer_kwargs: Mapping[str, object] | None = None,
        normalize_advantage: bool = True,
        target_kl: float = 0.01,
        sub_sampling_factor: int = 1,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: Mapping[str, object] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: str | torch.device = "auto",
    ) -> None:
        refuse_exploration(use_sde, sde_sample_freq, rollout_buffer_class, rollout_buffer_kwargs, stats_window_size)
        refuse_others({"sub_sampling_factor": (sub_sampling_factor, 1)}, "the whole batch decides the step")
        envs = None if env is None else vectorised(env)
        kwargs, adam = optimizer(policy_kwargs)
        space = None if envs is None else envs.action_space
        size = int(np.prod(space.shape)) if isinstance(space, gymnasium.spaces.Box) else 1
        algorithm = algorithms.TRPO(
            horizon=n_steps, gamma=gamma, lam=gae_lambda, delta=target_kl * size, damping=cg_damping * size,
            cg_iterations=cg_max_steps, shrink=line_search_shrinking_factor, tries=line_search_max_iter,
            value_epochs=n_critic_updates, value_learning_rate=schedule("learning_rate", learning_rate), optimizer=adam,
            max_grad_norm=float("inf"), advantages=Standardised("batch") if normalize_advantage else Raw(),
            **reward_scaling(envs, gamma),
        )  # fmt: skip
        self.batch_size = batch_size
        count = 1 if envs is None else envs.num_envs
        self.make(
            in_minibatches(algorithm, count, batch_size), envs, policy_options(policy, kwargs, envs), seed, device,
            tensorboard_log=tensorboard_log, verbose=verbose,
        )  # fmt: skip


def optimizer(policy_kwargs: Mapping[str, object] | None) -> tuple[dict[str, object], Adam]:
    """``policy_kwargs`` without ``optimizer_kwargs=dict(eps=…)``, and the Adam that these describe."""
    kwargs = dict[str, Any](policy_kwargs or {})
    options = dict(kwargs.pop("optimizer_kwargs", None) or {})
    own = {name: options.pop(name) for name in ("eps", "betas", "weight_decay") if name in options}
    refuse_others({f"optimizer_kwargs[{k!r}]": (v, ...) for k, v in options.items()}, "Adam has no such number here")
    return kwargs, Adam(**own)

"""``sb3_contrib.RecurrentPPO``, by Clipper's own networks with a memory."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import torch

from clipper import algorithms
from clipper.algorithms import Algorithm
from clipper.compat.sb3.arguments import parts, policy_options, refuse_others, schedule
from clipper.compat.sb3.base import Model, vectorised
from clipper.compat.sb3.common.vec_env import VecEnv
from clipper.compat.sb3.models import ClippedValue
from clipper.learning.advantages import Standardised
from clipper.learning.kl import KLStop
from clipper.learning.optimizers import Adam
from clipper.learning.rewards import Raw
from clipper.learning.value_losses import MSE

Source = str | gymnasium.Env | VecEnv | None
Number = float | Callable[[float], float]


def in_columns(algorithm: algorithms.PPO, n_envs: int, batch_size: int) -> Algorithm:
    """As many minibatches, but whole environments in each."""
    return dataclasses.replace(algorithm, minibatches=min(n_envs, parts(n_envs, algorithm.horizon, batch_size)))


class RecurrentPPO(Model):
    """With the LSTM after the hidden layers instead of before them.

    Minibatches are whole environments, of which there must be several for more than one.
    """

    batch_argument = staticmethod(in_columns)

    def __init__(
        self, policy: str, env: Source, learning_rate: Number = 3e-4, n_steps: int = 128, batch_size: int = 128,
        n_epochs: int = 10, gamma: float = 0.99, gae_lambda: float = 0.95, clip_range: Number = 0.2,
        clip_range_vf: float | None = None, normalize_advantage: bool = True, ent_coef: float = 0.0,
        vf_coef: float = 0.5,
        max_grad_norm: float = 0.5, use_sde: bool = False, sde_sample_freq: int = -1, target_kl: float | None = None,
        stats_window_size: int = 100, tensorboard_log: str | None = None, policy_kwargs: Mapping[str,
        object] | None = None,
        verbose: int = 0, seed: int | None = None, device: torch.device | str = "auto", _init_setup_model: bool = True,
    ) -> None:  # fmt: skip
        given = {"use_sde": (use_sde, False), "sde_sample_freq": (sde_sample_freq, -1)}
        refuse_others(given, "gSDE is clipper.HeadOptions(distribution=GSDE(n)), for clipper.train")
        refuse_others({"stats_window_size": (stats_window_size, 100)})
        envs = None if env is None else vectorised(env)
        kwargs, adam = optimizer(policy_kwargs)
        algorithm = algorithms.PPO(
            horizon=n_steps, epochs=n_epochs, gamma=gamma, lam=gae_lambda, optimizer=adam,
            learning_rate=schedule("learning_rate", learning_rate), clip=schedule("clip_range", clip_range),
            advantages=Standardised() if normalize_advantage else Raw(), entropy_coef=ent_coef, value_coef=vf_coef,
            max_grad_norm=max_grad_norm, stop=None if target_kl is None else KLStop(target_kl),
            value_loss=MSE() if clip_range_vf is None else ClippedValue(clip_range_vf),
        )  # fmt: skip
        self.batch_size = batch_size
        self.make(
            in_columns(algorithm, 1 if envs is None else envs.num_envs, batch_size), envs,
            policy_options(policy, kwargs, envs, memory=True), seed, device, tensorboard_log=tensorboard_log,
            verbose=verbose,
        )  # fmt: skip


def optimizer(policy_kwargs: Mapping[str, object] | None) -> tuple[dict[str, object], Adam]:
    """``policy_kwargs`` without ``optimizer_kwargs=dict(eps=…)``, and the Adam that these describe."""
    kwargs = dict[str, Any](policy_kwargs or {})
    options = dict(kwargs.pop("optimizer_kwargs", None) or {})
    own = {name: options.pop(name) for name in ("eps", "betas", "weight_decay") if name in options}
    refuse_others({f"optimizer_kwargs[{k!r}]": (v, ...) for k, v in options.items()}, "Adam has no such number here")
    return kwargs, Adam(**own)

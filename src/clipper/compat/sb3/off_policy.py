"""Algorithms that learn from a replay, under Stable-Baselines3's names, with its arguments and defaults (2.9)."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypedDict, Unpack

import gymnasium
import numpy as np
import torch

from clipper import algorithms
from clipper.algorithms import Algorithm
from clipper.compat.sb3.arguments import policy_options, refuse_others, schedule
from clipper.compat.sb3.base import Model, vectorised
from clipper.compat.sb3.common.buffers import ReplayBuffer
from clipper.compat.sb3.common.noise import NormalActionNoise
from clipper.compat.sb3.common.vec_env import VecEnv
from clipper.compat.sb3.recurrent import optimizer
from clipper.errors import ConfigError
from clipper.learning.critic_targets import Periodic, Polyak
from clipper.learning.exploration import EpsilonGreedy
from clipper.learning.optimizers import Adam
from clipper.learning.replay import Replay
from clipper.learning.schedules import Annealed, Schedule
from clipper.learning.temperature import EntropyTarget
from clipper.networks.heads import Deterministic, HeadOptions
from clipper.networks.policy_options import PolicyOptions
from clipper.storage import checkpoint
from clipper.storage.files import from_user

Source = str | gymnasium.Env | VecEnv | None
Number = float | Callable[[float], float]
Frequency = int | tuple[int, str]


class Shared(TypedDict):
    """Fields that all of their algorithms have, of the arguments that all of theirs have."""

    horizon: int
    update_ratio: float
    capacity: int
    n_step: int
    optimizer: Adam
    learning_rate: Schedule


class OffPolicyModel(Model):
    """What these share: a replay, and how often they learn from it."""

    usual_widths: tuple[int, ...] = (256, 256)
    """Of ``policy_kwargs``' ``net_arch`` where it is left out."""

    def prepare(
        self, algorithm: Callable[..., Algorithm], policy: str, env: Source, policy_kwargs: Mapping[str, object] | None,
        *, train_freq: Frequency, gradient_steps: int, learning_rate: Number, buffer_size: int, n_steps: int,
        refused: Mapping[str, tuple[object, object]], noise: NormalActionNoise | None = None,
    ) -> tuple[VecEnv | None, Algorithm, PolicyOptions]:  # fmt: skip
        """Environments, the algorithm of its other arguments and of these, and the network."""
        refuse_others(refused)
        envs = None if env is None else vectorised(env)
        kwargs, adam = optimizer(policy_kwargs)
        adam = adam if "optimizer_kwargs" in dict(policy_kwargs or {}) else Adam(1e-8)
        arch = kwargs.get("net_arch", self.usual_widths)
        if isinstance(arch, dict):
            arch = {"vf" if name == "qf" else name: widths for name, widths in arch.items()}
        kwargs = {"activation_fn": torch.nn.ReLU, "ortho_init": False} | kwargs | {"net_arch": arch}
        options = policy_options(policy, kwargs, envs)
        options = dataclasses.replace(
            options, head=HeadOptions() if noise is None else HeadOptions(distribution=Deterministic(sigma_of(noise)))
        )
        rows = rows_of(train_freq)
        count = 1 if envs is None else envs.num_envs
        ratio = 1.0 if gradient_steps == -1 else gradient_steps / (rows * count)
        made = algorithm(
            horizon=rows, update_ratio=ratio, capacity=buffer_size, n_step=n_steps, optimizer=adam,
            learning_rate=schedule("learning_rate", learning_rate),
        )  # fmt: skip
        return envs, made, options

    def make_on_cpu(
        self, algorithm: Algorithm, envs: VecEnv | None, options: PolicyOptions, seed: int | None,
        device: str | torch.device, tensorboard_log: str | None, verbose: int,
    ) -> None:  # fmt: skip
        """Set up, on the CPU where nobody says otherwise, with a row of metrics for 1,000 decisions."""
        place = "cpu" if str(device) == "auto" else device
        self.make(algorithm, envs, options, seed, place, tensorboard_log=tensorboard_log, verbose=verbose)
        self.config = dataclasses.replace(self.config, log_every=1_000)

    @property
    def replay_buffer(self) -> Replay:
        """What has been kept."""
        return self.learner.modules["replay"]

    def save_replay_buffer(self, path: str | Path) -> None:
        """Write what has been kept to a file of Clipper's, whatever its name."""
        checkpoint.save(from_user(path), self.replay_buffer.state_dict(), {})

    def load_replay_buffer(self, path: str | Path, truncate_last_traj: bool = True) -> None:
        """Take it over; an episode that was going on is cut off there in any case."""
        refuse_others({"truncate_last_traj": (truncate_last_traj, True)}, "each learn begins with fresh episodes")
        self.replay_buffer.load_state_dict(checkpoint.load(from_user(path))[0])


def sigma_of(noise: NormalActionNoise) -> float:
    """The one deviation of all components."""
    if not isinstance(noise, NormalActionNoise):
        raise ConfigError(f"action_noise={noise!r}: Clipper explores by NormalActionNoise(0, sigma) alone")
    sigmas, means = np.unique(np.asarray(noise._sigma)), np.asarray(noise._mu)
    if np.any(means != 0) or len(sigmas) != 1:
        raise ConfigError("NormalActionNoise has mean 0 and one sigma for all components: Clipper's noise has no other")
    return float(sigmas[0])


def rows_of(train_freq: Frequency) -> int:
    """``train_freq`` in rows; raises ``ConfigError`` for whole episodes."""
    number, unit = (train_freq, "step") if isinstance(train_freq, int) else train_freq
    if unit != "step":
        raise ConfigError(f"train_freq={train_freq!r}: Clipper learns after a number of steps, not of episodes")
    return number


def not_ours(
    replay_buffer_class: object, replay_buffer_kwargs: object, stats_window_size: int
) -> dict[str, tuple[object, object]]:
    """Arguments of all of them that have to stand at their defaults."""
    own = None if replay_buffer_class is ReplayBuffer else replay_buffer_class
    return {
        "replay_buffer_class": (own, None), "replay_buffer_kwargs": (replay_buffer_kwargs or None, None),
        "stats_window_size": (stats_window_size, 100),
    }  # fmt: skip


class SAC(OffPolicyModel):
    """``stable_baselines3.SAC``; ``optimize_memory_usage`` is always on, and exact at truncations."""

    def __init__(
        self,
        policy: str,
        env: Source,
        learning_rate: Number = 3e-4,
        buffer_size: int = 1_000_000,
        learning_starts: int = 100,
        batch_size: int = 256,
        tau: float = 0.005,
        gamma: float = 0.99,
        train_freq: Frequency = 1,
        gradient_steps: int = 1,
        action_noise: NormalActionNoise | None = None,
        replay_buffer_class: object = None,
        replay_buffer_kwargs: Mapping[str, object] | None = None,
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
        policy_kwargs: Mapping[str, object] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: str | torch.device = "auto",
    ) -> None:
        word, _, start = f"{ent_coef}".partition("_")
        entropy = None if target_entropy == "auto" else float(target_entropy)
        alpha = EntropyTarget(entropy, float(start or 1.0)) if word == "auto" else float(ent_coef)
        refused = not_ours(replay_buffer_class, replay_buffer_kwargs, stats_window_size) | {
            "action_noise": (action_noise, None), "target_update_interval": (target_update_interval, 1),
            "use_sde": (use_sde, False), "sde_sample_freq": (sde_sample_freq, -1),
            "use_sde_at_warmup": (use_sde_at_warmup, False),
        }  # fmt: skip

        def algorithm(**given: Unpack[Shared]) -> algorithms.SAC:
            return algorithms.SAC(
                gamma=gamma, tau=tau, batch_size=batch_size, learning_starts=learning_starts, alpha=alpha, **given
            )

        envs, made, options = self.prepare(
            algorithm, policy, env, policy_kwargs, train_freq=train_freq, gradient_steps=gradient_steps,
            learning_rate=learning_rate, buffer_size=buffer_size, n_steps=n_steps, refused=refused,
        )  # fmt: skip
        self.make_on_cpu(made, envs, options, seed, device, tensorboard_log, verbose)


class TD3(OffPolicyModel):
    """``stable_baselines3.TD3``; without ``action_noise`` it explores by N(0, 0.1²), theirs not at all."""

    usual_widths = (400, 300)

    def __init__(
        self,
        policy: str,
        env: Source,
        learning_rate: Number = 1e-3,
        buffer_size: int = 1_000_000,
        learning_starts: int = 100,
        batch_size: int = 256,
        tau: float = 0.005,
        gamma: float = 0.99,
        train_freq: Frequency = 1,
        gradient_steps: int = 1,
        action_noise: NormalActionNoise | None = None,
        replay_buffer_class: object = None,
        replay_buffer_kwargs: Mapping[str, object] | None = None,
        optimize_memory_usage: bool = False,
        n_steps: int = 1,
        policy_delay: int = 2,
        target_policy_noise: float = 0.2,
        target_noise_clip: float = 0.5,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: Mapping[str, object] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: str | torch.device = "auto",
    ) -> None:
        def algorithm(**given: Unpack[Shared]) -> algorithms.TD3:
            return algorithms.TD3(
                gamma=gamma, tau=tau, batch_size=batch_size, learning_starts=learning_starts,
                policy_delay=policy_delay, target_noise=target_policy_noise, noise_clip=target_noise_clip, **given,
            )  # fmt: skip

        envs, made, options = self.prepare(
            algorithm, policy, env, policy_kwargs, train_freq=train_freq, gradient_steps=gradient_steps,
            learning_rate=learning_rate, buffer_size=buffer_size, n_steps=n_steps, noise=action_noise,
            refused=not_ours(replay_buffer_class, replay_buffer_kwargs, stats_window_size),
        )  # fmt: skip
        self.make_on_cpu(made, envs, options, seed, device, tensorboard_log, verbose)


class DDPG(OffPolicyModel):
    """``stable_baselines3.DDPG``; without ``action_noise`` it explores by N(0, 0.1²), theirs not at all."""

    usual_widths = (400, 300)

    def __init__(
        self,
        policy: str,
        env: Source,
        learning_rate: Number = 1e-3,
        buffer_size: int = 1_000_000,
        learning_starts: int = 100,
        batch_size: int = 256,
        tau: float = 0.005,
        gamma: float = 0.99,
        train_freq: Frequency = 1,
        gradient_steps: int = 1,
        action_noise: NormalActionNoise | None = None,
        replay_buffer_class: object = None,
        replay_buffer_kwargs: Mapping[str, object] | None = None,
        optimize_memory_usage: bool = False,
        n_steps: int = 1,
        tensorboard_log: str | None = None,
        policy_kwargs: Mapping[str, object] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: str | torch.device = "auto",
    ) -> None:
        def algorithm(**given: Unpack[Shared]) -> algorithms.DDPG:
            return algorithms.DDPG(
                gamma=gamma, tau=tau, batch_size=batch_size, learning_starts=learning_starts, **given
            )

        envs, made, options = self.prepare(
            algorithm, policy, env, policy_kwargs, train_freq=train_freq, gradient_steps=gradient_steps,
            learning_rate=learning_rate, buffer_size=buffer_size, n_steps=n_steps, noise=action_noise,
            refused=not_ours(replay_buffer_class, replay_buffer_kwargs, 100),
        )  # fmt: skip
        self.make_on_cpu(made, envs, options, seed, device, tensorboard_log, verbose)


class DQN(OffPolicyModel):
    """``stable_baselines3.DQN``, whose Huber loss is half of Clipper's: hence twice its bound on gradients, and ε."""

    usual_widths = (64, 64)

    def __init__(
        self,
        policy: str,
        env: Source,
        learning_rate: Number = 1e-4,
        buffer_size: int = 1_000_000,
        learning_starts: int = 100,
        batch_size: int = 32,
        tau: float = 1.0,
        gamma: float = 0.99,
        train_freq: Frequency = 4,
        gradient_steps: int = 1,
        replay_buffer_class: object = None,
        replay_buffer_kwargs: Mapping[str, object] | None = None,
        optimize_memory_usage: bool = False,
        n_steps: int = 1,
        target_update_interval: int = 10_000,
        exploration_fraction: float = 0.1,
        exploration_initial_eps: float = 1.0,
        exploration_final_eps: float = 0.05,
        max_grad_norm: float = 10,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: Mapping[str, object] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: str | torch.device = "auto",
    ) -> None:
        def algorithm(**given: Unpack[Shared]) -> algorithms.DQN:
            each = max(1, round(target_update_interval * given["update_ratio"]))
            given["optimizer"] = dataclasses.replace(given["optimizer"], eps=2 * given["optimizer"].eps)
            if tau < 1.0 and each > 1:
                raise ConfigError(
                    f"tau={tau:g} beside target_update_interval={target_update_interval}: a copy follows by averages "
                    "at each gradient step, or is made anew each so many with tau=1"
                )
            epsilon = Annealed(exploration_initial_eps, exploration_final_eps, exploration_fraction)
            return algorithms.DQN(
                gamma=gamma, batch_size=batch_size, learning_starts=learning_starts, max_grad_norm=2.0 * max_grad_norm,
                lag=Polyak(tau) if tau < 1.0 else Periodic(each), exploration=EpsilonGreedy(epsilon), **given,
            )  # fmt: skip

        envs, made, options = self.prepare(
            algorithm, policy, env, policy_kwargs, train_freq=train_freq, gradient_steps=gradient_steps,
            learning_rate=learning_rate, buffer_size=buffer_size, n_steps=n_steps,
            refused=not_ours(replay_buffer_class, replay_buffer_kwargs, stats_window_size),
        )  # fmt: skip
        self.make_on_cpu(made, envs, options, seed, device, tensorboard_log, verbose)

"""Other libraries' settings of PPO and its relatives, each a function that returns a full ``Config``.

>>> clipper.train(clipper.presets.sb3("CartPole-v1"), total_steps=50_000)

``make parity`` compares them with the libraries' own defaults, and single updates under them with the libraries'. What
stays Clipper's own under every preset: an episode that a time limit cut off bootstraps from its last observation
(CleanRL's and baselines' take it for an end), statistics of observations and rewards rest while a segment is collected
and learnt from (theirs move with every step), and log σ stays within [−10, 2].
"""

from collections.abc import Callable
from math import log
from typing import Any

from clipper.algorithms import A2C, PPO, TRPO, VPG, PPOSeparate
from clipper.errors import ConfigError
from clipper.learning.advantages import Standardised
from clipper.learning.kl import KLStop, Sampled
from clipper.learning.optimizers import Adam, RMSProp
from clipper.learning.rewards import Raw, Scaled
from clipper.learning.schedules import Linear, Schedule
from clipper.learning.value_losses import ClippedMSE
from clipper.networks.heads import HeadOptions, SoftplusOfState, TanhGaussian
from clipper.networks.policy_options import PolicyOptions
from clipper.settings.config import Config
from clipper.settings.defaults import ATARI_POLICY, ATARI_PPO
from clipper.settings.presets_off_policy import (
    OFF_POLICY,
    bester_mpdqn,
    bester_pdqn,
    cleanrl_ddpg,
    cleanrl_dqn,
    cleanrl_sac,
    cleanrl_td3,
    sb3_ddpg,
    sb3_dqn,
    sb3_sac,
    sb3_td3,
    spinning_up_ddpg,
    spinning_up_sac,
    spinning_up_td3,
)
from clipper.settings.presets_tutorials import TUTORIALS, di_engine_hybrid, ppo_pytorch, ten_tricks

__all__ = [
    "ALL", "PRESETS", "ZOO", "andrychowicz", "baselines", "bester_mpdqn", "bester_pdqn", "cleanrl",
    "cleanrl_atari", "cleanrl_continuous",
    "cleanrl_ddpg", "cleanrl_dqn", "cleanrl_sac", "cleanrl_td3", "di_engine_hybrid", "ppo_pytorch",
    "rl_zoo", "sb3", "sb3_a2c", "sb3_ddpg", "sb3_dqn",
    "sb3_sac", "sb3_td3", "sb3_trpo", "spinning_up", "spinning_up_ddpg", "spinning_up_sac", "spinning_up_td3",
    "spinning_up_vpg", "ten_tricks",
]  # fmt: skip

OFF = float("inf")  # a gradient's bound that bounds nothing
RAW = HeadOptions(rescale_action=False)
SPINNING_UP = PolicyOptions(orthogonal=False, head=HeadOptions(rescale_action=False, initial_log_std=-0.5))


def cleanrl(env: str = "CartPole-v1") -> Config:
    """CleanRL's ``ppo.py`` (cleanrl @fe8d8a0), for discrete actions.

    Its value loss has a factor ½ before ``vf_coef=0.5``, hence 0.25 here. The value clip shares ε with the surrogate.
    """
    return Config(
        env=env,
        algorithm=PPO(
            horizon=128, epochs=4, minibatches=4, learning_rate=Linear(2.5e-4), entropy_coef=0.01, value_coef=0.25,
            value_loss=ClippedMSE(0.2),
        ),
        total_steps=500_000,
        num_envs=4,
    )  # fmt: skip


def cleanrl_continuous(env: str = "HalfCheetah-v5") -> Config:
    """CleanRL's ``ppo_continuous_action.py`` (cleanrl @fe8d8a0): the 37 details' settings for continuous actions."""
    return Config(
        env=env,
        algorithm=PPO(
            horizon=2048, epochs=10, minibatches=32, learning_rate=Linear(3e-4), value_coef=0.25,
            value_loss=ClippedMSE(0.2), rewards=Scaled(10.0),
        ),
        policy=PolicyOptions(normalise_obs=True, clip_obs=10.0, head=RAW),
        total_steps=1_000_000,
        num_envs=1,
    )  # fmt: skip


def cleanrl_atari(env: str = "ALE/Pong-v5") -> Config:
    """CleanRL's ``ppo_atari.py`` (cleanrl @fe8d8a0): the 37 details' settings for Atari, as ``pong`` has them."""
    return Config(
        env=env,
        algorithm=ATARI_PPO,
        policy=ATARI_POLICY,
        total_steps=10_000_000,
        num_envs=8,
    )


def sb3(env: str = "CartPole-v1") -> Config:
    """Stable-Baselines3's ``PPO("MlpPolicy", env)`` (2.9.2, ``ppo/ppo.py``), whose ``batch_size=64`` is a 32nd of 2048.

    With other ``num_envs``, raise ``minibatches`` alike to keep minibatches of 64.
    """
    return Config(
        env=env,
        algorithm=PPO(horizon=2048, epochs=10, minibatches=32, learning_rate=3e-4, clip=0.2, value_coef=0.5),
        policy=PolicyOptions(head=RAW),
        num_envs=1,
    )


def sb3_a2c(env: str = "CartPole-v1") -> Config:
    """Stable-Baselines3's ``A2C("MlpPolicy", env)`` (2.9.2, ``a2c/a2c.py``): RMSProp as torch has it."""
    return Config(
        env=env,
        algorithm=A2C(horizon=5, lam=1.0, learning_rate=7e-4, optimizer=RMSProp(0.99, 1e-5), value_coef=0.5),
        policy=PolicyOptions(head=RAW),
        num_envs=1,
    )


def sb3_trpo(env: str = "CartPole-v1") -> Config:
    """sb3-contrib's ``TRPO("MlpPolicy", env)`` (2.9.2, ``trpo/trpo.py``).

    The line search there measures KL(π ‖ π_old), here KL(π_old ‖ π). For continuous actions of A components the KL
    there is a mean over components too: ``delta`` and ``damping`` times A are the same step.
    """
    return Config(
        env=env,
        algorithm=TRPO(
            horizon=2048, delta=0.01, cg_iterations=15, damping=0.1, shrink=0.8, tries=10, value_epochs=10,
            value_minibatches=16, value_learning_rate=1e-3, max_grad_norm=OFF,
        ),
        policy=PolicyOptions(head=RAW),
        num_envs=1,
    )  # fmt: skip


def baselines(env: str = "HalfCheetah-v5") -> Config:
    """OpenAI baselines' ``ppo2`` with its MuJoCo defaults (@ea25b9e, ``ppo2/defaults.py`` and ``ppo2/model.py``).

    As ``cleanrl_continuous``, but advantages are divided by numpy's deviation (over n). Its Adam is TensorFlow's,
    which adds ε before the moments' bias is corrected: the first steps differ a little.
    """
    return Config(
        env=env,
        algorithm=PPO(
            horizon=2048, epochs=10, minibatches=32, learning_rate=Linear(3e-4), value_coef=0.25,
            value_loss=ClippedMSE(0.2), advantages=Standardised("minibatch", correction=0), rewards=Scaled(10.0),
        ),
        policy=PolicyOptions(normalise_obs=True, clip_obs=10.0, head=RAW),
        total_steps=1_000_000,
        num_envs=1,
    )  # fmt: skip


def spinning_up(env: str = "HalfCheetah-v5") -> Config:
    """Spinning Up's PPO (spinup @038665d, ``algos/pytorch/ppo/ppo.py``): actor and critic separate.

    The policy takes 80 steps at most, and ends them where the mean of −log r has passed 1.5 times ``stop.target``; its
    critic takes 80 of its own, towards the rewards-to-go.
    """
    return Config(
        env=env,
        algorithm=PPOSeparate(
            horizon=4000, gamma=0.99, lam=0.97, clip=0.2, epochs=80, minibatches=1, learning_rate=3e-4,
            stop=KLStop(0.01), kl=Sampled("k1"), value_epochs=80, value_minibatches=1, value_learning_rate=1e-3,
        ),
        policy=SPINNING_UP,
        total_steps=200_000,
        num_envs=1,
    )  # fmt: skip


def spinning_up_vpg(env: str = "HalfCheetah-v5") -> Config:
    """Spinning Up's VPG (spinup @038665d, ``algos/pytorch/vpg/vpg.py``): one step of the actor, 80 of the critic.

    Its critic is fitted to rewards-to-go, here to the λ-returns.
    """
    return Config(
        env=env,
        algorithm=VPG(
            horizon=4000, lam=0.97, learning_rate=3e-4, value_learning_rate=1e-3, value_epochs=80, value_minibatches=1,
            optimizer=Adam(1e-8), max_grad_norm=OFF, advantages=Standardised("batch", correction=0),
        ),
        policy=SPINNING_UP,
        total_steps=200_000,
        num_envs=1,
    )  # fmt: skip


def andrychowicz(env: str = "HalfCheetah-v5") -> Config:
    """What "What matters in on-policy reinforcement learning?" recommends (Andrychowicz et al. 2020, arXiv:2006.05990).

    - Objective: PPO's, ε = 0.25; advantages by GAE with λ = 0.9; γ = 0.99, which is worth tuning; a squared error
      without Huber's bound or the value clip; no entropy bonus and no other regulariser.
    - Network: separate for policy and value, the latter wide (256-256); tanh; the policy's last weights times 0.01.
    - Actions: a normal squashed by tanh; σ is the softplus of a layer's output with an offset, 0.5 at the start.
    - Observations normalised, and returns too ("check whether it helps").
    - Ten passes, transitions shuffled, advantages recomputed before each; Adam at 3e-4, falling linearly to 0.

    Where it finds no difference, what its own baseline has (seed_rl @0e1e0ac, ``mujoco/gin/ppo.gin``): 2048 decisions
    in minibatches of 64, advantages standardised in each, gradients bounded by 0.5, a policy of 64-64.
    """
    return Config(
        env=env,
        algorithm=PPO(
            horizon=256, epochs=10, minibatches=32, clip=0.25, lam=0.9, gamma=0.99, learning_rate=Linear(3e-4),
            recompute=True,
        ),
        policy=PolicyOptions(
            hidden=(64, 64), critic_hidden=(256, 256), normalise_obs=True, clip_obs=10.0, normalise_returns=True,
            head=HeadOptions(distribution=TanhGaussian(), std=SoftplusOfState(), initial_log_std=log(0.5)),
        ),
        total_steps=1_000_000,
        num_envs=8,
    )  # fmt: skip


def zoo(
    env: str,
    total_steps: int,
    num_envs: int = 1,
    *,
    steps: int = 2048,
    batch: int = 64,
    epochs: int = 10,
    gamma: float = 0.99,
    lam: float = 0.95,
    learning_rate: Schedule = 3e-4,
    clip: Schedule = 0.2,
    entropy: float = 0.0,
    value: float = 0.5,
    max_grad_norm: float = 0.5,
    normalise: bool = False,
    wide: bool = False,
) -> Config:
    """One row of the zoo: what it leaves out is Stable-Baselines3's default.

    ``wide`` stands for what its tuned rows share: ReLU 256-256, weights as torch draws them, σ = e⁻² at the start.
    """
    return Config(
        env=env,
        algorithm=PPO(
            horizon=steps, minibatches=max(num_envs * steps // batch, 1), epochs=epochs, gamma=gamma, lam=lam,
            learning_rate=learning_rate, clip=clip, entropy_coef=entropy, value_coef=value,
            max_grad_norm=max_grad_norm, rewards=Scaled() if normalise else Raw(),
        ),
        policy=PolicyOptions(
            normalise_obs=normalise, hidden=(256, 256) if wide else (64, 64), activation="relu" if wide else "tanh",
            orthogonal=not wide, head=HeadOptions(rescale_action=False, initial_log_std=-2.0 if wide else 0.0),
        ),
        total_steps=total_steps,
        num_envs=num_envs,
    )  # fmt: skip


MILLION = 1_000_000
ZOO: dict[str, dict[str, Any]] = {
    "CartPole": {
        "total_steps": 100_000, "num_envs": 8, "steps": 32, "batch": 256, "lam": 0.8, "gamma": 0.98, "epochs": 20,
        "learning_rate": Linear(1e-3), "clip": Linear(0.2),
    },
    "MountainCar": {
        "total_steps": MILLION, "num_envs": 16, "steps": 16, "lam": 0.98, "epochs": 4, "normalise": True,
    },
    "Acrobot": {"total_steps": MILLION, "num_envs": 16, "steps": 256, "lam": 0.94, "epochs": 4, "normalise": True},
    "LunarLander": {
        "total_steps": MILLION, "num_envs": 16, "steps": 1024, "lam": 0.98, "gamma": 0.999, "epochs": 4,
        "entropy": 0.01,
    },
    "BipedalWalker": {
        "total_steps": 5 * MILLION, "num_envs": 32, "gamma": 0.999, "clip": 0.18, "normalise": True,
    },
    "BipedalWalkerHardcore": {
        "total_steps": 100 * MILLION, "num_envs": 16, "entropy": 0.001, "learning_rate": Linear(2.5e-4),
        "clip": Linear(0.2), "normalise": True,
    },
    "Ant": {"total_steps": MILLION, "normalise": True},
    "Swimmer": {
        "total_steps": MILLION, "num_envs": 4, "steps": 1024, "batch": 256, "gamma": 0.9999, "lam": 0.98,
        "learning_rate": 6e-4, "normalise": True,
    },
    "HalfCheetah": {
        "total_steps": MILLION, "steps": 512, "gamma": 0.98, "learning_rate": 2.0633e-05, "entropy": 0.000401762,
        "clip": 0.1, "epochs": 20, "lam": 0.92, "max_grad_norm": 0.8, "value": 0.58096, "normalise": True,
        "wide": True,
    },
    "Hopper": {
        "total_steps": MILLION, "steps": 512, "batch": 32, "gamma": 0.999, "learning_rate": 9.80828e-05,
        "entropy": 0.00229519, "epochs": 5, "lam": 0.99, "max_grad_norm": 0.7, "value": 0.835671, "normalise": True,
        "wide": True,
    },
    "HumanoidStandup": {
        "total_steps": 10 * MILLION, "steps": 512, "batch": 32, "learning_rate": 2.55673e-05, "entropy": 3.62109e-06,
        "clip": 0.3, "epochs": 20, "lam": 0.9, "max_grad_norm": 0.7, "value": 0.430793, "normalise": True,
        "wide": True,
    },
    "Humanoid": {
        "total_steps": 10 * MILLION, "steps": 512, "batch": 256, "gamma": 0.95, "learning_rate": 3.56987e-05,
        "entropy": 0.00238306, "clip": 0.3, "epochs": 5, "lam": 0.9, "max_grad_norm": 2.0, "value": 0.431892,
        "normalise": True, "wide": True,
    },
    "InvertedDoublePendulum": {
        "total_steps": MILLION, "steps": 128, "batch": 512, "gamma": 0.98, "learning_rate": 0.000155454,
        "entropy": 1.05057e-06, "clip": 0.4, "lam": 0.8, "value": 0.695929, "normalise": True,
    },
    "InvertedPendulum": {
        "total_steps": MILLION, "steps": 32, "gamma": 0.999, "learning_rate": 0.000222425, "entropy": 1.37976e-07,
        "clip": 0.4, "epochs": 5, "lam": 0.9, "max_grad_norm": 0.3, "value": 0.19816, "normalise": True,
    },
    "Reacher": {
        "total_steps": MILLION, "steps": 512, "batch": 32, "gamma": 0.9, "learning_rate": 0.000104019,
        "entropy": 7.52585e-08, "clip": 0.3, "epochs": 5, "lam": 1.0, "max_grad_norm": 0.9, "value": 0.950368,
        "normalise": True,
    },
    "Walker2d": {
        "total_steps": MILLION, "steps": 512, "batch": 32, "learning_rate": 5.05041e-05, "entropy": 0.000585045,
        "clip": 0.1, "epochs": 20, "max_grad_norm": 1.0, "value": 0.871923, "normalise": True,
    },
}  # fmt: skip
ZOO["LunarLanderContinuous"] = ZOO["LunarLander"]


def rl_zoo(env: str = "CartPole-v1") -> Config:
    """The row for ``env`` in RL Baselines3 Zoo's ``hyperparams/ppo.yml`` (2.9.2, @22e3ff2), whatever its version.

    Raises ``ConfigError`` for an environment that has no row here.
    """
    row = ZOO.get(env.partition(",")[0].rpartition(":")[2].rpartition("-v")[0])
    if row is None:
        raise ConfigError(f"the zoo has no row for {env}; there are: {', '.join(sorted(ZOO))}")
    return zoo(env, **row)


ALL = (
    cleanrl, cleanrl_continuous, cleanrl_atari, sb3, sb3_a2c, sb3_trpo, spinning_up, spinning_up_vpg, baselines,
    andrychowicz, rl_zoo, *TUTORIALS, *OFF_POLICY,
)  # fmt: skip
PRESETS: dict[str, Callable[[str], Config]] = {f.__name__.replace("_", "-"): f for f in ALL}
"""By name, as ``clipper train ENVIRONMENT --preset NAME`` takes them."""

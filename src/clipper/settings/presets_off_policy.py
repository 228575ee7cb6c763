"""Other libraries' settings of algorithms that learn from a replay, each a function that returns a full ``Config``.

What stays Clipper's own under all of them: an episode that a time limit cut off bootstraps from its last observation
(SB3's does, too), the first actions are uniform until the first gradient step, and log σ of SAC stays within [−10, 2].
"""

from collections.abc import Callable
from dataclasses import replace

from clipper.algorithms import DDPG, DQN, MPDQN, PDQN, SAC, TD3, Algorithm
from clipper.learning.critic_targets import Periodic
from clipper.learning.exploration import EpsilonGreedy
from clipper.learning.optimizers import Adam
from clipper.learning.schedules import Annealed
from clipper.learning.value_losses import MSE
from clipper.networks.heads import Deterministic
from clipper.networks.policy_options import PolicyOptions
from clipper.settings.config import Config

MILLION = 1_000_000
OFF = float("inf")  # a gradient's bound that bounds nothing
HALF = Adam(2e-8)
"""Adam of a loss that is twice theirs: with twice the ε the steps are the same."""


def config(env: str, algorithm: Algorithm, hidden: tuple[int, ...], total_steps: int) -> Config:
    """Two hidden layers of ReLUs, first weights as torch has them, and one environment, as all of them have."""
    policy = PolicyOptions(hidden=hidden, activation="relu", orthogonal=False)
    return Config(
        env=env, algorithm=algorithm, policy=policy, num_envs=1, total_steps=total_steps, log_every=1_000
    )  # fmt: skip


def sb3_sac(env: str = "HalfCheetah-v5") -> Config:
    """Stable-Baselines3's ``SAC("MlpPolicy", env)`` (2.9.2, ``sac/sac.py``)."""
    return config(env, SAC(learning_starts=100), (256, 256), MILLION)


def sb3_td3(env: str = "HalfCheetah-v5") -> Config:
    """Stable-Baselines3's ``TD3("MlpPolicy", env)`` (2.9.2, ``td3/td3.py``).

    Theirs explores only with an ``action_noise``, which its documentation gives N(0, 0.1²); here that is the policy's.
    """
    return config(env, TD3(learning_starts=100), (400, 300), MILLION)


def sb3_ddpg(env: str = "HalfCheetah-v5") -> Config:
    """Stable-Baselines3's ``DDPG("MlpPolicy", env)`` (2.9.2, ``ddpg/ddpg.py``); noise as under ``sb3_td3``."""
    return config(env, DDPG(learning_starts=100), (400, 300), MILLION)


def sb3_dqn(env: str = "CartPole-v1") -> Config:
    """Stable-Baselines3's ``DQN("MlpPolicy", env)`` (2.9.2, ``dqn/dqn.py``).

    Its copy is made every 10,000 decisions, which are 2,500 gradient steps. Its Huber loss is half of Clipper's, so
    that its bound of 10 on the gradient is 20 here.
    """
    dqn = DQN(
        learning_rate=1e-4, learning_starts=100, batch_size=32, horizon=4, update_ratio=0.25, lag=Periodic(2_500),
        exploration=EpsilonGreedy(Annealed(1.0, 0.05, 0.1)), max_grad_norm=20.0, optimizer=HALF,
    )  # fmt: skip
    return config(env, dqn, (64, 64), 100_000)


def cleanrl_sac(env: str = "HalfCheetah-v5") -> Config:
    """CleanRL's ``sac_continuous_action.py`` (cleanrl @fe8d8a0).

    In every second step its policy, and α, take two steps, on one batch; here one in each.
    """
    return config(env, SAC(critic_learning_rate=1e-3, learning_starts=5_000), (256, 256), MILLION)


def cleanrl_td3(env: str = "HalfCheetah-v5") -> Config:
    """CleanRL's ``td3_continuous_action.py`` (cleanrl @fe8d8a0)."""
    return config(env, TD3(learning_rate=3e-4, learning_starts=25_000), (256, 256), MILLION)


def cleanrl_ddpg(env: str = "HalfCheetah-v5") -> Config:
    """CleanRL's ``ddpg_continuous_action.py`` (cleanrl @fe8d8a0), whose policy moves in every second step only."""
    return config(env, DDPG(learning_rate=3e-4, learning_starts=25_000), (256, 256), MILLION)


def cleanrl_dqn(env: str = "CartPole-v1") -> Config:
    """CleanRL's ``dqn.py`` (cleanrl @fe8d8a0): a copy every 500 decisions, which are 50 gradient steps."""
    dqn = DQN(
        learning_rate=2.5e-4, learning_starts=10_000, batch_size=128, capacity=10_000, horizon=10, update_ratio=0.1,
        lag=Periodic(50), exploration=EpsilonGreedy(Annealed(1.0, 0.05, 0.5)), q_loss=MSE(), max_grad_norm=OFF,
    )  # fmt: skip
    return config(env, dqn, (120, 84), 500_000)


def spinning_up_sac(env: str = "HalfCheetah-v5") -> Config:
    """Spinning Up's SAC (spinup @038665d, ``algos/pytorch/sac/sac.py``), whose α is fixed.

    Its critics' loss has no factor ½, which Adam's steps do not see. Its actions are uniform for 10,000 decisions, and
    it learns from the 1,000th on; here both begin at 10,000.
    """
    sac = SAC(alpha=0.2, learning_rate=1e-3, batch_size=100, learning_starts=10_000, horizon=50)
    return config(env, sac, (256, 256), 400_000)


def spinning_up_td3(env: str = "HalfCheetah-v5") -> Config:
    """Spinning Up's TD3 (spinup @038665d, ``algos/pytorch/td3/td3.py``); its first decisions likewise."""
    return config(env, TD3(batch_size=100, learning_starts=10_000, horizon=50), (256, 256), 400_000)


def spinning_up_ddpg(env: str = "HalfCheetah-v5") -> Config:
    """Spinning Up's DDPG (spinup @038665d, ``algos/pytorch/ddpg/ddpg.py``); its first decisions likewise."""
    return config(env, DDPG(batch_size=100, learning_starts=10_000, horizon=50), (256, 256), 400_000)


def bester_pdqn(env: str = "clipper/Platform-v0") -> Config:
    """P-DQN as MP-DQN's authors run it on Platform, or on Goal (arXiv:1905.04388).

    Their ε falls over 1,000 of 20,000 episodes, here over 5 % of the decisions, which here are 200,000. Their arguments
    have a process's noise of σ = 0.0001, which here is normal. On Goal they divide rewards by 50, and everywhere they
    add a linear function of the state to the arguments, which Clipper does not.
    """
    return bester(env, PDQN)


def bester_mpdqn(env: str = "clipper/Platform-v0") -> Config:
    """MP-DQN as its authors run it (Bester et al. 2019, arXiv:1905.04388); differences as under ``bester_pdqn``."""
    return bester(env, MPDQN)


def bester(env: str, kind: type[PDQN | MPDQN]) -> Config:
    """What is the same for both; on Goal one hidden layer of 256 instead of 128, and smaller steps."""
    goal = "Goal" in env
    algorithm = kind(
        gamma=0.95 if goal else 0.9, argument_learning_rate=1e-5 if goal else 1e-4, max_grad_norm=1.0 if goal else 10.0,
        capacity=20_000 if goal else 10_000, learning_starts=500, epsilon=Annealed(1.0, 0.01, 0.05),
    )  # fmt: skip
    made = config(env, algorithm, (256,) if goal else (128,), 200_000)
    head = replace(made.policy.head, distribution=Deterministic(1e-4, squash=False))
    return replace(made, policy=replace(made.policy, head=head))


OFF_POLICY: tuple[Callable[[str], Config], ...] = (
    sb3_sac, sb3_td3, sb3_ddpg, sb3_dqn, cleanrl_sac, cleanrl_td3, cleanrl_ddpg, cleanrl_dqn, spinning_up_sac,
    spinning_up_td3, spinning_up_ddpg, bester_pdqn, bester_mpdqn,
)  # fmt: skip

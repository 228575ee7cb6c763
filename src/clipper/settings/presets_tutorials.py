"""Settings of programs that tutorials point to, each a function that returns a full ``Config``."""

from math import log

from clipper.algorithms import PPO, PPOSeparate
from clipper.learning.action_parts import PerPart
from clipper.learning.advantages import Standardised
from clipper.learning.critic_targets import MonteCarlo
from clipper.learning.optimizers import Adam
from clipper.learning.rewards import Scaled
from clipper.learning.schedules import Linear
from clipper.learning.value_losses import ClippedMSE
from clipper.networks.heads import HeadOptions
from clipper.networks.heads.scales import Fixed, LinearStd
from clipper.networks.policy_options import PolicyOptions
from clipper.settings.config import Config

INFINITE = float("inf")


def ppo_pytorch(env: str = "HalfCheetah-v5") -> Config:
    """PPO-PyTorch of nikhilbarhate99 (``PPO.py`` and ``train.py``, 2021): no GAE, no minibatches, σ by a plan.

    Returns are Monte Carlo's, which it standardises in each batch, so that Â = (R − mean)/std − V. Here the critic
    predicts returns in units of running statistics, and Â is standardised instead. Its σ falls by 0.05 every 250,000
    steps from 0.6 to 0.1, here along a line; means end in a tanh there. A return that a batch cuts counts nothing of
    what follows there; here V stands for it. Its critic's loss has a factor ½, which Adam does not see.
    """
    return Config(
        env=env,
        algorithm=PPOSeparate(
            horizon=4000, gamma=0.99, lam=1.0, clip=0.2, epochs=80, minibatches=1, learning_rate=3e-4,
            entropy_coef=0.01, value_epochs=80, value_minibatches=1, value_learning_rate=1e-3,
            critic_target=MonteCarlo(), stop=None, advantages=Standardised("batch", correction=1), optimizer=Adam(1e-8),
            max_grad_norm=INFINITE,
        ),
        policy=PolicyOptions(
            orthogonal=False, normalise_returns=True,
            head=HeadOptions(rescale_action=False, std=LinearStd(0.1), initial_log_std=log(0.6)),
        ),
        total_steps=3_000_000,
        num_envs=1,
    )  # fmt: skip


def ten_tricks(env: str = "HalfCheetah-v5") -> Config:
    """The "10 tricks" of Lizhi-sjtu (DRL-code-pytorch, ``5.PPO-continuous``, 2022), with all of them on.

    Advantages are standardised over the batch, observations normalised without a bound, rewards scaled, gradients of
    actor and critic bounded apart, weights orthogonal (gain 1, not √2), Adam's ε 1e-5, an entropy bonus, a falling
    rate, tanh. It moves actor and critic by turns, minibatch by minibatch; their networks are separate, so that it is
    all one whether the critic comes after. Its Gaussian's mean ends in a tanh, and it clips actions before it takes
    their probability, which is then that of another action: Clipper does neither.
    """
    return Config(
        env=env,
        algorithm=PPOSeparate(
            horizon=2048, gamma=0.99, lam=0.95, clip=0.2, epochs=10, minibatches=32, learning_rate=Linear(3e-4),
            value_epochs=10, value_minibatches=32, value_learning_rate=Linear(3e-4), entropy_coef=0.01,
            critic_target=None, stop=None, advantages=Standardised("batch", correction=1), rewards=Scaled(INFINITE),
            optimizer=Adam(1e-5), max_grad_norm=0.5,
        ),
        policy=PolicyOptions(
            hidden_gain=1.0, normalise_obs=True, clip_obs=INFINITE, head=HeadOptions(rescale_action=False),
        ),
        total_steps=3_000_000,
        num_envs=1,
    )  # fmt: skip


def di_engine_hybrid(env: str = "clipper/Moving-v0") -> Config:
    """DI-engine's H-PPO (``dizoo/gym_hybrid/config/gym_hybrid_hppo_config.py`` @041c1b1, ``ding/rl_utils/ppo.py``).

    A ratio and a surrogate for each part of the action, added up; one encoder for both networks; σ = 0.3. The value
    loss has a factor ½ before ``value_weight=0.5``, hence 0.25 here; the value clip shares ε with the surrogate. All
    arguments count there in every action, also those that the chosen type does not use: on a ``OneOf`` only the chosen
    ones count here. Its means end in a tanh, and returns are divided by their deviation, not centred.
    """
    return Config(
        env=env,
        algorithm=PPO(
            horizon=400, epochs=10, minibatches=10, learning_rate=3e-4, clip=0.2, gamma=0.99, lam=0.95,
            entropy_coef=0.03, value_coef=0.25, value_loss=ClippedMSE(0.2), parts=PerPart(), optimizer=Adam(1e-8),
            max_grad_norm=0.5,
        ),
        policy=PolicyOptions(
            hidden=(256, 128, 64, 64), activation="relu", shared=True, normalise_returns=True,
            head=HeadOptions(std=Fixed(), initial_log_std=log(0.3)),
        ),
        total_steps=3_000_000,
        num_envs=8,
    )  # fmt: skip


TUTORIALS = (ppo_pytorch, ten_tricks, di_engine_hybrid)

"""What an algorithm that learns from a replay asks of the kernels, or why they do not know it. Needs no Numba."""

import math
from dataclasses import dataclass

from clipper.algorithms import DDPG, DQN, SAC, TD3, Algorithm
from clipper.engines.cpu.kernels import replayed_tables
from clipper.engines.cpu.kernels.replayed_tables import ALPHA, ENTROPY, LOSS, POLICY, VALUE
from clipper.engines.cpu.replayed_networks import Networks, read_networks
from clipper.engines.protocol import UnsuitableError
from clipper.learning.critic_targets import Periodic, Polyak
from clipper.learning.exploration import EpsilonGreedy
from clipper.learning.learner import Learner
from clipper.learning.optimizers import Adam, RMSProp
from clipper.learning.temperature import EntropyTarget
from clipper.learning.value_losses import MSE, Huber

Replayed = SAC | TD3 | DDPG | DQN
"""The algorithms whose gradient steps the kernels know."""


@dataclass(frozen=True, slots=True)
class ReplayedPlan:
    """How an algorithm's gradient step is computed."""

    kind: int
    """Which of the kernel's steps."""
    watched: dict[str, int]
    """What is watched, by name, in the definition's order."""
    draws: int = 0
    """Normal numbers that it draws for each component of each decision."""
    critics: bool = True
    """Has it networks beside the policy?"""
    lagged_actor: str = ""
    """The module that lags behind the policy, where one does."""
    tau: float = 1.0
    every: int = 0
    """As ``kernels.replayed_tables.Numbers`` has them, and so what follows."""
    tuned: bool = False
    entropy: float | None = None
    smoothing: float = 0.0
    bound: float = 0.0
    delay: int = 1
    double: bool = False
    delta: float = math.inf


def sac_plan(algorithm: SAC) -> ReplayedPlan:
    """Two draws of noise: of the action in the target, and of the one whose value the policy climbs."""
    watched = {
        "loss/q": LOSS,
        "loss/policy": POLICY,
        "value/q": VALUE,
        "policy/alpha": ALPHA,
        "policy/entropy": ENTROPY,
    }
    alpha = algorithm.alpha
    tuned = isinstance(alpha, EntropyTarget)
    return ReplayedPlan(
        replayed_tables.SAC, watched, draws=2, tau=algorithm.tau, tuned=tuned,
        entropy=alpha.entropy if isinstance(alpha, EntropyTarget) else None,
    )  # fmt: skip


def td3_plan(algorithm: TD3) -> ReplayedPlan:
    """Noise about the target's action."""
    return ReplayedPlan(
        replayed_tables.DETERMINISTIC, {"loss/q": LOSS, "value/q": VALUE, "loss/policy": POLICY}, draws=1,
        lagged_actor="lagged_actor", tau=algorithm.tau, smoothing=algorithm.target_noise, bound=algorithm.noise_clip,
        delay=algorithm.policy_delay,
    )  # fmt: skip


def ddpg_plan(algorithm: DDPG) -> ReplayedPlan:
    """Nothing is drawn."""
    watched = {"loss/q": LOSS, "loss/policy": POLICY, "value/q": VALUE}
    return ReplayedPlan(replayed_tables.DETERMINISTIC, watched, lagged_actor="lagged_actor", tau=algorithm.tau)


def dqn_plan(algorithm: DQN) -> ReplayedPlan:
    """The policy is Q itself."""
    lag, loss = algorithm.lag, algorithm.q_loss
    if not isinstance(lag, Periodic | Polyak):
        raise UnsuitableError(f"kernels know no lag={lag!r}")
    if not isinstance(loss, Huber | MSE):
        raise UnsuitableError(f"kernels know no q_loss={loss!r}")
    if not isinstance(algorithm.exploration, EpsilonGreedy):
        raise UnsuitableError(f"kernels know no exploration={algorithm.exploration!r}")
    return ReplayedPlan(
        replayed_tables.DQN, {"loss/q": LOSS, "value/q": VALUE}, critics=False, lagged_actor="lagged_q",
        tau=lag.tau if isinstance(lag, Polyak) else 1.0, every=lag.updates if isinstance(lag, Periodic) else 0,
        double=algorithm.double, delta=loss.delta if isinstance(loss, Huber) else math.inf,
    )  # fmt: skip


def plan_of(algorithm: Replayed) -> ReplayedPlan:
    """How its gradient step is computed; raises ``UnsuitableError`` for a field that the kernels do not know."""
    if isinstance(algorithm, SAC):
        return sac_plan(algorithm)
    if isinstance(algorithm, TD3):
        return td3_plan(algorithm)
    return ddpg_plan(algorithm) if isinstance(algorithm, DDPG) else dqn_plan(algorithm)


def known(algorithm: Algorithm) -> Replayed:
    """The algorithm itself; raises ``UnsuitableError`` for one whose gradient steps the kernels do not know."""
    if type(algorithm) in (SAC, TD3, DDPG, DQN) and isinstance(algorithm, Replayed):
        return algorithm
    raise UnsuitableError(f"kernels know no {type(algorithm).__name__}")


def read_replayed(algorithm: Replayed, learner: Learner) -> tuple[ReplayedPlan, Networks]:
    """The plan, and the networks as tables; raises ``UnsuitableError`` where the kernels do not know something."""
    optimizer = algorithm.optimizer
    if type(optimizer) not in (Adam, RMSProp) or (isinstance(optimizer, Adam) and optimizer.weight_decay):
        raise UnsuitableError(f"kernels know no optimizer={optimizer!r}")
    plan = plan_of(algorithm)
    for name, own in learner.parts.items():
        if len(own.vectors) > 1:
            raise UnsuitableError(f"the parameters of {name or 'the policy'} are of several kinds")
    critics = learner.modules["critics"] if plan.critics else None
    judges = learner.parts["critics"].vectors[0].detach() if plan.critics else None
    return plan, read_networks(learner.policy, learner.parts[""].vectors[0].detach(), critics, judges)

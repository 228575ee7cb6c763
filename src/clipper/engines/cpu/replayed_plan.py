"""What an algorithm that learns from a replay asks of the kernels, or why they do not know it. Needs no Numba."""

import math
from dataclasses import dataclass

from clipper.algorithms import DDPG, DQN, MPDQN, PADDPG, PDQN, SAC, TD3, Algorithm
from clipper.engines.cpu.kernels import replayed_tables
from clipper.engines.cpu.kernels.replayed_tables import ALPHA, ENTROPY, LOSS, POLICY, VALUE
from clipper.engines.cpu.replayed_networks import Networks, read_networks
from clipper.engines.protocol import UnsuitableError
from clipper.learning.critic_targets import Periodic, Polyak
from clipper.learning.exploration import EpsilonGreedy
from clipper.learning.learner import Learner
from clipper.learning.optimizers import Adam, RMSProp
from clipper.learning.schedules import Rate
from clipper.learning.temperature import EntropyTarget
from clipper.learning.value_losses import MSE, Huber
from clipper.networks.heads import BestHead

Replayed = SAC | TD3 | DDPG | DQN | PDQN | MPDQN | PADDPG
"""The algorithms whose gradient steps the kernels know."""
KNOWN = SAC, TD3, DDPG, DQN, PDQN, MPDQN, PADDPG
"""The same, without what is made of them."""


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
    """Are there networks that judge what the policy does?"""
    lagged_actor: str = ""
    """The module that lags behind the policy, where one does, and behind all else where Q is within the policy."""
    explores: bool = True
    """Do kernels act, too?"""
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
    actor_tau: float = 1.0
    inverted: bool = False
    passes: bool = False


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
        lagged_actor="lagged_actor", tau=algorithm.tau, actor_tau=algorithm.tau, smoothing=algorithm.target_noise,
        bound=algorithm.noise_clip, delay=algorithm.policy_delay,
    )  # fmt: skip


def ddpg_plan(algorithm: DDPG | PADDPG) -> ReplayedPlan:
    """Nothing is drawn."""
    watched, one_vector = {"loss/q": LOSS, "loss/policy": POLICY, "value/q": VALUE}, isinstance(algorithm, PADDPG)
    return ReplayedPlan(
        replayed_tables.DETERMINISTIC, watched, lagged_actor="lagged_actor", tau=algorithm.tau,
        actor_tau=algorithm.tau, inverted=one_vector, explores=not one_vector,
    )  # fmt: skip


def pdqn_plan(algorithm: PDQN) -> ReplayedPlan:
    """Q is within the policy, which chooses by it."""
    watched = {"loss/q": LOSS, "value/q": VALUE, "loss/policy": POLICY}
    return ReplayedPlan(
        replayed_tables.PDQN, watched, lagged_actor="lagged", tau=algorithm.tau, actor_tau=algorithm.argument_tau,
        inverted=True, passes=isinstance(algorithm, MPDQN), explores=False,
    )  # fmt: skip


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
    if isinstance(algorithm, DDPG | PADDPG):
        return ddpg_plan(algorithm)
    return pdqn_plan(algorithm) if isinstance(algorithm, PDQN) else dqn_plan(algorithm)


def rates_of(algorithm: Replayed) -> tuple[Rate, Rate]:
    """The step sizes of the policy, and of who judges it; of P-DQN's arguments, and of its Q."""
    if isinstance(algorithm, PDQN):
        return algorithm.argument_learning_rate, algorithm.learning_rate
    own = None if isinstance(algorithm, DQN) else algorithm.critic_learning_rate
    return algorithm.learning_rate, algorithm.learning_rate if own is None else own


def known(algorithm: Algorithm) -> Replayed:
    """The algorithm itself; raises ``UnsuitableError`` for one whose gradient steps the kernels do not know."""
    if type(algorithm) in KNOWN and isinstance(algorithm, Replayed):
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
    own = learner.policy.head.q if isinstance(learner.policy.head, BestHead) else None
    critics = own or (learner.modules["critics"] if plan.critics else None)
    judges = learner.parts["critics"].vectors[0].detach() if plan.critics else None
    return plan, read_networks(learner.policy, learner.parts[""].vectors[0].detach(), critics, judges)

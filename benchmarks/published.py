"""Results that others publish, of PPO after 1M steps; the tasks' versions differ and are named.

XuanCe's are computed from the files that it publishes, MuJoCo/TASK-v5/ppo/results/seed_K/learning_curve.csv (commit
adec00d): the moment of training at which the mean over seeds is largest, the standard deviation that of the seeds then.
"""

from typing import NamedTuple

from suites import Protocol


class Published(NamedTuple):
    """A mean over runs, and their standard deviation."""

    library: str
    version: str
    """Of the task."""
    mean: float
    deviation: float
    runs: int


TIANSHOU = "https://github.com/thu-ml/tianshou/blob/master/examples/mujoco/README.md"
CLEANRL = "https://docs.cleanrl.dev/rl-algorithms/ppo/#ppo_continuous_actionpy"
XUANCE = "https://github.com/agi-brain/xuance-benchmarks"
SOURCES = {"XuanCe": XUANCE, "Tianshou": TIANSHOU, "CleanRL": CLEANRL}


def xuance(mean: float, deviation: float) -> Published:
    """The largest mean over training of 5 runs, of sampled actions."""
    return Published("XuanCe", "v5", mean, deviation, 5)


def tianshou(mean: float, deviation: float) -> Published:
    """The largest mean over training of 10 runs, evaluated deterministically."""
    return Published("Tianshou", "v3", mean, deviation, 10)


def cleanrl(mean: float, deviation: float) -> Published:
    """The last 100 training episodes of 3 runs."""
    return Published("CleanRL", "v4", mean, deviation, 3)


PUBLISHED: dict[tuple[str, Protocol], tuple[Published, ...]] = {
    ("HalfCheetah", "best"): (
        xuance(5371.1, 719.5),
        tianshou(5784, 1244),
    ),
    ("Hopper", "best"): (
        xuance(2343.4, 1097.9),
        tianshou(2609, 701),
    ),
    ("Walker2d", "best"): (
        xuance(4371.1, 1002.5),
        tianshou(3589, 757),
    ),
    ("Ant", "best"): (
        xuance(1393.7, 229.2),
        tianshou(3258, 1079),
    ),
    ("Swimmer", "best"): (
        xuance(112.4, 10.2),
        tianshou(66.7, 99),
    ),
    ("Humanoid", "best"): (
        xuance(761, 212.3),
        tianshou(787, 194),
    ),
    ("HalfCheetah", "training"): (cleanrl(1443, 46),),
    ("Hopper", "training"): (cleanrl(2383, 272),),
    ("Walker2d", "training"): (cleanrl(2288, 572),),
    ("Humanoid", "training"): (cleanrl(716, 49),),
}
"""By the task without its version, and the protocol: only numbers of the same protocol stand side by side."""

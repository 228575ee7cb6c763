"""Results that others publish, of PPO after 1M steps; the tasks' versions differ and are named."""

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
SOURCES = {"Tianshou": TIANSHOU, "CleanRL": CLEANRL}


def tianshou(mean: float, deviation: float) -> Published:
    """The largest mean over training of 10 runs, evaluated deterministically."""
    return Published("Tianshou", "v3", mean, deviation, 10)


def cleanrl(mean: float, deviation: float) -> Published:
    """The last 100 training episodes of 3 runs."""
    return Published("CleanRL", "v4", mean, deviation, 3)


PUBLISHED: dict[tuple[str, Protocol], tuple[Published, ...]] = {
    ("HalfCheetah", "best"): (tianshou(5784, 1244),),
    ("Hopper", "best"): (tianshou(2609, 701),),
    ("Walker2d", "best"): (tianshou(3589, 757),),
    ("Ant", "best"): (tianshou(3258, 1079),),
    ("Swimmer", "best"): (tianshou(66.7, 99),),
    ("Humanoid", "best"): (tianshou(787, 194),),
    ("HalfCheetah", "training"): (cleanrl(1443, 46),),
    ("Hopper", "training"): (cleanrl(2383, 272),),
    ("Walker2d", "training"): (cleanrl(2288, 572),),
    ("Humanoid", "training"): (cleanrl(716, 49),),
}
"""By the task without its version, and the protocol: only numbers of the same protocol are compared."""

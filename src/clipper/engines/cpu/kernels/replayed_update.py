"""Gradient steps of who learns from a replay: one entrance, so that what they share is compiled once."""

from numba import njit

from clipper.engines.cpu.kernels.deterministic import deterministic
from clipper.engines.cpu.kernels.dqn import dqn
from clipper.engines.cpu.kernels.numba_options import COMPILED
from clipper.engines.cpu.kernels.pdqn import pdqn
from clipper.engines.cpu.kernels.replayed_tables import (
    DETERMINISTIC,
    PDQN,
    SAC,
    Batch,
    Inputs,
    Learned,
    Numbers,
    Policy,
    Spaces,
)
from clipper.engines.cpu.kernels.sac import sac
from clipper.engines.cpu.kernels.tables import Doubles2, Floats1, Ints1, Ints3


@njit(**COMPILED)
def learn(
    inputs: Inputs, policy: Policy, critics: Ints3, actor: Learned, judges: Learned, temperature: Learned,
    lagged: Floats1, lagged_actor: Floats1, batch: Batch, numbers: Numbers, spaces: Spaces, counts: Ints1,
    watched: Doubles2, kind: int, before: int, steps: int,
) -> None:  # fmt: skip
    """So many gradient steps after those ``before``, each on the next ``batch.size`` decisions.

    ``watched`` has a row for each. What an algorithm has not may be empty.
    """
    if kind == SAC:
        sac(inputs, policy, critics, actor, judges, temperature, lagged, batch, numbers, spaces, counts, watched, steps)
    elif kind == DETERMINISTIC:
        deterministic(
            inputs, policy, critics, actor, judges, lagged, lagged_actor, batch, numbers, spaces, counts, watched,
            before, steps,
        )  # fmt: skip
    elif kind == PDQN:
        pdqn(
            inputs, policy, critics[0], actor, judges, lagged, lagged_actor, batch, numbers, spaces, counts, watched,
            steps,
        )  # fmt: skip
    else:
        dqn(inputs, policy, actor, lagged_actor, batch, numbers, spaces, counts, watched, before, steps)

"""Runs that reward themselves: long enough to learn something, and resumed with the bonus that they have."""

import warnings

from clipper.algorithms import Algorithm, Exploring
from clipper.data.values import Elsewhere
from clipper.errors import ConfigError
from clipper.learning.intrinsic import PRIMED
from clipper.runs.run import Run
from clipper.settings.config import Config

SHAPES = ("features", "hidden", "deeper", "bits")
"""Settings of a bonus that its networks or its table are made by; the others may change."""


def check_primed(config: Config) -> None:
    """Raise ``ConfigError`` where the run ends before its bonus's statistics have begun, so that nothing is learned."""
    algorithm = config.algorithm
    if isinstance(algorithm, Exploring) and config.total_steps <= algorithm.prime:
        raise ConfigError(
            f"total_steps is {config.total_steps:,}, and Exploring learns nothing in the first {algorithm.prime:,} "
            "decisions (prime), with which its bonus's statistics begin: raise total_steps, or lower prime"
        )


def warn_unlearned(run: Run) -> None:
    """A warning at the end of a run that has learned nothing yet, since all its decisions began the statistics."""
    algorithm = run.config.algorithm
    if isinstance(algorithm, Exploring) and run.learned and int(run.learner.extra.get(PRIMED, 0)) >= run.learned:
        warnings.warn(
            f"nothing has been learned: the bonus's statistics began with all {run.learned:,} decisions (Exploring's "
            f"prime is {algorithm.prime:,}): raise total_steps, or lower prime",
            stacklevel=2,
        )


def check_same_bonus(has: Algorithm, given: Algorithm) -> None:
    """Raise ``ConfigError`` where the state of an ``Exploring`` that a run has does not fit the one handed over."""
    if not isinstance(has, Exploring) or not isinstance(given, Exploring):
        return
    for name in ("algorithm", "bonus", "two_values"):
        mine, other = getattr(has, name), getattr(given, name)
        if Elsewhere in (type(mine), type(other)):  # code of the user's own, which only its state can judge
            continue
        shapes = name == "bonus" and any(getattr(mine, x, None) != getattr(other, x, None) for x in SHAPES)
        if type(mine) is not type(other) or shapes or (name == "two_values" and mine != other):
            mine, other = (type(x).__name__ if name == "algorithm" else repr(x) for x in (mine, other))
            raise ConfigError(
                f"this run's Exploring has {name}={mine}, and {name}={other} cannot go on from its state: hand over "
                "the one that it has, or begin a run with policy=clipper.load(…)"
            )

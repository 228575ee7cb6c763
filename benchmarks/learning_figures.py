"""The picture of a suite: a panel per task, a curve with its interval per entry."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from learning_runs import Job

from clipper.runs.curve import Curve, draw_curves, read_curve


def draw(jobs: Sequence[Job], output: Path) -> None:
    """Training returns of all runs; runs that differ only in their seed are one curve."""
    draw_curves([curve(job) for job in jobs], output)


def curve(job: Job) -> Curve:
    """A run's curve under its entry's name, without the dots of its evaluations."""
    nothing = np.zeros(0)
    return read_curve(job.folder)._replace(label=job.entry, eval_steps=nothing, eval_returns=nothing)

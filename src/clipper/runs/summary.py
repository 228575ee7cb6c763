"""What ``print(run)`` says."""

import math

from clipper.data.figures import figure
from clipper.data.tree_type import Tree
from clipper.data.values import shown


class Summarised:
    """A run, in a few lines: what learned where, how far it is, and how well it did."""

    __slots__ = ()

    def __repr__(self) -> str:
        run: Tree = self
        config = run.config
        size, name = run.learner.parameters.numel(), type(config.algorithm).__name__
        done = f"{run.steps:,} of {config.total_steps:,} steps, {run.iteration:,} iterations"
        lines = [
            f"{name} on {config.env}: {done}, {run.seconds:.1f} s of training",
            f"  {size:,} parameters, engine {run.engine.description}, seed {config.seed}",
        ]
        if run.recent:
            found = sum(run.recent) / len(run.recent)
            best = "" if math.isinf(run.best) else f", best evaluation {figure(run.best)}"
            lines.append(f"  mean return {figure(found)} over the last {len(run.recent)} training episodes{best}")
        lines.append("  kept nowhere: run_dir=… keeps it" if run.path is None else f"  in {shown(str(run.path))}")
        return "\n".join(lines)

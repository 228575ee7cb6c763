"""Clipper on one workload, through ``clipper.train``: logging to a run folder and episode statistics are included."""

import time

from measure import begin, report

from clipper.algorithms import PPO
from clipper.run import Run
from clipper.train import train


def main() -> None:
    """Train, and report the iterations after the warm-up."""
    work = begin()
    marks: list[tuple[float, int]] = []
    returns: list[float] = []

    def mark(run: Run) -> bool:
        marks.append((time.perf_counter(), run.state.steps))
        returns.extend(episode.total for episode in run.state.episodes)
        return run.iteration < work["iterations"]

    algorithm = PPO(
        horizon=work["horizon"],
        epochs=work["epochs"],
        minibatches=work["minibatches"],
        learning_rate=work["learning_rate"],
        gamma=0.99,
        lam=0.95,
        clip=0.2,
        value_coef=0.5,
        entropy_coef=0.0,
        max_grad_norm=0.5,
        standardise="minibatch",
    )
    # As many rows as the others collect; the rows between episodes are no decisions, so the callback ends the run.
    total = work["iterations"] * work["horizon"] * work["num_envs"]
    train(
        work["env"],
        algorithm,
        num_envs=work["num_envs"],
        total_steps=total,
        seed=work["seed"],
        threads=1,
        run_dir="run",
        callback=mark,
    )
    (began, before), (ended, after) = marks[work["warmup"] - 1], marks[-1]
    report(after - before, ended - began, returns, "clipper-rl")


if __name__ == "__main__":
    main()

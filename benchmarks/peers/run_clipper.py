"""Clipper on one workload, through ``clipper.train``: logging to a run folder and episode statistics are included.

The engine is the second argument: cpu or torch; on pixels cpu means the one that Clipper chooses, and bfloat16 the same
with that type in convolutions. A third one, native, asks for the environments' own vector form.
"""

import sys
import time
from dataclasses import replace

from measure import begin, peak_memory, report

from clipper.algorithms import PPO
from clipper.learning.advantages import Standardised
from clipper.networks.memory import LSTM
from clipper.networks.policy_options import PolicyOptions
from clipper.runs.run import Run
from clipper.runs.train import train
from clipper.settings.defaults import config_for


def main() -> None:
    """Train, and report the iterations after the warm-up."""
    work = begin()
    marks: list[tuple[float, int]] = []
    returns: list[float] = []
    peaks: list[float] = []  # the picture of a run comes after the last one, and no other side draws any

    def mark(run: Run) -> bool:
        marks.append((time.perf_counter(), run.steps))
        returns.extend(episode.total for episode in run.rollouts.episodes)
        peaks.append(peak_memory())
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
        advantages=Standardised("minibatch"),
    )
    # As many rows as the others collect; the rows between episodes are no decisions, so the callback ends the run.
    total = work["iterations"] * work["horizon"] * work["num_envs"]
    engine = "torch" if sys.argv[2] == "torch" or work["game"] else "cpu"
    memory = LSTM(work["memory"]) if work["memory"] else None
    policy = PolicyOptions(hidden=tuple(work["hidden"]), memory=memory)
    if work["game"]:
        policy = config_for(work["env"]).policy
    if sys.argv[2] == "bfloat16":
        policy = replace(policy, encoder=replace(policy.encoder, bfloat16=True))
    run = train(
        work["env"],
        algorithm,
        policy=policy,
        num_envs=work["num_envs"],
        total_steps=total,
        seed=work["seed"],
        threads=work["threads"],
        engine=engine,
        vector="native" if work["native"] or sys.argv[3:] == ["native"] else "auto",
        run_dir="run",
        callback=mark,
    )
    (began, before), (ended, after) = marks[work["warmup"] - 1], marks[-1]
    if run.engine.name != engine:
        raise SystemExit(f"the {engine} engine does not fit: {run.engine.description}")
    # Adam's own count: the cpu engine takes its steps without torch's optimizer, where hooks could see them.
    steps_taken = int(run.learner.optimizer.state[run.learner.parameters]["step"])
    packages = "clipper-rl", "numba"
    report(after - before, ended - began, returns, *packages, optimizer_steps=steps_taken, peak=peaks[-1])


if __name__ == "__main__":
    main()

"""Clipper's SAC, TD3 or DDPG, as benchmarks/off_policy.py asks for it: through ``clipper.train`` into a run folder."""

import json
import sys
import time

import torch

from clipper.algorithms import DDPG, SAC, TD3
from clipper.networks.policy_options import PolicyOptions
from clipper.runs.run import Run
from clipper.runs.train import train

STARTS = 100


def main() -> None:
    """Train, and report the steps after the first ones with a gradient."""
    work = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    marks: list[tuple[float, int]] = []
    warm = STARTS + work["steps"] // 10

    def mark(run: Run) -> bool:
        if not marks and run.steps >= warm:
            marks.append((time.process_time(), run.steps))
        return not marks or run.steps < marks[0][1] + work["steps"]

    kind = {"SAC": SAC, "TD3": TD3, "DDPG": DDPG}[work["algorithm"]]
    options = PolicyOptions(hidden=(work["width"],) * 2, activation="relu", orthogonal=False)
    run = train(
        work["env"], kind(learning_starts=STARTS, batch_size=256), policy=options, num_envs=1, run_dir="run",
        total_steps=warm + 2 * work["steps"], seed=work["seed"], engine=work["engine"], callback=mark,
    )  # fmt: skip
    (began, before), ended = marks[0], time.process_time()
    if run.engine.name != work["engine"]:
        raise SystemExit(f"the {work['engine']} engine does not fit: {run.engine.description}")
    print(json.dumps({"seconds": ended - began, "steps": run.steps - before}), flush=True)


if __name__ == "__main__":
    main()

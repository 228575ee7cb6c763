"""One side of `speed.py --against`: train on one workload with the Clipper that is on the path, and tell each
iteration's time.

Public names only, since the package may be older or newer than this file. Arguments: the workload and the engine, as
one piece of JSON. Result: one line of JSON. A run that has another engine than the one asked for stops after its first
iteration.
"""

import json
import sys
import time
from itertools import pairwise
from pathlib import Path

import clipper


def main() -> None:
    """Train in the working folder, and print the result."""
    work, engine = json.loads(sys.argv[1])
    marks: list[float] = []

    def mark(run: clipper.Run) -> bool:
        marks.append(time.perf_counter())
        return run.engine.name == engine and len(marks) < work["iterations"]

    algorithm = clipper.PPO(
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
    )
    run = clipper.train(
        work["env"],
        algorithm,
        policy=clipper.PolicyOptions(hidden=tuple(work["hidden"])),
        num_envs=work["num_envs"],
        # As many rows; those between episodes are no decisions, so that the callback ends the run.
        total_steps=work["iterations"] * work["horizon"] * work["num_envs"],
        seed=work["seed"],
        threads=work["threads"],
        engine=engine,
        vector="native" if work["native"] else "serial",  # auto would measure and choose, and not always the same
        run_dir="run",
        callback=mark,
    )
    result = {
        "engine": run.engine.name,
        "package": str(Path(clipper.__file__).resolve().parent),
        "decisions": run.history[-1]["steps"],
        "seconds": [later - earlier for earlier, later in pairwise(marks)],
    }
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()

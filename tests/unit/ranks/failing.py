"""Processes of which rank 1 fails in the way that is named: failing.py WAY FOLDER."""

import os
import signal
import sys
import time
import warnings
from typing import Any

import gymnasium
import numpy as np

import clipper

warnings.simplefilter("ignore")
WAY, FOLDER = sys.argv[1:3]
RANK = int(os.environ.get("RANK", "0"))
if RANK == 0:  # torchrun ends the others as soon as one has ended, and this one has something to say
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


class Failing(gymnasium.Wrapper):
    """CartPole, which in rank 1 fails after 200 steps of an environment."""

    taken = 0

    def step(self, action: Any) -> Any:
        self.taken += 1
        obs, reward, *rest = super().step(action)
        if RANK == 1 and self.taken == 200:
            if WAY == "raise":
                raise OSError("the simulator is gone")
            if WAY == "sleep":
                time.sleep(3600)
            if WAY == "nan":
                obs = obs * np.nan
            if WAY == "end":
                os.kill(os.getpid(), signal.SIGKILL)
        return (obs, reward, *rest)


def change(run: Any) -> bool:
    """A callback that changes one rank's weights, or stops one of them."""
    if WAY == "weights" and RANK == 1 and run.iteration == 5:
        run.learner.parameters.data.add_(1e-3)
    return not (WAY == "stop" and RANK == 1 and run.iteration == 5)


NUMBERS = {"few": 1, "environments": 4 + RANK, "ready": 4}
seed = RANK if WAY == "seed" else 1
env = gymnasium.make_vec("CartPole-v1", 4) if WAY == "ready" else lambda: Failing(gymnasium.make("CartPole-v1"))
try:
    run = clipper.train(
        env, clipper.PPO(horizon=32, epochs=1), num_envs=NUMBERS.get(WAY, 4), seed=seed, engine="torch",
        vector="auto" if WAY == "ready" else "serial", total_steps=20_000, run_dir=FOLDER, callback=change,
        patience=4.0,
        eval_every=2_000 if WAY == "evaluations" and RANK == 1 else 0,
    )  # fmt: skip
    sys.stdout.write(f"rank {RANK}: ended at iteration {run.iteration}\n")
except Exception as error:
    sys.stdout.write(f"rank {RANK}: {type(error).__name__}: {str(error).splitlines()[0]}\n")
    sys.stdout.flush()
    raise SystemExit(3) from None

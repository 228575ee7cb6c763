"""Runs that a test compares between numbers of processes: cases.py FOLDER CASE… prints what each has learned.

A case of CartPole may end at an iteration, ``cartpole:12``, or at a number of decisions, ``cartpole=50000``, and go on
from there in the same folder. Each line is JSON: the case, the rank, a digest of parameters, normalisers and finished
episodes, and the decisions.
"""

import hashlib
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import clipper
from clipper.learning.kl import KLStop
from clipper.learning.rewards import Scaled

warnings.simplefilter("ignore")
STOPPED = clipper.PPO(horizon=32, epochs=2, stop=KLStop(0.02), rewards=Scaled())
QUICK = clipper.PPO(horizon=32, epochs=2)
SERIAL = {"vector": "serial"}
CASES: dict[str, tuple[str, Any, int, int, dict[str, Any]]] = {
    "cartpole": ("CartPole-v1", STOPPED, 8, 50, {}),
    "pendulum": ("Pendulum-v1", STOPPED, 5, 50, {}),
    "lunarlander": ("LunarLander-v3", QUICK, 5, 12, {}),
    "platform": ("clipper/Platform-v0", QUICK, 6, 20, SERIAL),
    "masked": ("clipper/MaskedGrid-v0", QUICK, 5, 20, SERIAL),
    "episodes": ("CartPole-v1", clipper.Reinforce(), 5, 10, {}),
    "memory": ("CartPole-v1", QUICK, 5, 5, {"engine": "torch", "policy": clipper.PolicyOptions(memory="lstm")}),
}
"""Environment, algorithm, environments, iterations, settings."""


def learned(run: Any, episodes: list[Any]) -> str:
    """A digest of all that must be the same."""
    digest = hashlib.sha256(repr([tuple(episode) for episode in episodes]).encode())
    for x in (*run.policy.state_dict().values(), *(x for p in run.learner.parts.values() for x in p.vectors)):
        digest.update(x.detach().numpy().tobytes())
    return digest.hexdigest()[:16]


def train(name: str, folder: Path) -> dict[str, Any]:
    env, algorithm, num_envs, iterations, settings = CASES[name.partition(":")[0]]
    episodes: list[Any] = []

    def count(run: Any) -> bool:
        episodes.extend(run.rollouts.episodes)
        return run.iteration < iterations

    given: dict[str, Any] = {"engine": "cpu"} | settings
    run = clipper.train(
        env, algorithm, num_envs=num_envs, total_steps=10**7, callback=count, run_dir=folder / name, **given
    )  # fmt: skip
    return {"learned": learned(run, episodes), "steps": run.steps, "episodes": len(episodes)}


def stop_and_go(folder: Path, iterations: int | None = None, total_steps: int = 10**7) -> dict[str, Any]:
    """CartPole, begun or gone on with in the folder, up to an iteration, or to a number of decisions.

    A callback is asked after an iteration only: begun anew where it had ended, a run would take one more.
    """
    env, algorithm, num_envs, _, settings = CASES["cartpole"]
    run = clipper.train(
        env, algorithm, num_envs=num_envs, engine="cpu", total_steps=total_steps, run_dir=folder, resume="auto",
        checkpoint_every=1_000, callback=lambda run: run.iteration != iterations, **settings,
    )  # fmt: skip
    return {"learned": learned(run, []), "steps": run.steps, "exact": run.exact}


if __name__ == "__main__":
    folder, rank = Path(sys.argv[1]), int(os.environ.get("RANK", "0"))
    for name in sys.argv[2:]:
        case, until, number = name.partition(":") if ":" in name else name.partition("=")
        if until:
            found = stop_and_go(folder, **{"iterations" if until == ":" else "total_steps": int(number)})
        else:
            found = train(case, folder)
        sys.stdout.write(json.dumps({"case": name, "rank": rank} | found) + "\n")
        sys.stdout.flush()

"""Save small runs and what becomes of them: PYTHONPATH=CHECKOUT/src python tests/proofs/saved_runs/make.py COMMIT.

They are cases of the battery of ``tools/traces.py``, with even smaller networks. Their folder bears the name of the
commit whose code is on PYTHONPATH; those of earlier commits stay, and their outcomes with them.
"""

import dataclasses
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces.utils import flatten

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2] / "tools"))

import outcomes  # noqa: E402
import trace_run  # noqa: E402  # pyright: ignore[reportMissingImports]
from trace_cases import ALGORITHMS, Case, battery  # noqa: E402  # pyright: ignore[reportMissingImports]

import clipper  # noqa: E402

ITERATIONS = 2
KEPT = ("config.json", "checkpoint.safetensors", "metrics.jsonl")
OF_PPO = (
    "schedules", "normalisers", "reward scaling", "normalised rewards", "periodic critic", "polyak critic",
    "recompute", "kl adaptive", "lstm", "gru", "transformer", "lstm, masks, burn-in, normalisers", "masks",
    "masks of several choices", "masks in observations", "continuous", "hybrid", "pop art", "two-hot", "image",
    "tree of actions", "parts in order", "tree of observations", "critic sees more", "tanh gaussian, σ of the state",
    "beta", "gsde", "planned σ",
)  # fmt: skip
OF_OTHERS = (
    "a2c/tensorflow's rmsprop", "vpg/lstm", "npg/polyak critic", "trpo/continuous", "reinforce/gru",
    "ppoapart/normalisers", "ppopenalty/hybrid",
)  # fmt: skip
MASKS = {"masks": [0, 1, 1, 1], "lstm, masks, burn-in, normalisers": [1, 0, 1, 1],
         "masks of several choices": [0, 1, 1, 1, 0]}  # fmt: skip
"""What is legal where predictions are asked for."""
SMALLER = {"ppo/image": {"shared": True}}
"""Fields of a policy that would be too large for a repository."""
ALIKE = {"ppo/plain": "cpu"}
"""Saved a second time, by another engine."""


def slug(name: str) -> str:
    """A folder's name."""
    letters = "".join(c if c.isalnum() and c.isascii() else "-" for c in name.replace("σ", "sigma"))
    return "-".join(part for part in letters.split("-") if part)


def observations(source: Any) -> tuple[gymnasium.Space, list[list[float]]]:
    """The first observations of three episodes, flat."""
    env = gymnasium.make(source) if isinstance(source, str) else source()
    space = env.observation_space
    found = [flatten(space, env.reset(seed=seed)[0]) for seed in range(3)]
    env.close()
    return space, [np.asarray(flat, dtype=np.float64).tolist() for flat in found]


def save(case: Case, engine: str, folder: Path) -> dict[str, Any]:
    """Train for a moment, keep the folder, and write down what becomes of it."""
    made = trace_run.make(dataclasses.asdict(case), engine)
    clipper.train(
        *made.positional, **made.keywords | {"checkpoint_every": 10**6}, run_dir=folder,
        callback=lambda run: run.iteration < ITERATIONS,
    )  # fmt: skip
    for path in folder.iterdir():
        if path.name not in KEPT:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    source = made.positional[0]
    space, seen = observations(source)
    own = case.env.partition("own:")[2]
    mask = MASKS.get(case.name.partition("/")[2])
    told: dict[str, Any] = {"case": case.name, "env": case.env, "observations": seen, "mask": mask}
    told |= {"answers": outcomes.answers(folder, space, seen, mask)}
    told |= {"played": outcomes.played(folder, source if own else None)}
    with tempfile.TemporaryDirectory() as scratch:
        copy = shutil.copytree(folder, Path(scratch) / "run")
        told |= {"resumed": outcomes.resumed(copy, source if own else None)}
    return told


def main() -> None:
    """All of them."""
    torch.set_num_threads(1)
    target = HERE / sys.argv[1]
    shutil.rmtree(target, ignore_errors=True)
    wanted = {f"{name.lower()}/plain" for name in ALGORITHMS} | {f"ppo/{name}" for name in OF_PPO} | set(OF_OTHERS)
    cases = {case.name: case for case in battery([])}
    assert wanted <= cases.keys(), wanted - cases.keys()
    found = {}
    for name in sorted(wanted):
        case = dataclasses.replace(cases[name], policy=cases[name].policy | {"hidden": [8]} | SMALLER.get(name, {}))
        found[slug(name)] = save(case, "torch", target / slug(name))
        if name in ALIKE:
            other = f"{slug(name)}-{ALIKE[name]}"
            found[other] = save(case, ALIKE[name], target / other)
    (target / "outcomes.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

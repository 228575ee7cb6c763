"""Files cut for trees of actions, masks and Clipper's own tasks learn what the library learns, bit for bit."""

import dataclasses
import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clipper.algorithms import MPDQN, PADDPG, PDQN, PPO, HyAR, HybridSAC
from clipper.learning.action_parts import PerPart
from clipper.learning.kl import Exact
from clipper.networks.heads import HeadOptions
from clipper.networks.policy_options import PolicyOptions
from clipper.runs.train import train
from clipper.settings.config import Config
from clipper.settings.recipes import RECIPES
from clipper.unroll import UnrollError, unroll

TESTS = Path(__file__).parents[1]
SMALL = PolicyOptions(hidden=(16,), normalise_obs=True)
RARE: tuple[tuple[Any, dict[str, Any]], ...] = (
    (HybridSAC, {}), (PDQN, {}), (MPDQN, {}), (PADDPG, {}), (HyAR, {"representation_starts": 5}),
)  # fmt: skip
CONFIGS = {
    "a game of one's own": Config(
        env="spaces.skills:Arena", policy=SMALL, total_steps=200, num_envs=4, seed=3, engine="torch", vector="serial",
        algorithm=PPO(horizon=16, epochs=2, parts=PerPart((("choice", 0.01),))),
    ),
    "tables": Config(
        env="spaces.skills:Orders", total_steps=200, num_envs=4, engine="torch", vector="serial",
        policy=dataclasses.replace(SMALL, head=HeadOptions(autoregressive=True)),
        algorithm=PPO(horizon=16, epochs=2, kl=Exact()),
    ),
    **{
        name: dataclasses.replace(
            RECIPES[name](), total_steps=200, num_envs=4, policy=SMALL, engine="torch",
            algorithm=dataclasses.replace(RECIPES[name]().algorithm, horizon=16, epochs=2),  # pyright: ignore[reportCallIssue, reportArgumentType]
        )
        for name in ("moving", "platform", "hard_goal", "hardmove")
    },
    **{
        kind.__name__: Config(
            env="clipper/Moving-v0", algorithm=kind(batch_size=16, capacity=100, learning_starts=50, **own),
            total_steps=150, num_envs=2, seed=3, engine="torch",
        )
        for kind, own in RARE
    },
}  # fmt: skip
QUICK = ("a game of one's own", "HybridSAC")

# No Clipper, but the games' own module.
ALONE = """
import runpy, sys
sys.modules.update(clipper=None, jaxtyping=None)
sys.path.append(sys.argv[2])
runpy.run_path(sys.argv[1], run_name="__main__")
"""


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.long) for n in CONFIGS])
def test_same_parameters_as_the_library(name: str, tmp_path: Path) -> None:
    file, text = tmp_path / "alone.py", unroll(CONFIGS[name])
    file.write_text(text)
    out = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, str(file), str(TESTS)], capture_output=True, text=True, check=False
    )
    assert out.returncode == 0, out.stderr
    digest = hashlib.sha256(train(CONFIGS[name]).learner.parameters.detach().numpy().tobytes()).hexdigest()
    assert out.stdout.splitlines()[-1] == f"sha256 of the parameters: {digest}"
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F,I", "--line-length", "120", str(file)]
    linted = subprocess.run(ruff, capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout


def test_a_task_of_ours_is_named_where_it_cannot_be_cut() -> None:
    with pytest.raises(UnrollError, match=r"clipper/Nothing-v0 .* not cut"):
        unroll(Config(env="clipper/Nothing-v0"))

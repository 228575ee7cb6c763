"""The state of a native vector environment is saved and restored as any other's, arrays and JSON."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import clipper
from clipper import PPO, PolicyOptions
from clipper.environments import make
from clipper.environments.state import get_states, set_states


def test_states_of_a_native_environment_bring_another_one_to_the_same_run() -> None:
    first: Any = make("clipper/Platform-v0", 5)
    first.reset(seed=1)
    actions = np.full(5, 2), (np.full((5, 1), 20.0), np.full((5, 1), 300.0), np.full((5, 1), 250.0))
    for _ in range(7):
        first.step(actions)
    states = get_states(first)
    assert states is not None
    second: Any = make("clipper/Platform-v0", 5)
    set_states(second, states)
    for _ in range(20):
        for mine, other in zip(first.step(actions)[:4], second.step(actions)[:4], strict=True):
            np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("name", ["clipper/Platform-v0", "clipper/MaskedGrid-v0"])
def test_an_interrupted_run_is_the_uninterrupted_one(name: str, tmp_path: Path) -> None:
    plan: dict[str, Any] = {"total_steps": 4 * 8 * 16, "num_envs": 8, "policy": PolicyOptions(hidden=(8,))}
    algorithm = PPO(horizon=16, epochs=1, minibatches=1)
    whole = clipper.train(name, algorithm, run_dir=tmp_path / "whole", **plan)
    clipper.train(name, algorithm, run_dir=tmp_path / "cut", callback=lambda run: run.iteration == 2, **plan)
    resumed = clipper.train(resume=tmp_path / "cut")
    assert resumed.exact
    assert resumed.iteration == whole.iteration > 2
    assert torch.equal(resumed.learner.parameters, whole.learner.parameters)

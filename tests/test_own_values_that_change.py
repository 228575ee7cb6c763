"""Objects of a user's own that change as they train, and what of a user's own no file can hold."""

from pathlib import Path
from typing import Any

import pytest
import torch

import clipper
from clipper.runs.run import read_config
from clipper.settings.config_json import to_json

PPO = clipper.PPO(horizon=16, epochs=1, minibatches=1)
SHORT: dict[str, Any] = {"num_envs": 2, "vector": "serial", "engine": "torch"}


class Counting:
    """An algorithm that begins to count when it begins to train."""

    quota: ClassVar = {"horizon": 16}

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def init(self, policy: Any, seed: int = 0) -> Any:
        self.updates, self.latest = 0, torch.zeros(3)
        return PPO.init(policy, seed)

    def update(self, learner: Any, steps: Any, last_obs: Any) -> Any:
        self.updates += 1
        return PPO.update(learner, steps, last_obs)


def test_what_an_object_gains_as_it_trains_is_no_setting(tmp_path: Path) -> None:
    algorithm: Any = Counting(0.5)
    folder = tmp_path / "run"
    clipper.train("CartPole-v1", algorithm, run_dir=folder, total_steps=64, eval_every=32, eval_episodes=1, **SHORT)
    assert algorithm.updates > 1
    assert to_json(read_config(folder).algorithm) == {"type": f"{__name__}:Counting", "scale": 0.5}
    half = clipper.train(
        "CartPole-v1", Counting(0.5), run_dir=tmp_path / "half", total_steps=320, callback=lambda run: False, **SHORT
    )
    assert 0 < half.state.steps < 320
    assert clipper.train(resume=tmp_path / "half", algorithm=Counting(0.5)).exact
    assert not clipper.train(resume=tmp_path / "half", algorithm=Counting(0.25), total_steps=352).exact
    assert to_json(read_config(tmp_path / "half").algorithm)["scale"] == 0.25

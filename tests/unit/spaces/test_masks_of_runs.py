"""Masks beyond training: where a run goes on with other episodes, and where a policy that had some acts without."""

import re
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete

import clipper
from clipper.compat.sb3 import PPO as TheirPPO
from clipper.networks.export import export_onnx

SAYS = "learned with action masks"


class Doors(gymnasium.Env):
    """Three of six doors are open, which the observation tells under ``key``; nobody can restore it."""

    action_space, key = Discrete(6), "legal"
    illegal = decisions = 0

    def __init__(self) -> None:
        self.observation_space = Dict({"x": Box(-1, 1, (2,)), self.key: Box(0, 1, (6,), np.int8)})

    def look(self) -> dict[str, np.ndarray]:
        self.open = np.zeros(6, np.int8)
        self.open[self.np_random.permutation(6)[:3]] = 1
        return {"x": np.zeros(2, np.float32), self.key: self.open.copy()}

    def reset(self, *, seed: int | None = None, options: Any = None):
        super().reset(seed=seed)
        self.time = 0
        return self.look(), {}

    def step(self, action):
        Doors.decisions += 1
        Doors.illegal += not self.open[action]
        self.time += 1
        return self.look(), 1.0, False, self.time >= 10, {}


class Blind(gymnasium.ObservationWrapper):
    """Doors whose mask nobody tells."""

    def __init__(self) -> None:
        super().__init__(Doors())
        self.observation_space = Dict({"x": Box(-1, 1, (2,))})

    def observation(self, observation: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"x": observation["x"]}


SETTINGS: dict[str, Any] = {
    "algorithm": clipper.PPO(horizon=16, epochs=1, minibatches=1),
    "policy": clipper.PolicyOptions(hidden=(8,), encoder=clipper.EncoderOptions(mask_key="legal")),
    "num_envs": 4, "vector": "serial", "engine": "torch",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run of doors that was stopped halfway."""
    clipper.train(Doors, total_steps=512, run_dir=tmp_path / "run", callback=lambda run: run.steps < 256, **SETTINGS)
    return tmp_path / "run"


@pytest.mark.parametrize("mask", [[True, False], np.array([1, 0]), {"skil": [0, 1]}], ids=repr)
def test_a_mask_of_another_form_than_the_action_is_refused(mask: Any) -> None:
    action = Dict({"skill": Discrete(2), "aim": Box(-1, 1, (1,))})
    policy = clipper.make_policy(Box(-1, 1, (1,)), action, clipper.PolicyOptions(), torch.Generator())
    with pytest.raises(ValueError, match=r"the mask at action .*skill"):
        policy.predict(np.zeros(1, np.float32), action_mask=mask)
    chosen = policy.predict(np.zeros(1, np.float32), action_mask={"skill": [False, True]})
    assert chosen["skill"] == 1


def test_a_run_that_goes_on_with_other_episodes_keeps_its_masks(folder: Path) -> None:
    Doors.illegal = Doors.decisions = 0
    run = clipper.train(Doors, resume=folder)
    assert not run.exact
    assert Doors.decisions > 200
    assert Doors.illegal == 0


def test_who_predicts_without_a_mask_is_told_once(folder: Path, recwarn: pytest.WarningsRecorder) -> None:
    policy = clipper.load(folder)
    obs = {"x": np.zeros(2, np.float32)}
    policy.predict(obs | {"legal": np.ones(6, np.int8)})
    policy.predict(obs, action_mask=np.eye(6, dtype=bool)[2])
    assert not recwarn.list
    with pytest.warns(UserWarning, match=f"{SAYS}.*action_mask="):
        policy.predict(obs)
    policy.predict(obs)
    assert not recwarn.list


def test_a_checkpoint_tells_by_its_masks_and_the_best_policy_by_name(folder: Path) -> None:
    assert clipper.load(folder).masked
    run = clipper.train(
        Doors, total_steps=128, run_dir=folder.parent / "two", eval_every=64, eval_episodes=1, **SETTINGS
    )
    assert run.path is not None
    assert clipper.load(run.path, best=True).masked
    plain = clipper.train("CartPole-v1", total_steps=64, run_dir=folder.parent / "plain", num_envs=2)
    assert plain.path is not None
    assert not clipper.load(plain.path).masked
    plain.policy.predict(np.zeros(4, np.float32))  # says nothing


def test_evaluation_in_an_environment_without_masks_says_so(folder: Path) -> None:
    with pytest.warns(UserWarning, match=f"{SAYS}, and Doors gives none"):
        clipper.evaluate(clipper.load(folder), Blind, episodes=1)


def test_an_export_without_masks_says_so(folder: Path, tmp_path: Path) -> None:
    for package in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package)
    with pytest.warns(UserWarning, match=re.escape("masked=True (--masked)")):
        export_onnx(clipper.load(folder), tmp_path / "bare.onnx")
    export_onnx(clipper.load(folder), tmp_path / "masked.onnx", masked=True)


def test_programs_for_stable_baselines3_hear_nothing_as_there() -> None:
    """``predict`` without ``action_masks`` is taken as it is by sb3-contrib, too."""

    class Told(Doors):
        key = "action_mask"

    model = TheirPPO("MultiInputPolicy", Told(), n_steps=16, batch_size=16, n_epochs=1)
    model.learn(32)
    model.predict({"x": np.zeros(2, np.float32), "action_mask": np.ones(6, np.int8)})
    model.policy.predict({"x": np.zeros(2, np.float32), "action_mask": np.zeros(6, np.int8)})

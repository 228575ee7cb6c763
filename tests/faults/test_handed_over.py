"""What is handed to a run, an evaluation or a policy is what it is taken for, or it is refused by name."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete
from gymnasium.vector import SyncVectorEnv

import clipper
from clipper.cli.commands import run_command
from clipper.environments.vector.serial import Serial
from clipper.environments.vector.workers import Workers
from clipper.errors import (
    ConfigError,
    CorruptCheckpointError,
    NonFiniteError,
    ReadError,
    SpaceMismatchError,
)
from clipper.pictures.play import play
from clipper.storage import checkpoint

QUICK: Any = {"algorithm": clipper.PPO(horizon=8, epochs=1, minibatches=2), "total_steps": 32, "num_envs": 2}
TINY = clipper.PolicyOptions(hidden=(4,))


class Ten(gymnasium.Env):
    """Ten steps an episode."""

    observation_space: gymnasium.Space = Box(0.0, 1.0, (1,), np.float32)
    action_space: gymnasium.Space = Discrete(2)
    seeds: ClassVar[list[int | None]] = []

    def reset(self, *, seed: int | None = None, options: Any = None):
        super().reset(seed=seed)
        self.seeds.append(seed)
        self.time = 0
        return self.look(), {}

    def step(self, action):
        self.time += 1
        return self.look(), 1.0, False, self.time >= 10, {}

    def look(self) -> Any:
        return np.full(self.observation_space.shape or (), self.time / 10, np.float32)


class OneAction(Ten):
    action_space = Discrete(1)


class Continuous(Ten):
    action_space = Box(-1.0, 1.0, (1,), np.float32)


class Wider(Ten):
    observation_space = Box(0.0, 1.0, (2,), np.float32)


class Bounded(Ten):
    observation_space = Box(0.0, 2.0, (1,), np.float32)


def train(env: Any = Ten, **changes: Any) -> clipper.Run:
    return clipper.train(env, **{"policy": TINY} | QUICK | changes)


def test_environments_that_are_one_object_are_refused() -> None:
    env = Ten()
    shared = [lambda: env, lambda: gymnasium.wrappers.TimeLimit(env, 5)]
    for make in (
        lambda: train(shared[0], vector="serial"),
        lambda: train(shared[0], vector="auto"),
        lambda: clipper.train(SyncVectorEnv([shared[0]] * 2), QUICK["algorithm"], total_steps=32),
        lambda: Serial(shared),
        lambda: Workers(shared, 1),
        lambda: clipper.evaluate(train(num_envs=2).policy, shared[0]),
    ):
        with pytest.raises(ConfigError, match=r"environments 0 and 1 are the same object, a Ten.*lambda: MyEnv"):
            make()
    assert train(shared[0], num_envs=1, algorithm=clipper.PPO(horizon=20, epochs=1)).history[-1]["episode/length"] == 10
    assert clipper.evaluate(train().policy, shared[0], episodes=2, num_envs=1).lengths.tolist() == [10, 10]


def test_no_evaluation_plays_in_the_one_environment_that_trains() -> None:
    env = Ten()
    with pytest.raises(ConfigError, match=r"a run trains in these environments.*make a new one"):
        train(lambda: env, num_envs=1, eval_every=16, eval_episodes=1)


@pytest.mark.parametrize("env", [OneAction, Continuous, Wider, Bounded])
def test_a_policy_in_other_spaces_is_refused_with_the_difference(env: type[Ten]) -> None:
    policy = train().policy
    ready = SyncVectorEnv([env] * 2)
    for use in (
        lambda: clipper.evaluate(policy, env, episodes=2),
        lambda: clipper.evaluate(policy, ready, episodes=2),
        lambda: train(env, policy=policy),
    ):
        with pytest.raises(SpaceMismatchError, match=r"saved .*, here "):
            use()
    before = [p.clone() for p in policy.parameters()]
    assert train(policy=policy).policy is policy  # and it is trained itself, as the docstring says
    assert not all(map(torch.equal, before, policy.parameters()))


def test_to_play_compares_spaces_too(tmp_path: Path) -> None:
    with pytest.raises(SpaceMismatchError, match=r"action: saved Discrete\(2\), here Box"):
        play(train("CartPole-v1").policy, "Pendulum-v1", video=tmp_path / "x.gif")
    assert not list(tmp_path.iterdir())


class Seen(Ten):
    """What only the critic sees stands apart."""

    observation_space = Dict(own=Box(0.0, 1.0, (1,), np.float32), secret=Box(0.0, 1.0, (2,), np.float32))

    def look(self) -> Any:
        assert isinstance(self.observation_space, Dict)
        return {key: np.zeros(part.shape or (), np.float32) for key, part in self.observation_space.items()}


def with_keys(**parts: gymnasium.Space) -> type[Ten]:
    return type("Other", (Seen,), {"observation_space": Dict(parts)})


def test_of_an_observation_counts_what_is_seen() -> None:
    options = clipper.PolicyOptions(hidden=(4,), encoder=clipper.EncoderOptions(critic_only=("secret",)))
    policy = train(Seen, policy=options).policy
    own, other = Box(0.0, 1.0, (1,), np.float32), Box(0.0, 1.0, (3,), np.float32)
    for env in (with_keys(own=own), with_keys(own=own, secret=other)):
        clipper.evaluate(policy, env, episodes=2)  # the critic does not play
        with pytest.raises((SpaceMismatchError, ConfigError), match="critic"):
            train(env, policy=policy)
    with pytest.raises(SpaceMismatchError, match="observation"):
        clipper.evaluate(policy, with_keys(own=own, more=own), episodes=2)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_wherever_they_are_read(number: float, tmp_path: Path) -> None:
    train("CartPole-v1", run_dir=tmp_path / "run", eval_every=32, eval_episodes=1, policy=clipper.PolicyOptions())
    for name, prefix in (("checkpoint", "learner."), ("best", "")):
        tensors, values = checkpoint.load(tmp_path / "run" / f"{name}.safetensors")
        tensors[f"{prefix}policy.critic.0.weight"][0, 0] = number
        checkpoint.save(tmp_path / "run" / f"{name}.safetensors", tensors, values)
    for read in (
        lambda: clipper.load(tmp_path / "run"),
        lambda: clipper.load(tmp_path / "run" / "checkpoint.safetensors"),
        lambda: clipper.load(tmp_path / "run", best=True),
        lambda: clipper.evaluate(tmp_path / "run", episodes=1),
        lambda: clipper.train(resume=tmp_path / "run", total_steps=64),
    ):
        with pytest.raises(CorruptCheckpointError, match=r"critic\.0\.weight .* not finite"):
            read()


def test_observations_that_are_not_finite_are_refused_by_predict() -> None:
    policy = train(Seen).policy
    good = {"own": np.zeros(1, np.float32), "secret": np.zeros(2)}
    assert policy.predict(good) in (0, 1)
    for bad in (np.nan, np.inf, -np.inf, 1e300):  # the last is infinite as float32
        with pytest.raises(NonFiniteError, match=r"observation\['secret'\] holds"):
            policy.predict(good | {"secret": np.array([0.0, bad])})
        with pytest.raises(NonFiniteError, match="observation holds"):
            train().policy.predict(np.full((3, 1), bad))


@pytest.mark.parametrize(
    ("answer", "stops"),
    [
        (False, True), (np.False_, True), (np.array(False), True), (torch.tensor(False), True),
        (np.array([False]), True), (True, False), (np.True_, False), (None, False), (0, False), ([], False),
        (torch.tensor(True), False), (np.zeros(2, bool), False),
    ],
    ids=repr,
)  # fmt: skip
def test_a_callback_stops_a_run_by_any_false(answer: object, stops: bool) -> None:
    assert (train(callback=lambda run: answer).iteration == 1) == stops


def test_learning_for_no_steps_learns_nothing() -> None:
    from clipper.compat.sb3 import PPO

    model = PPO("MlpPolicy", Ten(), n_steps=16, batch_size=16, n_epochs=1, seed=0)
    before = [p.clone() for p in model.policy.parameters()]
    assert model.learn(0).num_timesteps == 0
    with pytest.raises(ConfigError, match="not -5"):
        model.learn(-5)
    assert all(map(torch.equal, before, model.policy.parameters()))
    assert model.learn(1).num_timesteps > 0


def test_a_file_that_may_not_be_read_is_not_taken_for_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else an older policy would be used in its place; who may read everything is refused here by hand."""
    train("CartPole-v1", run_dir=tmp_path)
    opened: Callable = Path.open

    def refuse(name: str) -> None:
        def fail(path: Path, *arguments: Any, **options: Any) -> Any:
            if path.name == name:
                raise PermissionError(13, "Permission denied", str(path))
            return opened(path, *arguments, **options)

        monkeypatch.setattr(Path, "open", fail)

    refuse("checkpoint.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for read in (lambda: clipper.load(tmp_path), lambda: clipper.train(resume=tmp_path, total_steps=64)):
            with pytest.raises(ReadError, match=r"checkpoint\.safetensors cannot be read: Permission denied"):
                read()
    refuse("config.json")
    with pytest.raises(ReadError, match=r"config\.json cannot be read"):
        clipper.train(resume=tmp_path)


def test_evaluations_begin_with_other_seeds_than_training() -> None:
    def reset_seeds(action: Callable[[], object]) -> set[int]:
        Ten.seeds.clear()
        action()
        return {seed for seed in Ten.seeds if seed is not None}

    run = train(vector="serial")
    trained = reset_seeds(lambda: train(vector="serial", num_envs=8))
    played = reset_seeds(lambda: [run.evaluate(40), clipper.evaluate(run.policy, Ten), clipper.evaluate(run, Ten)])
    assert len(trained) == 8
    assert len(played) == 20
    assert not trained & played
    assert max(played) < 2**31  # what simulators take


def test_the_home_of_a_user_is_meant_by_its_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    here.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    train("CartPole-v1", run_dir="~/run")
    assert (home / "run" / "config.json").exists()
    clipper.train(resume="~/run", run_dir=home / "run", total_steps=64)
    clipper.load("~/run")
    clipper.load("~/run/checkpoint.safetensors")
    clipper.evaluate("~/run", episodes=1)
    flags = ["--total-steps", "32", "--num-envs", "2", "--horizon", "8", "--minibatches", "2"]
    assert run_command(["train", "CartPole-v1", "--run-dir=~/other", *flags]) == 0
    assert run_command(["plot", "~/run", "--output=~/x.png"]) == 0
    assert json.loads((home / "other" / "config.json").read_text())["env"] == "CartPole-v1"
    assert (home / "x.png").exists()
    assert not list(here.iterdir())
    with pytest.raises(ConfigError, match="~nobody-of-that-name"):
        train(run_dir="~nobody-of-that-name/x")

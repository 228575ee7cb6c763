"""What is beside training, or wrong beside it, leaves training alone."""

import importlib
import json
import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from batches import stepped
from gymnasium import spaces
from gymnasium.wrappers import TransformObservation

import clipper
from clipper.errors import DeviceMemoryError, EnvWorkerError, SpaceMismatchError
from clipper.learning.rewards import Scaled
from clipper.pictures.play import Filmed
from clipper.runs.metrics_file import read_rows
from clipper.runs.run import Run
from clipper.spaces.space_json import check_same_spaces, space_to_json
from clipper.storage import checkpoint
from clipper.storage.saved import value_of

QUICK = clipper.PPO(horizon=32, epochs=2, rewards=Scaled())
OPTIONS = clipper.PolicyOptions(hidden=(8,), normalise_obs=True, normalise_returns=True)
ENGINES = ["torch", "cpu"] if find_spec("numba") else ["torch"]


def train(env: Any = "Pendulum-v1", **changes: Any) -> Run:
    return clipper.train(env, **{"algorithm": QUICK, "policy": OPTIONS, "num_envs": 2, "total_steps": 320} | changes)


def same(a: Run, b: Run) -> bool:
    """Weights, moments, statistics, generators, environments."""
    (ours, said), (theirs, also) = a.state_dict(), b.state_dict()
    kept, there = (value_of("rollouts", dict, values)["environments"] for values in (said, also))
    equal = ours.keys() == theirs.keys() and all(torch.equal(x, theirs[k]) for k, x in ours.items())
    return equal and kept == there


def test_evaluating_playing_logging_and_saving_change_no_bit(tmp_path: Path) -> None:
    def meddle(run: Run) -> None:
        run.evaluate(1, seed=run.iteration, deterministic=False)
        env = Filmed(gymnasium.make("Pendulum-v1", render_mode="rgb_array", max_episode_steps=3))
        clipper.evaluate(run.policy, lambda: env, episodes=1)
        assert len(env.frames) == 4
        run.policy.predict(np.zeros(3, np.float32), deterministic=False)
        run.save()
        torch.rand(3)
        np.random.rand(3)

    plain = train()
    meddled = train(
        run_dir=tmp_path, callback=meddle, eval_every=160, eval_episodes=2, checkpoint_every=64, keep_checkpoints=4
    )
    assert same(plain, meddled)


def test_two_runs_in_one_process_do_not_touch_each_other() -> None:
    others: list[Run] = []

    def another(run: Run) -> None:
        if run.iteration == 2:
            others.append(train("CartPole-v1", seed=9, threads=2, total_steps=128))
        assert torch.get_num_threads() == 1

    alone, other = train(), train("CartPole-v1", seed=9, threads=2, total_steps=128)
    nested = train(callback=another)
    assert same(nested, alone)
    assert same(others[0], other)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_seed_gives_the_same_run_every_time_and_another_one_another(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CLIPPER_ENGINE")
    first, second, third, other = (train(seed=seed, engine=engine) for seed in (5, 5, 5, 6))
    assert first.engine.name == engine
    assert same(first, second)
    assert same(first, third)
    assert not torch.equal(first.learner.parameters, other.learner.parameters)


@pytest.mark.parametrize("times", [1, pytest.param(3, marks=pytest.mark.long)])
def test_a_seed_gives_the_same_run_in_however_many_processes(times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, in one worker and in two, each as often; by another seed, another run."""

    def states(seed: int, vector: str) -> dict[str, torch.Tensor]:
        kept: list[dict[str, torch.Tensor]] = []  # of the run as it went, since its end closes the workers

        def keep(run: Run) -> None:
            tensors, values = run.state_dict()
            assert value_of("rollouts", dict, values)["environments"] is not None
            kept.append({k: v.clone() for k, v in tensors.items()})

        train(seed=seed, vector=vector, num_envs=3, total_steps=480, callback=keep)
        return kept[-1]

    found = [states(5, "serial") for _ in range(times)]
    for processes in (1, 2):
        monkeypatch.setattr("clipper.environments.vector.stepping.cores", lambda count=processes: count)
        found += [states(5, "workers") for _ in range(times)]
    for other in found[1:]:
        assert other.keys() == found[0].keys()
        assert all(torch.equal(x, other[k]) for k, x in found[0].items())
    another = states(6, "serial")
    for name in ("learner.policy.head.mean.weight", "rollouts.obs.0"):
        assert not torch.equal(found[0][name], another[name])


def test_a_logger_that_fails_costs_one_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(writer: Any, record: bytes) -> None:
        if b"loss/" in record:
            raise RuntimeError("the network is gone")

    writer: Any = importlib.import_module("tensorboard.summary.writer.record_writer").RecordWriter
    monkeypatch.setattr(writer, "write", fail)
    with pytest.warns(UserWarning, match="TensorBoard's events cannot be written, .*network is gone") as told:
        run = train(run_dir=tmp_path)
    assert len(told) == 1
    assert same(run, train())
    assert len(list(read_rows(tmp_path))) == run.iteration


def test_a_folder_where_events_cannot_be_written_costs_one_warning(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("a file where a folder should be")
    with pytest.warns(UserWarning, match="no TensorBoard events") as told:
        run = train(run_dir=tmp_path)
    assert len(told) == 1
    assert len(list(read_rows(tmp_path))) == run.iteration


def test_a_callback_that_raises_is_heard_after_the_run_is_saved(tmp_path: Path) -> None:
    def fail(run: Run) -> None:
        if run.iteration == 3:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        train(run_dir=tmp_path / "raised", callback=fail)
    stopped = train(run_dir=tmp_path / "stopped", callback=lambda run: run.iteration < 3)
    for folder in ("raised", "stopped"):
        tensors, values = checkpoint.load_latest(tmp_path / folder)
        assert (values["iteration"], values["exact"]) == (3, True)
        assert all(torch.equal(x, stopped.state_dict()[0][k]) for k, x in tensors.items())
    whole = train(run_dir=tmp_path / "whole")
    for folder in ("raised", "stopped"):
        assert same(clipper.train(resume=tmp_path / folder), whole)


def test_an_evaluation_that_is_broken_off_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its error is heard, and the run that is resumed equals the one whose evaluation went through."""
    plan = {"eval_every": 64, "eval_episodes": 1}
    whole = train(run_dir=tmp_path / "whole", **plan)
    evaluate, calls = Run.evaluate, iter(range(10))

    def breaks(run: Run, *arguments: Any, **options: Any) -> Any:
        if next(calls) == 2:
            raise RuntimeError("the renderer is gone")
        return evaluate(run, *arguments, **options)

    monkeypatch.setattr(Run, "evaluate", breaks)
    with pytest.raises(RuntimeError, match="renderer"):
        train(run_dir=tmp_path / "broken", **plan)
    resumed = clipper.train(resume=tmp_path / "broken")
    assert resumed.exact
    assert same(resumed, whole)
    rows = [
        [{k: v for k, v in row.items() if not k.startswith("time/")} for row in read_rows(tmp_path / name)]
        for name in ("whole", "broken")
    ]
    assert rows[0] == rows[1]


class Breaks(gymnasium.Wrapper):
    """Raises at its 100th step."""

    steps = 0

    def step(self, action: Any) -> Any:
        self.steps += 1
        if self.steps == 100:
            raise ValueError("out of petrol")
        return super().step(action)


def test_what_was_learned_outlasts_the_environment(tmp_path: Path) -> None:
    """Step 100 lies in the fourth iteration: what the third one has made of the policy is saved, and its count."""
    seen: dict[int, torch.Tensor] = {}

    def watch(run: Run) -> None:
        seen[run.steps] = run.learner.parameters.detach().clone()

    with pytest.raises(EnvWorkerError, match="out of petrol"):
        train(lambda: Breaks(gymnasium.make("Pendulum-v1")), run_dir=tmp_path, callback=watch)
    policy = clipper.load(tmp_path)
    assert list(seen) == [64, 128, 192]
    assert torch.equal(torch.cat([p.flatten() for p in policy.parameters()]), seen[192])
    resumed = clipper.train(lambda: gymnasium.make("Pendulum-v1"), resume=tmp_path, callback=lambda run: False)
    assert (resumed.exact, resumed.iteration, resumed.steps) == (False, 4, 256)


@pytest.mark.parametrize("algorithm", [QUICK, clipper.TRPO(horizon=32)], ids=["ppo", "trpo"])
def test_a_full_accelerator_ends_in_advice_with_whole_weights_saved(
    algorithm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The 3rd iteration's memory runs out, in its 2nd gradient (PPO) or in the line search (TRPO)."""
    seen: dict[str, Any] = {"calls": 0, "parameters": []}

    def watch(run: Run) -> None:
        if run.iteration < 2:
            return
        seen["actor"] = [p.detach().clone() for p in run.policy.actor_parameters()]
        seen["learner"] = run.learner
        if isinstance(algorithm, clipper.TRPO):
            original = type(run.policy).act

            def act(policy: Any, obs: Any, *arguments: Any, **named: Any) -> Any:
                seen["calls"] += torch.is_grad_enabled() is False and obs.ndim == 2 and len(obs) > 2
                if seen["calls"] == 2:
                    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
                return original(policy, obs, *arguments, **named)

            monkeypatch.setattr(type(run.policy), "act", act)
        else:
            backward = torch.Tensor.backward

            def backwards(loss: torch.Tensor, **named: Any) -> None:
                seen["calls"] += 1
                backward(loss, **named)
                if seen["calls"] == 2:
                    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
                seen["parameters"].append(run.learner.parameters.detach().clone())

            monkeypatch.setattr(torch.Tensor, "backward", backwards)

    with pytest.raises(
        DeviceMemoryError, match=r"iteration 3, on 64 decisions: raise minibatches, .* saved in .*2\.00 GiB"
    ):
        train(algorithm=algorithm, run_dir=tmp_path, callback=watch)
    monkeypatch.undo()
    tensors, values = checkpoint.load_latest(tmp_path)
    assert (values["iteration"], values["steps"]) == (2, 128)
    policy = clipper.load(tmp_path)
    actor = list(policy.actor_parameters())
    if isinstance(algorithm, clipper.TRPO):  # no trial of the line search outlasts it
        assert all(torch.equal(p, q) for p, q in zip(actor, seen["actor"], strict=True))
    else:  # one whole step, and nothing of the second: Adam's count and weights say the same
        assert float(tensors["learner.adam.step"]) == 2 * 2 * 4 + 1
        flat = torch.cat([p.flatten() for p in policy.parameters()])
        assert not torch.equal(flat, seen["parameters"][0])
        assert torch.equal(flat, seen["learner"].parameters.detach())
    assert not clipper.train(resume=tmp_path).exact


MISMATCHES: dict[str, tuple[gymnasium.Space, gymnasium.Space, str]] = {
    "choices": (spaces.Discrete(2), spaces.Discrete(3), r"Discrete\(2\), here Discrete\(3\)"),
    "first choice": (spaces.Discrete(2), spaces.Discrete(2, start=1), r"start=1"),
    "shape": (spaces.Box(-1, 1, (2,)), spaces.Box(-1, 1, (3,)), r"\(2,\).*\(3,\)"),
    "rank": (spaces.Box(-1, 1, (4,)), spaces.Box(-1, 1, (2, 2)), r"\(4,\).*\(2, 2\)"),
    "bounds": (spaces.Box(-1, 1, (2,)), spaces.Box(-2, 1, (2,)), r"-1.*-2"),
    "one bound": (spaces.Box(-1, np.ones(2, np.float32)), spaces.Box(-1, np.array([1, np.inf], np.float32)), "inf"),
    "dtype": (spaces.Box(-1, 1, (2,), np.float32), spaces.Box(-1, 1, (2,), np.float64), "float32.*float64"),
    "kind": (spaces.Discrete(2), spaces.Box(-1, 1, (1,)), "Discrete.*Box"),
}


@pytest.mark.parametrize("kind", ["observation", "action"])
@pytest.mark.parametrize("name", MISMATCHES)
def test_other_spaces_are_refused_with_the_difference(name: str, kind: str) -> None:
    saved, here, words = MISMATCHES[name]
    both: dict[str, gymnasium.Space] = {"observation": spaces.Box(0, 1, (5,)), "action": spaces.Box(0, 1, (6,))}
    with pytest.raises(SpaceMismatchError, match=f"{kind}: saved .*{words}") as error:
        check_same_spaces({k: space_to_json(v) for k, v in (both | {kind: saved}).items()}, both | {kind: here})
    assert str(error.value).count("saved") == 1  # the one that differs
    check_same_spaces({k: space_to_json(v) for k, v in both.items()}, both)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.int8, np.uint8, bool])
def test_observations_of_every_dtype_are_read(dtype: Any) -> None:
    """Floats become float32; all others stay what they are until a network reads them."""
    low, high = (0, 1) if dtype is bool else (0, 100)
    space = spaces.Box(low, high, (3,), np.int8 if dtype is bool else dtype)

    def make() -> gymnasium.Env:
        env = gymnasium.make("Pendulum-v1")
        return TransformObservation(env, lambda obs: np.abs(obs).round().clip(low, high).astype(dtype), space)

    run = train(make)
    kept = {np.float64: torch.float32, np.float32: torch.float32, np.int64: torch.int64, np.uint8: torch.uint8}
    assert stepped(run).obs.dtype == kept.get(dtype, torch.int8)
    assert run.learner.parameters.isfinite().all()
    assert run.policy.predict(space.sample()).shape == (1,)


GROWTH = """
import json, os, sys, clipper
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
sizes = []
def watch(run):
    sizes.append(resident())
    return run.iteration < int(sys.argv[1])
algorithm = clipper.PPO(horizon=16, epochs=2)
clipper.train("CartPole-v1", algorithm, num_envs=4, total_steps=10**7, run_dir=sys.argv[2], callback=watch,
              eval_every=3200, eval_episodes=2, checkpoint_every=3200)
print(json.dumps(sizes))
"""


@pytest.mark.long
def test_memory_does_not_grow(tmp_path: Path, figures: Callable) -> None:
    """Less than 1 MB per 100 updates over 2,000, by least squares after the first 200."""
    import subprocess

    source = Path(clipper.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", GROWTH, "2000", str(tmp_path / "run")], capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    sizes = np.array(json.loads(done.stdout.splitlines()[-1]))
    slope = float(np.polyfit(np.arange(200, len(sizes)), sizes[200:], 1)[0] * 100)
    figures("F41", updates=len(sizes), megabytes_per_100=round(slope, 3))
    assert len(sizes) == 2000
    assert slope < 1

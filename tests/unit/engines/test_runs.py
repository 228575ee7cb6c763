"""Which engine a run gets, and whole runs with the compiled one."""

import copy
import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import Any, Literal

import gymnasium
import numpy as np
import pytest
import torch
from torch import nn

import clipper
from clipper.algorithms import Algorithm
from clipper.engines.cpu import kernel_files
from clipper.engines.cpu import threads as team
from clipper.errors import ConfigError
from clipper.learning.kl import Exact
from clipper.learning.optimizers import Adam
from clipper.learning.rewards import Scaled
from clipper.runs.make_run import Settings
from clipper.runs.run import Run

QUICK = clipper.PPO(horizon=16, epochs=2)


def quick(env: Any = "CartPole-v1", algorithm: Any = QUICK, **settings: Any) -> Run:
    plan = {"total_steps": 64, "num_envs": 2, "engine": "cpu"} | settings
    return clipper.train(env, algorithm, **plan)


class Odd(clipper.ActorCritic):
    """An actor-critic that computes something else."""


def custom() -> nn.Module:
    env = clipper.make_env("CartPole-v1", 1)
    spaces = env.single_observation_space, env.single_action_space
    made = clipper.make_policy(*spaces, clipper.PolicyOptions(), torch.Generator().manual_seed(0))
    return Odd(made.encoder, made.actor, made.critic, made.head, made.value_layer)


def integers() -> gymnasium.Env:
    env = gymnasium.make("CartPole-v1")
    space = gymnasium.spaces.Box(-(2**40), 2**40, (4,), np.int64)
    return gymnasium.wrappers.TransformObservation(env, lambda obs: obs.astype(np.int64), space)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"policy": custom()}, "a Odd is no ActorCritic: small networks take about 6 times as long"),
        ({"policy": clipper.PolicyOptions(hidden=(513,))}, "wider than 512, where kernels gain little"),
        ({"env": integers}, "observations may be integers beyond 16777216, .*: small networks take"),
    ],
    ids=["policy", "wide", "integers"],
)
def test_what_does_not_fit_is_run_by_torch_with_the_reason(arguments: dict, reason: str) -> None:
    run = quick(**arguments, engine="auto")
    assert run.engine.name == "torch"
    assert run.config.engine == "torch"
    assert re.search(reason, run.engine.description)
    with pytest.raises(ConfigError, match=f"engine 'cpu' cannot run this: .*{reason}"):
        quick(**arguments)


def plain(
    log_ratio: torch.Tensor, advantage: torch.Tensor, low: float, high: float
) -> torch.Tensor:  # fmt: skip
    """An objective of one's own."""
    return -log_ratio * advantage


class Own(clipper.PPO):
    """An algorithm of one's own."""


@pytest.mark.parametrize(
    ("algorithm", "reason"),
    [
        (Own(horizon=16, epochs=1), "updates by torch, about 5 times as long as by kernels: .* no Own"),
        (clipper.PPO(objective=plain), "losses by torch, about 5 times as long .* no objective=<function"),
        (clipper.PPO(learning_rate=clipper.schedules.KLAdaptive()), "no learning_rate=KLAdaptive"),
        (clipper.PPO(clip=lambda progress: 0.2), "no clip=<function"),
        (clipper.PPOPenalty(hinge=1.0), r"no hinge=1\.0 of PPOPenalty"),
        (clipper.ImportanceSampling(episodes=2), "no ImportanceSampling"),
        (clipper.A2C(optimizer=clipper.optimizers.RMSPropTF()), "no optimizer=RMSPropTF"),
        (clipper.PPO(optimizer=Adam(weight_decay=0.1)), "no optimizer=Adam"),
    ],
    ids=[
        "own", "objective", "kl-adaptive", "clip", "hinge", "importance", "optimizer", "weight-decay",
    ],
)  # fmt: skip
def test_what_kernels_do_not_know_of_a_loss_is_torch_s_with_the_reason(algorithm: Any, reason: str) -> None:
    short = {"horizon": 16} if hasattr(algorithm, "horizon") else {}
    run = quick(algorithm=dataclasses.replace(algorithm, **short))
    assert run.engine.name == "cpu"
    assert re.search(reason, run.engine.description)


def test_another_behaviour_than_the_policy_s_is_torch_s() -> None:
    """Who acts beside the policy is no policy that kernels read."""
    made = clipper.PPO(learning_rate=1e-3).init

    class Other(clipper.PPO):
        def init(self, policy: nn.Module, seed: int = 0) -> Any:
            learner: Any = made(policy, seed)
            learner.behaviour = copy.deepcopy(policy)
            return learner

    with pytest.raises(ConfigError, match="engine 'cpu' cannot run this: kernels know no Other"):
        quick(algorithm=Other())


def test_short_runs_are_run_by_torch() -> None:
    assert quick(engine="auto").engine.description == "torch (the run is short)"


@pytest.mark.parametrize(("engine", "expected"), [("cpu", 1), ("torch", 2)])
def test_torch_has_one_thread_beside_the_engine_s_own(engine: Literal["cpu", "torch"], expected: int) -> None:
    before, seen = torch.get_num_threads(), []
    quick(engine=engine, threads=2, callback=lambda _: seen.append(torch.get_num_threads()))
    assert set(seen) == {expected}
    assert torch.get_num_threads() == before


def test_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    assert quick(engine="auto").engine.description == "torch (numba is not installed)"


def test_the_environment_variable_outweighs_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert quick().engine.description == "cpu (compiled kernels)"
    monkeypatch.setenv("CLIPPER_ENGINE", "torch")
    assert quick().engine.description == "torch"
    monkeypatch.setenv("CLIPPER_ENGINE", "cpu")
    assert quick(engine="torch").engine.name == "cpu"
    monkeypatch.setenv("CLIPPER_ENGINE", "tpu")
    with pytest.raises(ConfigError, match="CLIPPER_ENGINE=tpu"):
        quick()


def stop_after(iteration: int):
    return lambda run: run.iteration < iteration


def test_long_runs_get_kernels_where_those_repay_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, steps, name in ((True, 20_000, "cpu"), (False, 20_000, "torch"), (False, 200_000, "cpu")):
        monkeypatch.setattr(kernel_files, "is_compiled", lambda _, there=there: there)
        assert quick(engine="auto", total_steps=steps, callback=stop_after(1)).engine.name == name


@pytest.mark.parametrize(
    ("env", "algorithm", "threads"),
    [
        (
            "CartPole-v1",
            clipper.PPO(horizon=8, learning_rate=clipper.schedules.Linear(1e-2), clip=clipper.schedules.Linear(0.3)),
            1,
        ),
        ("CartPole-v1", clipper.Reinforce(episodes=4), 1),
        ("Pendulum-v1", clipper.PPO(horizon=8, rewards=Scaled()), 2),
        ("Pendulum-v1", clipper.A2C(), 1),
        ("Pendulum-v1", clipper.PPOPenalty(horizon=8), 2),
        ("CartPole-v1", clipper.PPOSeparate(horizon=8, epochs=3, value_epochs=2, kl=Exact()), 1),
        ("Pendulum-v1", clipper.VPG(horizon=8, rewards=Scaled()), 2),
        ("Pendulum-v1", clipper.PPO(horizon=8, recompute=True, objective=clipper.objectives.TrustRegion()), 1),
        ("CartPole-v1", clipper.PPO(horizon=8, learning_rate=clipper.schedules.KLAdaptive()), 1),
        ("Pendulum-v1", clipper.TRPO(horizon=8), 2),
        ("CartPole-v1", clipper.NPG(horizon=8), 1),
    ],
    ids=[
        "cartpole",
        "reinforce",
        "pendulum",
        "a2c",
        "penalty",
        "separate",
        "vpg",
        "recompute",
        "by-torch",
        "trpo",
        "npg",
    ],
)
def test_interrupted_equals_uninterrupted(
    env: str, algorithm: Algorithm, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which says too that two runs of the engine are equal bit for bit."""
    monkeypatch.setattr(team, "PAYS", 1.0)
    policy = clipper.PolicyOptions(hidden=(16, 16), normalise_obs=True, normalise_returns=True)
    plan: Settings = {"total_steps": 24 * 16, "num_envs": 2, "seed": 3, "engine": "cpu", "threads": threads}
    plan["vector"] = "serial"  # a busy machine's steps are slow, for which it might choose workers
    whole = clipper.train(env, algorithm, policy=policy, run_dir=tmp_path / "whole", **plan)
    halved, halfway = tmp_path / "halved", stop_after(whole.iteration // 2)
    clipper.train(env, algorithm, policy=policy, run_dir=halved, callback=halfway, **plan)
    resumed = clipper.train(resume=halved)
    assert resumed.exact
    assert resumed.engine.name == "cpu"
    ours, theirs = whole.state_dict(), resumed.state_dict()
    assert ours[0].keys() == theirs[0].keys()
    for name, x in ours[0].items():
        assert torch.equal(x, theirs[0][name]), name
    assert ours[1] | {"seconds": 0} == theirs[1] | {"seconds": 0}


def test_a_run_keeps_its_engine_unless_it_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick(run_dir=tmp_path / "run", callback=stop_after(1))
    assert json.loads((tmp_path / "run" / "config.json").read_text())["engine"] == "cpu"
    monkeypatch.setitem(sys.modules, "numba", None)
    resumed = clipper.train(resume=tmp_path / "run")
    assert resumed.engine.description == "torch (numba is not installed)"
    assert not resumed.exact
    assert json.loads((tmp_path / "run" / "config.json").read_text())["engine"] == "torch"


def test_whole_episodes_and_other_autoreset_modes_are_collected_by_the_definition() -> None:
    env = gymnasium.make_vec(
        "CartPole-v1", 2, vector_kwargs={"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP},
        vectorization_mode="sync",
    )  # fmt: skip
    run = clipper.train(env, QUICK, total_steps=128, engine="cpu")
    assert run.engine.name == "cpu"
    assert run.steps >= 128


def test_cartpole_is_solved() -> None:
    run = clipper.train(clipper.recipes.cartpole(), engine="cpu", until_solved=True)
    assert run.engine.name == "cpu"
    assert run.solved

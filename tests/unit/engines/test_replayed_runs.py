"""Whole runs of who learns from a replay on the compiled engine, beside the definition's."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from torch import nn

import clipper
from clipper.data.trees import leaves
from clipper.engines.cpu.replayed_plan import read_replayed
from clipper.engines.protocol import UnsuitableError
from clipper.errors import ConfigError
from clipper.learning.optimizers import RMSPropTF
from clipper.networks.make_policy import make_policy
from clipper.runs.run import Run

SMALL = clipper.PolicyOptions(hidden=(8,), activation="relu", orthogonal=False)
WITHOUT_TANH = clipper.HeadOptions(distribution=clipper.networks.heads.Deterministic(squash=False))
SHORT: Any = {"batch_size": 8, "capacity": 200, "learning_starts": 16}
PLACES = {
    clipper.SAC: "Pendulum-v1",
    clipper.TD3: "Pendulum-v1",
    clipper.DDPG: "Pendulum-v1",
    clipper.DQN: "CartPole-v1",
    clipper.PDQN: "clipper/Platform-v0",
    clipper.MPDQN: "clipper/Platform-v0",
    clipper.PADDPG: "clipper/Platform-v0",
}
BY_TORCH = clipper.PDQN, clipper.MPDQN, clipper.PADDPG
"""Who acts by the definition."""
each_kind = pytest.mark.parametrize("kind", PLACES, ids=lambda kind: kind.__name__)


def short(kind: Any, engine: Any = "cpu", settings: Any = None, **plan: Any) -> Run:
    plan = {"policy": SMALL, "vector": "serial", "seed": 3, "total_steps": 60, "num_envs": 2} | plan
    return clipper.train(PLACES[kind], kind(**SHORT | (settings or {})), engine=engine, **plan)


@pytest.mark.parametrize(("horizon", "normalise"), [(1, False), (5, False), (1, True)])
@each_kind
def test_a_run_is_the_definition_s(kind: Any, horizon: int, normalise: bool) -> None:
    """Actions are drawn from the same numbers, row by row, so that both see the same."""
    policy, settings = dataclasses.replace(SMALL, normalise_obs=normalise), {"horizon": horizon, "learning_rate": 1e-4}
    ours, theirs = (short(kind, engine, settings, policy=policy) for engine in ("cpu", "torch"))
    assert (ours.engine.name, theirs.engine.name) == ("cpu", "torch")
    assert ours.engine.description == f"cpu (compiled kernels{'; torch acts' if kind in BY_TORCH else ''})"
    a, b = (run.learner.modules["replay"] for run in (ours, theirs))
    assert (a.written, a.size) == (b.written, b.size)
    for name in ("obs", "action", "reward"):
        for x, y in zip(*(leaves(getattr(replay.kept, name)) for replay in (a, b)), strict=True):
            np.testing.assert_allclose(x[: a.size], y[: a.size], rtol=1e-3, atol=1e-3)
    for name in ("terminated", "done", "mask"):
        assert torch.equal(getattr(a.kept, name)[: a.size], getattr(b.kept, name)[: a.size])
    assert ours.learner.extra == theirs.learner.extra
    assert int(ours.learner.extra["gradient_steps"]) > 20
    assert torch.equal(ours.learner.generator.get_state(), theirs.learner.generator.get_state())
    torch.testing.assert_close(ours.learner.parameters, theirs.learner.parameters, rtol=1e-2, atol=1e-4)
    assert ours.history[-1].keys() == theirs.history[-1].keys()


@pytest.mark.parametrize("normalise", [False, True])
@each_kind
def test_a_run_that_is_broken_off_goes_on_bit_for_bit(kind: Any, normalise: bool, tmp_path: Path) -> None:
    policy = dataclasses.replace(SMALL, normalise_obs=normalise)
    whole = short(kind, policy=policy)
    short(kind, policy=policy, run_dir=tmp_path, callback=lambda run: run.learned < 36)
    run = clipper.train(resume=tmp_path, policy=policy)
    assert run.exact
    assert run.engine.name == "cpu"
    ours, theirs = run.learner.state_dict(), whole.learner.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(x, theirs[name]) for name, x in ours.items())


def test_choices_without_arguments_or_with_layer_norm_are_torch_s() -> None:
    plan: Any = {"total_steps": 4, "engine": "auto"}
    normed = dataclasses.replace(SMALL, layer_norm=True)
    run = clipper.train("clipper/Platform-v0", clipper.MPDQN(**SHORT), policy=normed, **plan)
    assert run.engine.description == "torch (a trunk holds a LayerNorm)"
    bare = gymnasium.spaces.OneOf([Discrete(1), Discrete(1)])
    policy = make_policy(Box(-1, 1, (3,)), bare, clipper.PDQN().policy_options(SMALL), torch.Generator())
    with pytest.raises(UnsuitableError, match="no choice has arguments"):
        read_replayed(clipper.PDQN(), clipper.PDQN().init(policy))


def test_whole_episodes_are_collected_too() -> None:
    run = short(clipper.TD3)
    rollouts = clipper.VectorRollouts(clipper.make_env("Pendulum-v1", 2), 0)
    steps, _ = rollouts.collect(run.engine.actor, episodes=3)
    assert int(steps.done.sum()) == 3
    assert int(steps.mask.sum()) == 600
    assert steps.log_prob.isnan().all()


class Own(clipper.SAC):
    """An algorithm of one's own."""


class Doubled(clipper.ActorCritic):
    """A policy of one's own."""


def odd() -> nn.Module:
    env = clipper.make_env("Pendulum-v1", 1)
    spaces = env.single_observation_space, env.single_action_space
    made = clipper.make_policy(*spaces, clipper.SAC().policy_options(SMALL), torch.Generator().manual_seed(0))
    policy = Doubled(made.encoder, made.actor, made.critic, made.head, made.value_layer)
    policy.options = made.options
    return policy


@pytest.mark.parametrize(
    ("algorithm", "policy", "reason"),
    [
        (Own, SMALL, "kernels know no Own"),
        (clipper.SAC, odd(), "a Doubled is no ActorCritic"),
        (clipper.SAC, dataclasses.replace(SMALL, layer_norm=True), "a trunk holds a LayerNorm"),
        (clipper.SAC, dataclasses.replace(SMALL, hidden=(513,)), "wider than 512, where kernels gain little"),
        (clipper.TD3, dataclasses.replace(SMALL, critic_hidden=(600,)), "wider than 512, where kernels gain little"),
        (
            clipper.SAC, dataclasses.replace(SMALL, head=clipper.HeadOptions(std=clipper.networks.heads.Fixed())),
            "its head's σ is a PlannedLogStd",
        ),
        (lambda **k: clipper.TD3(optimizer=RMSPropTF(), **k), SMALL, "kernels know no optimizer=RMSPropTF"),
        (clipper.DDPG, dataclasses.replace(SMALL, head=WITHOUT_TANH), "its head is deterministic without a tanh"),
    ],
    ids=["own", "policy", "layer norm", "wide", "wide critics", "sigma", "optimizer", "no tanh"],
)  # fmt: skip
def test_what_does_not_fit_is_run_by_torch_with_the_reason(algorithm: Any, policy: Any, reason: str) -> None:
    plan: Any = {"policy": policy, "total_steps": 4}
    run = clipper.train("Pendulum-v1", algorithm(**SHORT), engine="auto", **plan)
    assert run.engine.name == "torch"
    assert re.search(re.escape(reason), run.engine.description)
    with pytest.raises(ConfigError, match=f"engine 'cpu' cannot run this: .*{re.escape(reason)}"):
        clipper.train("Pendulum-v1", algorithm(**SHORT), engine="cpu", **plan)

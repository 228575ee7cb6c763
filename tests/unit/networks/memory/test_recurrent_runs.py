"""Runs with a memory: prediction, evaluation, checkpoints, resumption, settings, engines."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from kinds import KINDS

import clipper
from clipper.cli.command_options import Train, parse
from clipper.environments import make
from clipper.errors import ConfigError, CorruptCheckpointError
from clipper.networks.heads import HeadOptions
from clipper.networks.heads.state_dependent import GSDE
from clipper.networks.make_policy import make_policy
from clipper.networks.memory import GRU, LSTM, Transformer, memory_of
from clipper.networks.policy_options import PolicyOptions
from clipper.runs.load import check_size
from clipper.settings.config import Config
from clipper.settings.config_json import from_json, to_json

MASKED = "clipper/RepeatPreviousMasked-v0"


def options(kind: str, **more: Any) -> PolicyOptions:
    return PolicyOptions(hidden=(6,), memory=KINDS[kind], **more)


def stop_after(iteration: int):
    return lambda run: run.iteration < iteration


@pytest.mark.parametrize(
    ("kind", "env", "more"),
    [
        ("lstm", "clipper/CartPoleHidden-v0", {}),
        ("gru", MASKED, {"shared": True}),
        ("transformer", "Pendulum-v1", {}),
        ("lstm", "Pendulum-v1", {"head": HeadOptions(distribution=GSDE(3))}),
    ],
    ids=["lstm", "gru, masked", "transformer", "lstm and gsde"],
)
def test_a_run_with_a_memory_is_resumed_bit_for_bit(kind: str, env: str, more: dict, tmp_path: Path) -> None:
    plan: Any = {
        "total_steps": 10_000,
        "num_envs": 3,
        "eval_every": 40,
        "eval_episodes": 2,
        "policy": options(kind, **more),
    }
    algorithm = clipper.PPO(horizon=8, epochs=2, minibatches=2)
    whole = clipper.train(env, algorithm, run_dir=tmp_path / "whole", callback=stop_after(8), **plan)
    clipper.train(env, algorithm, run_dir=tmp_path / "halved", callback=stop_after(4), **plan)
    resumed = clipper.train(resume=tmp_path / "halved", callback=stop_after(8))
    assert resumed.exact
    ours, theirs = whole.state_dict(), resumed.state_dict()
    assert ours[0].keys() == theirs[0].keys()
    assert any(name.startswith("rollouts.memory.") and x.any() for name, x in ours[0].items())
    assert all(torch.equal(x, theirs[0][name]) for name, x in ours[0].items())
    loaded = clipper.load(tmp_path / "whole")
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), whole.policy.parameters(), strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("env", ["clipper/CartPoleHidden-v0", MASKED])
def test_prediction_step_by_step_is_what_evaluation_plays(env: str, kind: str) -> None:
    single = gymnasium.make(env)
    policy = make_policy(single.observation_space, single.action_space, options(kind), torch.Generator().manual_seed(2))
    expected = clipper.evaluate(policy, env, episodes=3, seed=5, num_envs=1)
    memory, returns = (), []
    obs, info = single.reset(seed=5)
    for _ in range(3):
        begins, total, ended = True, 0.0, False
        while not ended:
            action, memory = policy.predict(obs, action_mask=info.get("action_mask"), memory=memory, begins=begins)
            obs, reward, terminated, truncated, info = single.step(action)
            begins, total, ended = False, total + float(reward), terminated or truncated
        returns.append(total)
        obs, info = single.reset()
    np.testing.assert_allclose(returns, expected.returns, atol=1e-6)


def test_a_batch_of_predictions_forgets_where_an_episode_begins() -> None:
    single = gymnasium.make("clipper/CartPoleHidden-v0")
    policy = make_policy(single.observation_space, single.action_space, options("lstm"), torch.Generator())
    obs = np.array([[0.1, 0.2], [0.3, -0.1]], np.float32)
    _, fresh = policy.predict(obs, memory=())
    _, memory = policy.predict(obs, memory=fresh)
    _, mixed = policy.predict(obs, memory=memory, begins=np.array([True, False]))
    _, on = policy.predict(obs, memory=memory)
    for new, old, after in zip(fresh[:2], on[:2], mixed[:2], strict=True):
        assert torch.equal(after[0], new[0])
        assert torch.allclose(after[1], old[1])
        assert not torch.allclose(old, new)
    with pytest.raises(ValueError, match="this policy has a memory"):
        policy.predict(obs)


def test_a_policy_without_a_memory_takes_one_all_the_same() -> None:
    single = gymnasium.make("CartPole-v1")
    policy = make_policy(single.observation_space, single.action_space, PolicyOptions(), torch.Generator())
    obs = np.zeros(4, np.float32)
    assert policy.predict(obs, memory=()) == (policy.predict(obs), ())


def test_names_values_and_text_mean_the_same() -> None:
    def built(memory: Any) -> Any:
        single = gymnasium.make("CartPole-v1")
        chosen = PolicyOptions(memory=memory)
        return make_policy(single.observation_space, single.action_space, chosen, torch.Generator().manual_seed(0))

    for name, value in {"lstm": LSTM(), "gru": GRU(), "transformer": Transformer()}.items():
        named, given = built(name), built(value)
        assert all(torch.equal(a, b) for a, b in zip(named.parameters(), given.parameters(), strict=True))
    for text, expected in {
        "lstm": LSTM(), "gru(16)": GRU(16), "transformer(32,8,2)": Transformer(32, 8, 2), "none": None,
    }.items():  # fmt: skip
        config = parse(Train, ["--memory", text], "clipper", Train(config=Config(env="CartPole-v1"))).config
        assert config.policy.memory == expected
        assert from_json(to_json(config), Config) == config
    named = Config(env="CartPole-v1", policy=PolicyOptions(memory="gru"))
    assert from_json(to_json(named), Config) == named


BAD_SIZES: dict[str, Any] = {
    "no lstm": lambda: LSTM(0),
    "huge gru": lambda: GRU(10**9),
    "no window": lambda: Transformer(window=0),
    "uneven heads": lambda: Transformer(10, heads=4),
    "negative burn-in": lambda: LSTM(burn_in=-1),
    "too deep": lambda: Transformer(layers=10**6),
}


@pytest.mark.parametrize("name", BAD_SIZES)
def test_sizes_that_no_memory_has_are_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        BAD_SIZES[name]()


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="no memory 'ltsm'"):
        memory_of("ltsm")


def test_minibatches_need_as_many_environments() -> None:
    with pytest.raises(ConfigError, match="minibatches are whole environments"):
        clipper.train("CartPole-v1", clipper.PPO(minibatches=4), policy=options("lstm"), num_envs=2, total_steps=100)


@pytest.mark.parametrize("memory", [LSTM(16_000), GRU(16_000), Transformer(16_000, 1000, 1, 100)])
def test_a_memory_far_larger_than_its_file_is_refused_before_it_is_made(memory: Any) -> None:
    run = clipper.train("CartPole-v1", clipper.PPO(horizon=8), policy=options("lstm"), num_envs=4, total_steps=32)
    tensors, values = run.state_dict()
    check_size(run.config, tensors, values)
    config = Config(env="CartPole-v1", policy=PolicyOptions(hidden=(6,), memory=memory), num_envs=4)
    with pytest.raises(CorruptCheckpointError, match="not what the checkpoint holds"):
        check_size(config, tensors, values)


def test_kernels_say_why_they_do_not_run_a_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLIPPER_ENGINE")
    with pytest.raises(ConfigError, match="memory"):
        clipper.train("CartPole-v1", policy=options("transformer"), engine="cpu", total_steps=100)


def test_repeat_previous_pays_for_what_was_shown() -> None:
    for env, others in (("clipper/RepeatPrevious-v0", 4), (MASKED, 3)):
        single: Any = gymnasium.make(env)
        obs, info = single.reset(seed=0)
        shown, total, legal = [int(obs.argmax())], 0.0, []
        for t in range(32):
            right = shown[t - 3] if t >= 3 else 0
            mask = info.get("action_mask", np.ones(4, dtype=bool))
            assert mask.sum() == others
            assert mask[right] or t < 3
            legal.append(mask)
            obs, reward, terminated, truncated, info = single.step(right)
            assert reward == pytest.approx(1 / 29 if t >= 3 else 0)
            shown.append(int(obs.argmax()))
            total += float(reward)
            assert terminated == (t == 31)
            assert not truncated
        assert total == pytest.approx(1)


def test_velocities_are_hidden() -> None:
    hidden, whole = gymnasium.make("clipper/CartPoleHidden-v0"), gymnasium.make("CartPole-v1")
    a, b = hidden.reset(seed=3)[0], whole.reset(seed=3)[0]
    for action in (0, 1, 1, 0):
        assert np.array_equal(a, b[[0, 2]])
        assert hidden.observation_space.contains(a)
        a, b = hidden.step(action)[0], whole.step(action)[0]
    assert make("clipper/CartPoleHidden-v0", 2).single_observation_space.shape == (2,)

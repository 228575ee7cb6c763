"""The Python interface: every way to name an environment and a policy, callbacks, predicting, evaluating, loading."""

import gc
import json
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from torch import nn

import clipper
from clipper.environments.make import EnvSource
from clipper.errors import ConfigError, CorruptCheckpointError, NonFiniteError
from clipper.runs.run import Run

QUICK = clipper.PPO(horizon=32, epochs=1)
TINY = clipper.PolicyOptions(hidden=(8,))


def cartpole() -> gymnasium.Env:
    return gymnasium.make("CartPole-v1")


def train_quickly(env: EnvSource = "CartPole-v1", **options) -> Run:
    plan: dict[str, Any] = {"algorithm": QUICK, "policy": TINY, "total_steps": 256}
    plan |= {} if isinstance(env, VectorEnv) else {"num_envs": 2}
    return clipper.train(env, **plan | options)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_ready_vector_environments(mode: AutoresetMode) -> None:
    vector = SyncVectorEnv([cartpole] * 3, autoreset_mode=mode)
    run = train_quickly(vector)
    assert run.config.num_envs == 3
    assert run.config.env == "<gymnasium.vector.sync_vector_env.SyncVectorEnv>"
    assert run.steps >= 256
    vector.close()


def test_a_natively_vectorised_environment() -> None:
    vector = gymnasium.make_vec("CartPole-v1", num_envs=4, vectorization_mode="vector_entry_point")
    run = train_quickly(vector)
    assert run.config.env == "CartPole-v1"
    assert run.steps >= 256


def test_a_factory_names_itself_in_the_settings() -> None:
    run = train_quickly(cartpole)
    assert run.config.env == "<test_train.cartpole>"
    assert run.evaluate(episodes=3).returns.shape == (3,)


def test_a_recipe_with_changes() -> None:
    run = clipper.train(clipper.recipes.cartpole(), total_steps=1024, eval_every=0, threads=1)
    assert run.config.total_steps == 1024
    assert run.config.algorithm == clipper.recipes.cartpole().algorithm


class Swapped(nn.Module):
    """A policy of one's own, built on the library's parts: features are shared and reversed."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__()
        self.inner = clipper.make_policy(
            env.observation_space,
            env.action_space,
            clipper.PolicyOptions(shared=True),
            torch.Generator().manual_seed(0),
        )

    def act(self, obs, memory=(), action_mask=()):
        return self.inner.act(obs.flip(-1), memory)

    def value(self, obs, memory=()):
        return self.inner.value(obs.flip(-1), memory)

    def forward(self, obs, memory=(), action_mask=()):
        return self.inner(obs.flip(-1), memory)

    def to_env(self, action, action_mask=()):
        return self.inner.to_env(action)

    def absorb(self, obs, returns) -> None:
        self.inner.absorb(obs, returns)


def test_a_policy_of_ones_own(tmp_path: Path) -> None:
    policy = Swapped(cartpole())
    before = [p.detach().clone() for p in policy.parameters()]
    run = train_quickly(policy=policy, run_dir=tmp_path / "run")
    assert run.policy is policy
    assert not any(torch.equal(a, b) for a, b in zip(before, policy.parameters(), strict=True))
    with pytest.raises(ConfigError, match="policy module of your own"):
        clipper.load(tmp_path / "run")
    loaded = clipper.load(tmp_path / "run", policy=Swapped(cartpole()))
    for a, b in zip(policy.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(a, b)


def test_callbacks_see_every_iteration_and_can_stop_the_run() -> None:
    seen: list[int] = []

    def watch(run: Run) -> None:
        seen.append(run.iteration)

    run = train_quickly(total_steps=10_000, callback=[lambda run: run.iteration < 3, watch])
    assert seen == [1, 2, 3]
    assert run.iteration == 3


def test_predict_single_and_batched() -> None:
    run = train_quickly()
    obs = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    batch = run.policy.predict(obs)
    assert batch.shape == (5,)
    assert [int(run.policy.predict(x)) for x in obs] == batch.tolist()
    assert run.policy.predict(obs[0]) in gymnasium.spaces.Discrete(2)
    drawn = {int(run.policy.predict(obs[0], deterministic=False)) for _ in range(200)}
    assert drawn == {0, 1}
    with pytest.raises(ValueError, match=r"observation of shape \(3,\)"):
        run.policy.predict(obs[0, :3])


def test_predicted_box_actions_are_in_the_space() -> None:
    run = train_quickly("Pendulum-v1")
    space = gymnasium.make("Pendulum-v1").action_space
    for _ in range(50):
        action = run.policy.predict(np.zeros(3, np.float32), deterministic=False)
        assert action in space


def test_what_a_run_leaves(tmp_path: Path) -> None:
    run = train_quickly(run_dir=tmp_path / "run", eval_every=128, eval_episodes=3)
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"config.json", "metrics.jsonl", "checkpoint.safetensors", "best.safetensors", "curve.png"} <= left
    assert list((tmp_path / "run" / "tensorboard").iterdir())
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["iteration"] for row in rows] == list(range(1, run.iteration + 1))
    assert rows[-1]["steps"] == run.steps
    assert sum("eval/return" in row for row in rows) >= 2
    obs = np.zeros((3, 4), np.float32)
    for best in (False, True):
        assert clipper.load(tmp_path / "run", best=best).predict(obs).shape == (3,)
    same = clipper.load(tmp_path / "run")
    for a, b in zip(run.policy.parameters(), same.parameters(), strict=True):
        assert torch.equal(a, b)


def test_evaluation_leaves_training_alone() -> None:
    plain = train_quickly(total_steps=1024)
    evaluated = train_quickly(total_steps=1024, eval_every=64, eval_episodes=5)
    ours, theirs = plain.state_dict()[0], evaluated.state_dict()[0]
    assert all(torch.equal(x, theirs[name]) for name, x in ours.items())


def test_evaluate_equals_playing_by_hand(tmp_path: Path) -> None:
    run = train_quickly(run_dir=tmp_path / "run")
    expected = []
    for episode in range(3):
        env = gymnasium.make("CartPole-v1")
        obs, _ = env.reset(seed=7 + episode)
        total, over = 0.0, False
        while not over:
            obs, reward, terminated, truncated, _ = env.step(run.policy.predict(obs))
            total, over = total + float(reward), terminated or truncated
        expected.append(total)
    for subject in (run, tmp_path / "run", str(tmp_path / "run")):
        result = clipper.evaluate(subject, episodes=3, seed=7)
        assert result.returns.tolist() == expected
        assert result.lengths.tolist() == expected
        assert result.mean == np.mean(expected)
        assert result.std == np.std(expected)
    assert clipper.evaluate(run.policy, "CartPole-v1", episodes=3, seed=7).returns.tolist() == expected
    with pytest.raises(ConfigError, match="name its environment"):
        clipper.evaluate(run.policy)


def test_seeds_decide_everything() -> None:
    first, second, other = (train_quickly(seed=seed).learner.parameters for seed in (3, 3, 4))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_nothing_draws_from_the_global_generators() -> None:
    def states() -> tuple[bytes, bytes]:
        numpys: dict = dict(np.random.get_state(legacy=False))
        return torch.random.get_rng_state().numpy().tobytes(), numpys["state"]["key"].tobytes()

    before = states()
    train_quickly(eval_every=64)
    assert states() == before


def test_until_solved_stops_at_the_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    def perfect(run: Run, episodes: int, **_: object) -> clipper.Evaluation:
        return clipper.Evaluation(np.full(episodes, 500.0), np.full(episodes, 500))

    monkeypatch.setattr(Run, "evaluate", perfect)
    run = train_quickly(total_steps=10_000, eval_every=200, until_solved=True)
    assert run.solved
    assert 200 <= run.steps < 400


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_envs": 0}, "num_envs must be at least 1"),
        ({"num_envs": 1, "algorithm": clipper.PPO(horizon=2, minibatches=4)}, "cannot be split into 4 minibatches"),
        ({"until_solved": True}, "set eval_every"),
        ({"device": "cuda:99"}, "device 'cuda:99' cannot be used here"),
        ({"seed": -1}, "seed must be from 0"),
    ],
)
def test_impossible_settings_are_refused_before_training(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        train_quickly(**options)


def test_a_folder_with_a_run_is_not_overwritten(tmp_path: Path) -> None:
    train_quickly(run_dir=tmp_path)
    with pytest.raises(ConfigError, match="already holds a run"):
        train_quickly(run_dir=tmp_path)
    with pytest.raises(CorruptCheckpointError, match="no run"):
        clipper.train(resume=tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="needs an environment"):
        clipper.train()


def test_a_broken_policy_is_not_saved(tmp_path: Path) -> None:
    def poison(run: Run) -> None:
        if run.iteration == 3:
            with torch.no_grad():
                run.learner.parameters.fill_(torch.nan)

    with pytest.raises(NonFiniteError, match="not finite, by iteration 4: the last checkpoint is still good"):
        train_quickly(run_dir=tmp_path, callback=poison, checkpoint_every=100)
    weights = clipper.load(tmp_path).state_dict()
    assert all(x.isfinite().all() for x in weights.values())


def test_reinforce_collects_whole_episodes() -> None:
    run = train_quickly(algorithm=clipper.Reinforce(episodes=6), total_steps=400)
    assert all(row["episode/count"] == 6 for row in run.history)


def test_the_researchers_loop() -> None:
    env = clipper.make_env("CartPole-v1", num_envs=4)
    policy = clipper.make_policy(
        env.single_observation_space, env.single_action_space, TINY, torch.Generator().manual_seed(0)
    )
    learner = QUICK.init(policy)
    state = clipper.VectorRollouts(env, seed=0)
    for _ in range(3):
        steps, _ = state.collect(policy, horizon=QUICK.horizon)
        metrics = QUICK.update(learner, steps, state.obs)
        assert steps.reward.shape == (32, 4)
        assert metrics["policy/kl"] >= 0


def test_a_partial_can_be_the_factory() -> None:
    assert train_quickly(partial(gymnasium.make, "CartPole-v1")).steps >= 256


def test_the_garbage_collector_is_left_as_it_was() -> None:
    """What imports left is set aside while a run lasts; what the caller had set aside stays there."""
    seen: list[int] = []
    train_quickly(callback=lambda _: seen.append(gc.get_freeze_count()))
    assert min(seen) > 0
    assert gc.get_freeze_count() == 0
    gc.freeze()
    try:
        before = gc.get_freeze_count()
        train_quickly()
        assert gc.get_freeze_count() > 0.9 * before > 0  # some die without being looked for
    finally:
        gc.unfreeze()

"""Rows of agents that end at different times are exact, and cost nothing once they have ended."""

from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from scripted_agents import Script, SideBySide, rollouts_of

import clipper
from clipper.data.trees import each
from clipper.errors import ConfigError
from clipper.functional.returns import gae

F, T = False, True
SMALL = clipper.PolicyOptions(hidden=(16,))


def test_rows_and_advantages_are_those_of_a_table_made_by_hand() -> None:
    # Agent 0 terminates in step 2, agent 1 is truncated in step 3; row 3 resets, row 4 begins the next episode.
    rollouts, policy = rollouts_of(clipper.Agents(Script, 1, agent_id=False))
    steps, last_obs = rollouts.collect(policy, horizon=5)
    assert steps.mask.tolist() == [[T, T], [T, T], [F, T], [F, F], [T, T]]
    assert steps.done.tolist() == [[F, F], [T, F], [F, T], [F, F], [F, F]]
    assert steps.terminated.tolist() == [[F, F], [T, F], [F, F], [F, F], [F, F]]
    assert steps.reward.tolist() == [[1, 11], [2, 12], [0, 13], [0, 0], [1, 11]]
    assert steps.obs[:, 0].tolist() == [[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 2], [0, 0, 0, 0], [0, 0, 1, 0]]
    assert steps.obs[:, 1].tolist() == [[0, 1, 0, 0], [0, 1, 0, 1], [0, 1, 0, 2], [0, 1, 0, 3], [0, 1, 1, 0]]
    assert last_obs.tolist() == [[0, 0, 1, 1], [0, 1, 1, 1]]
    assert rollouts.steps == 7

    # V = 1 everywhere, γ = λ = ½, rewards 1, 2 and 1, 1, 1. Agent 0: δ₁ = 2 − 1, Â₀ = (1 + ½ − 1) + ¼ · 1 = 0.75.
    # Agent 1: δ₂ = 1 + ½ − 1 bootstraps, Â₁ = ½ + ¼ · ½ = 0.625, Â₀ = ½ + ¼ · 0.625 = 0.65625.
    reward = torch.tensor([[1.0, 1], [2, 1], [0, 1], [0, 0], [1, 1]])
    advantage = gae(reward, torch.ones(6, 2), steps.terminated, steps.done, steps.mask, 0.5, 0.5)
    assert advantage.tolist() == [[0.75, 0.65625], [1, 0.625], [0, 0.5], [0, 0], [0.5, 0.5]]


def test_environments_of_agents_interleave_by_environment_and_then_by_agent() -> None:
    env = clipper.Agents([partial(Script, i, (2 + i, 3)) for i in range(3)], agent_id=False)
    assert env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    rollouts, policy = rollouts_of(env)
    steps, _ = rollouts.collect(policy, horizon=4)
    assert steps.obs[0, :, :2].tolist() == [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1]]
    assert steps.mask.sum(0).tolist() == [2, 3, 3, 3, 4, 3]
    for e, one in enumerate(env.worlds):
        given = [int(actions["agent_1"]) for actions in one.steps[:3]]  # pyright: ignore[reportAttributeAccessIssue]
        assert given == steps.action[:3, 2 * e + 1].tolist()


@pytest.mark.parametrize(
    ("ends", "mask"),
    [
        ((2, 2), [[T, T], [T, T], [F, F], [T, T], [T, T], [F, F]]),  # together
        ((1, 3), [[T, T], [F, T], [F, T], [F, F], [T, T], [F, T]]),  # in the first step
        ((1, 1), [[T, T], [F, F], [T, T], [F, F], [T, T], [F, F]]),
    ],
)
def test_who_decides(ends: tuple[int, int], mask: list[list[bool]]) -> None:
    rollouts, policy = rollouts_of(clipper.Agents(partial(Script, 0, ends), 1))
    assert rollouts.collect(policy, horizon=6)[0].mask.tolist() == mask


def test_a_segment_may_end_while_some_agents_have_ended() -> None:
    whole, policy = rollouts_of(clipper.Agents(partial(Script, 0, (1, 4)), 2))
    parts, _ = rollouts_of(clipper.Agents(partial(Script, 0, (1, 4)), 2))
    steps = whole.collect(policy, horizon=12)[0]
    pieces = [parts.collect(policy, horizon=3)[0] for _ in range(4)]
    for name in ("obs", "mask", "done", "terminated", "reward"):
        assert torch.equal(getattr(steps, name), torch.cat([getattr(piece, name) for piece in pieces])), name


def test_an_agent_that_an_episode_begins_without_has_no_rows() -> None:
    rollouts, policy = rollouts_of(clipper.Agents(partial(Script, 0, (2, 3), (1,)), 1))
    steps = rollouts.collect(policy, episodes=2)[0]
    assert not steps.mask[:, 0].any()
    assert steps.obs[:, 0].eq(0).all()
    assert [(e.total, e.length) for e in rollouts.episodes] == [(11 + 12 + 13, 3)] * 2


def test_nothing_reads_what_stands_in_rows_of_agents_that_have_ended() -> None:
    def trained(fill: float) -> torch.Tensor:
        env = clipper.Agents(partial(Script, 0, (2, 5)), 4)
        rollouts, policy = rollouts_of(env)
        algorithm = clipper.PPO(horizon=16, epochs=2)
        learner = algorithm.init(policy)
        for _ in range(3):
            steps, last_obs = rollouts.collect(policy, horizon=16)
            read = steps.mask.clone()
            read[1:] |= (steps.done & ~steps.terminated)[:-1]  # a truncated episode's last observation
            dead = ~read
            assert dead.any()
            obs = each(lambda x, dead=dead: x.masked_fill(dead[..., None], fill), steps.obs)
            numbers = {name: getattr(steps, name).masked_fill(dead, fill) for name in ("reward", "log_prob")}
            algorithm.update(learner, steps._replace(obs=obs, **numbers), last_obs)
        return learner.parameters.detach()

    assert torch.equal(trained(0.0), trained(float("nan")))


def test_one_agent_is_the_same_environment_without_the_adapter() -> None:
    many = clipper.Agents(partial(SideBySide, "CartPole-v1", 1), 4, agent_id=False)
    settings: Any = {"total_steps": 800, "seed": 3}
    algorithm = clipper.PPO(horizon=64, epochs=2)
    ours = clipper.train(many, algorithm, policy=SMALL, **settings)
    plain = clipper.train("CartPole-v1", algorithm, policy=SMALL, num_envs=4, vector="serial", **settings)
    assert torch.equal(ours.learner.parameters, plain.learner.parameters)
    assert [row["episode/return"] for row in ours.history] == [row["episode/return"] for row in plain.history]


def test_agents_that_share_a_policy_are_as_many_more_columns() -> None:
    many = clipper.Agents(partial(SideBySide, "Pendulum-v1", 2), 2, agent_id=False)
    settings: Any = {"total_steps": 2400, "seed": 0}
    algorithm = clipper.PPO(horizon=150, epochs=1)
    ours = clipper.train(many, algorithm, policy=SMALL, **settings)
    plain = clipper.train("Pendulum-v1", algorithm, policy=SMALL, num_envs=4, vector="serial", **settings)
    assert torch.equal(ours.learner.parameters, plain.learner.parameters)


def test_returns_are_the_team_s_and_each_agent_s() -> None:
    for shares in (False, True):
        env = clipper.Agents(partial(Script, 0, (2, 3)), 2, team_reward=shares)
        rollouts, policy = rollouts_of(env)
        steps, _ = rollouts.collect(policy, horizon=4)
        own, other = 1 + 2, 11 + 12 + 13
        assert [(e.env, e.total, e.length) for e in rollouts.episodes] == [(0, own + other, 3), (2, own + other, 3)]
        assert rollouts.metrics["env/steps"] == 6
        if shares:
            assert steps.reward[:4, 0].tolist() == [12, 14, 0, 0]
            own, other = 12 + 14, 12 + 14 + 13
        assert rollouts.metrics["episode/return/agent_0"] == own
        assert rollouts.metrics["episode/return/agent_1"] == other


def test_an_evaluation_counts_episodes_of_teams() -> None:
    env = clipper.Agents(partial(Script, 0, (2, 3)), 3)
    _, policy = rollouts_of(env)
    evaluation = clipper.evaluate(policy, clipper.Agents(partial(Script, 0, (2, 3)), 3), episodes=7)
    assert np.array_equal(evaluation.returns, [39.0] * 7)
    assert np.array_equal(evaluation.lengths, [3] * 7)


def test_the_state_and_what_all_see_are_for_the_critic() -> None:
    env = clipper.Agents(partial(Script, 0, (2, 3)), 1, state="observations")
    obs, _ = env.reset()
    assert obs["observation"].tolist() == [[0, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, 1]]
    assert obs["state"].tolist() == [[0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1]] * 2
    for _ in range(3):
        obs, *_ = env.step(np.zeros(2, np.int64))
    assert obs["state"].tolist() == [[0] * 12, [0] * 6 + [0, 1, 0, 3, 0, 1]]  # agent 0 ended a step ago
    options = clipper.PolicyOptions(hidden=(8,), encoder=clipper.EncoderOptions(critic_only=("state",)))
    run = clipper.train(env, clipper.PPO(horizon=8), policy=options, total_steps=40)
    first = next(p for p in run.policy.actor_parameters() if p.ndim == 2)
    assert first.shape == (8, 6)


def test_both_engines_keep_the_same_rows() -> None:
    def rows(engine: Literal["torch", "cpu"]) -> list[torch.Tensor]:
        env = clipper.Agents([partial(Script, i, (1 + i, 4)) for i in range(3)])
        run = clipper.train(env, clipper.PPO(horizon=5), policy=SMALL, total_steps=50, engine=engine)
        steps, last_obs = run.rollouts.collect(run.engine.actor, horizon=9)
        return [steps.mask, steps.done, steps.terminated, steps.reward, steps.obs, last_obs, torch.tensor(run.steps)]

    for ours, theirs in zip(rows("torch"), rows("cpu"), strict=True):
        assert torch.equal(ours, theirs)


def test_a_resumed_run_equals_the_one_that_went_on(tmp_path: Path) -> None:
    def env() -> clipper.Agents:
        return clipper.Agents([partial(Script, i, (2, 5 + i)) for i in range(2)])

    algorithm = clipper.PPO(horizon=6, epochs=2)
    whole = clipper.train(env(), algorithm, policy=SMALL, total_steps=120, run_dir=tmp_path / "whole")
    halves = clipper.train(
        env(),
        algorithm,
        policy=SMALL,
        total_steps=120,
        run_dir=tmp_path / "half",
        callback=lambda run: run.iteration < 3,
    )
    assert halves.steps < whole.steps
    halves = clipper.train(env(), resume=tmp_path / "half")
    ours, theirs = whole.state_dict()[0], halves.state_dict()[0]
    assert ours.keys() == theirs.keys()
    for name, x in ours.items():
        assert torch.equal(x, theirs[name]), name
    without_time = [
        [{k: x for k, x in row.items() if "time" not in k} for row in run.history] for run in (whole, halves)
    ]
    assert without_time[0] == without_time[1]


def test_a_run_says_that_there_are_other_agents_and_goes_on_with_other_environments(tmp_path: Path) -> None:
    def env(ends: tuple[int, ...], number: int) -> clipper.Agents:
        return clipper.Agents(partial(Script, 0, ends), number, agent_id=False)

    algorithm = clipper.PPO(horizon=8, epochs=1, rewards=clipper.rewards.Scaled())
    folder = tmp_path / "run"
    begun = clipper.train(env((2, 5), 3), algorithm, policy=SMALL, total_steps=100, run_dir=folder)
    with pytest.raises(ConfigError, match="2 agents, and those handed over 3"):
        clipper.train(env((2, 5, 4), 2), resume=folder, total_steps=200)
    run = clipper.train(env((2, 5), 5), resume=folder, total_steps=200)
    assert not run.exact
    assert run.steps >= 200
    assert run.rollouts.metrics["env/steps"] > begun.rollouts.metrics["env/steps"]

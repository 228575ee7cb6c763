"""Agents that share no parameters learn as if each trained alone; groups share theirs, and no others."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from scripted_agents import Script, SideBySide

import clipper
from clipper.cli.commands import run_command
from clipper.data.trees import each
from clipper.errors import ConfigError
from clipper.learning.of_agents import LearnerOfAgents, learner_of
from clipper.networks.export import export_onnx
from clipper.networks.make_policy import make_policy
from clipper.networks.of_agents import PolicyOfAgents
from clipper.rollout.vector_rollouts import VectorRollouts
from clipper.unroll import UnrollError, unroll

SMALL = clipper.PolicyOptions(hidden=(8,))
APART = dataclasses.replace(SMALL, agents="separate")
ALGORITHMS: dict[str, Any] = {
    "ppo": clipper.PPO(horizon=16, epochs=2, max_grad_norm=0.1),
    "a2c": clipper.A2C(horizon=16),
    "trpo": clipper.TRPO(horizon=16, value_epochs=1, cg_iterations=4, rewards=clipper.rewards.Scaled()),
}


def parts(algorithm: Any, groups: tuple[str, ...], ends: tuple[int, ...]) -> tuple[LearnerOfAgents, VectorRollouts]:
    rollouts = VectorRollouts(clipper.Agents(partial(Script, 0, ends), 3), 0)
    options = dataclasses.replace(SMALL, agents=groups, normalise_obs=True)
    spaces = rollouts.single_observation_space, rollouts.single_action_space
    policy = make_policy(*spaces, options, torch.Generator().manual_seed(0))
    learner = learner_of(algorithm, policy, 0)
    assert isinstance(learner, LearnerOfAgents)
    return learner, rollouts


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("groups", [("a", "b", "c"), ("a", "b", "a")], ids=["separate", "groups"])
def test_each_group_learns_as_it_would_alone(name: str, groups: tuple[str, ...]) -> None:
    """From its own columns, found here by counting, with an algorithm and a learner that know of no others."""
    algorithm = ALGORITHMS[name]
    learner, rollouts = parts(algorithm, groups, (2, 5, 4))
    whole: Any = learner.policy
    alone = []
    for member, own in zip(whole.policies, learner.members, strict=True):
        copy = make_policy(member.encoder.space, member.action_space, member.options, torch.Generator().manual_seed(1))
        copy.load_state_dict(member.state_dict())
        alone.append(algorithm.init(copy, seed=0))
        alone[-1].generator.set_state(own.generator.get_state())
    for _ in range(2):
        steps, last_obs = rollouts.collect(whole, horizon=16)
        for g, one in enumerate(alone):
            mine = [c for c in range(9) if sorted(set(groups)).index(groups[c % 3]) == g]
            algorithm.update(one, each(lambda x, mine=mine: x[:, mine], steps), last_obs[mine])
        algorithm.update(learner, steps, last_obs)
    for member, one in zip(whole.policies, alone, strict=True):
        for key, x in one.policy.state_dict().items():
            assert torch.equal(x, member.state_dict()[key]), key


def test_gradients_are_those_of_each_groups_own_rows() -> None:
    """One step of plain descent, without bounds: its direction is the gradient of a loss written out by hand."""
    algorithm = clipper.A2C(horizon=16, learning_rate=1e-3, max_grad_norm=float("inf"), lam=0.9)
    learner, rollouts = parts(algorithm, ("a", "b"), (3, 5))
    policy: Any = learner.policy
    steps, last_obs = rollouts.collect(policy, horizon=16)
    for g, member in enumerate(learner.members):
        own = each(lambda x, g=g: x[:, g::2], steps)
        made = algorithm.targets(member, own, last_obs[g::2])
        total, count = torch.zeros(()), 0
        for t in range(16):
            for e in range(3):
                if own.mask[t, e]:
                    dist, value = policy.policies[g](own.obs[t, e][None])
                    log_prob = dist.logits.log_softmax(-1)[0, own.action[t, e]]
                    total = (
                        total - made.advantage[t, e] * log_prob + 0.5 * (value.mean[0] - made.value_target[t, e]) ** 2
                    )
                    count += 1
        wanted = torch.autograd.grad(total / count, list(policy.policies[g].parameters()))
        algorithm.improve(member, made)
        found = [p.grad for p in policy.policies[g].parameters()]
        for a, b in zip(found, wanted, strict=True):
            torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_who_acts_in_which_column() -> None:
    learner, rollouts = parts(ALGORITHMS["ppo"], ("a", "b", "a"), (4, 4, 4))
    policy: Any = learner.policy
    steps, last_obs = rollouts.collect(policy, horizon=4)
    for c in range(9):
        member = policy.of("ab"[c % 3 % 2])
        dist, _ = member.act(steps.obs[:, c])
        told = dist.log_prob(steps.action[:, c])
        torch.testing.assert_close(steps.log_prob[:, c][steps.mask[:, c]], told[steps.mask[:, c]])
    modes = policy.predict(last_obs.numpy())
    for c in range(9):
        assert modes[c] == policy.of("ab"[c % 3 % 2]).predict(last_obs[c].numpy())
    with pytest.raises(ConfigError, match="one for each agent"):
        policy.predict(last_obs[0].numpy())
    with pytest.raises(ConfigError, match="no group of agents 'c'"):
        policy.of("c")


def test_hybrid_actions_and_memories_go_to_their_groups(tmp_path: Path) -> None:
    """Two copies of an environment with a choice that has arguments, and one that has to be remembered."""
    for name, options in (
        ("clipper/Moving-v0", SMALL),
        ("Pendulum-v1", dataclasses.replace(SMALL, memory="gru")),
    ):
        env = clipper.Agents(partial(SideBySide, name, 2), 2)
        own = dataclasses.replace(options, agents="separate")
        run = clipper.train(env, clipper.PPO(horizon=8, epochs=1, minibatches=2), policy=own, total_steps=64)
        assert isinstance(run.policy, PolicyOfAgents)
        assert run.learner.parameters.isfinite().all()


def test_a_run_is_resumed_exactly_and_its_policy_loaded(tmp_path: Path) -> None:
    def env() -> clipper.Agents:
        return clipper.Agents(partial(Script, 0, (2, 5)), 3)

    settings: Any = {"policy": APART, "seed": 3}
    whole = clipper.train(env(), ALGORITHMS["trpo"], total_steps=200, **settings)
    clipper.train(env(), ALGORITHMS["trpo"], total_steps=100, run_dir=tmp_path / "run", **settings)
    resumed = clipper.train(env(), resume=tmp_path / "run", total_steps=200)
    assert torch.equal(whole.learner.parameters, resumed.learner.parameters)
    assert resumed.config.policy.agents == ("agent_0", "agent_1")
    policy: Any = clipper.load(tmp_path / "run")
    obs = np.random.default_rng(0).normal(size=(6, 6)).astype(np.float32)
    assert np.array_equal(policy.predict(obs), resumed.policy.predict(obs))
    one = policy.of("agent_1")
    assert [one.predict(row) for row in obs[1::2]] == policy.predict(obs)[1::2].tolist()
    with pytest.raises(ConfigError, match="groups of 2 agents"):
        clipper.train(clipper.Agents(partial(Script, 0, (2, 5, 3)), 3), resume=tmp_path / "run", total_steps=600)
    with pytest.raises(ConfigError, match="one policy"):
        export_onnx(policy, tmp_path / "x.onnx")
    with pytest.raises(ConfigError, match="has 3: play"):
        policy.check_agents(("x", "y", "z"), "another world")


def test_a_run_by_name_and_from_the_command_line(tmp_path: Path) -> None:
    words = ["clipper/Spread-v0", "--agents", "separate", "--total-steps", "400", "--num-envs", "4", "--hidden", "8"]
    assert not run_command(["train", *words, "--run-dir", str(tmp_path / "run")])
    policy: Any = clipper.load(tmp_path / "run")
    assert policy.names == ("agent_0", "agent_1")
    assert clipper.evaluate(policy, "clipper/Spread-v0", episodes=4).returns.shape == (4,)


def test_it_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLIPPER_ENGINE")
    with pytest.raises(ConfigError, match="no agents"):
        clipper.train("CartPole-v1", policy=APART, total_steps=64)
    with pytest.raises(ConfigError, match="groups of 3 agents"):
        clipper.train("clipper/Spread-v0", policy=dataclasses.replace(SMALL, agents=("a", "b", "c")), total_steps=64)
    for algorithm in (clipper.DQN(), clipper.Exploring(clipper.PPO())):
        with pytest.raises(ConfigError, match="at once"):
            clipper.train("clipper/Spread-v0", algorithm, policy=APART, total_steps=4_096)
    with pytest.raises(ConfigError, match="cannot run this"):
        clipper.train("clipper/Spread-v0", policy=APART, total_steps=64, engine="cpu")
    with pytest.raises(UnrollError, match="share no parameters"):
        unroll(clipper.Config(env="clipper/Spread-v0", policy=APART))
    with pytest.raises(ConfigError, match="no name"):
        clipper.PolicyOptions(agents=("a", ""))
    with pytest.raises(ConfigError, match="no name"):
        clipper.PolicyOptions(agents=())
    with pytest.raises(ConfigError, match="how many"):
        make_policy(Box(0, 1, (4,)), Discrete(2), APART, torch.Generator())
    learner, _ = parts(ALGORITHMS["ppo"], ("a", "b"), (2, 3))
    with pytest.raises(ConfigError, match="learn apart"):
        clipper.PPO().init(learner.policy)


def test_a_run_goes_on_with_the_options_that_it_began_with(tmp_path: Path) -> None:
    settings: Any = {"algorithm": ALGORITHMS["ppo"], "policy": APART, "num_envs": 4, "run_dir": tmp_path / "run"}
    clipper.train("clipper/Spread-v0", total_steps=200, **settings)
    run = clipper.train("clipper/Spread-v0", total_steps=400, resume="auto", **settings)
    assert run.steps >= 400
    with pytest.raises(ConfigError, match="other PolicyOptions"):
        clipper.train(resume=tmp_path / "run", policy=dataclasses.replace(SMALL, agents=("a", "b")), total_steps=600)

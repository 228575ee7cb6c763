"""HAPPO: weights by a double loop, one agent is PPO, and later agents see what earlier ones have changed."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from scripted_agents import Script, SideBySide

import clipper
from clipper.algorithms.happo import after_agent, log_ratio
from clipper.data.trees import each
from clipper.errors import ConfigError
from clipper.learning.advantages import Standardised
from clipper.learning.of_agents import LearnerOfAgents, learner_of
from clipper.networks.make_policy import make_policy
from clipper.rollout.vector_rollouts import VectorRollouts

SMALL = clipper.PolicyOptions(hidden=(8,))


def test_with_one_agent_it_is_ppo() -> None:
    settings: Any = {"horizon": 32, "epochs": 3, "advantages": Standardised("batch"), "entropy_coef": 0.01}
    trained = []
    for kind in (clipper.PPO, clipper.HAPPO):
        env = clipper.Agents(partial(SideBySide, "CartPole-v1", 1), 4, agent_id=False)
        policy = clipper.PolicyOptions(hidden=(8,), agents="separate")
        trained.append(clipper.train(env, kind(**settings), policy=policy, total_steps=512, seed=2))
    ppo, happo = trained
    assert torch.equal(ppo.learner.parameters, happo.learner.parameters)


def test_the_weights_are_products_by_a_double_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    ratios = torch.randn(5, 3, 4, generator=generator) / 3  # rows, environments, agents; as logarithms
    groups, order = [[0, 2], [1], [3]], [1, 0, 2]
    log_weight, done = torch.zeros(5, 3), list[int]()
    for g in order:
        for t in range(5):
            for e in range(3):
                product = 1.0
                for a in done:
                    product *= float(ratios[t, e, a].exp())
                assert float(log_weight[t, e].exp()) == pytest.approx(product, rel=1e-5)
        columns = torch.tensor([e * 4 + a for e in range(3) for a in groups[g]])
        log_weight = after_agent(log_weight, ratios.flatten(1)[:, columns], columns // 4)
        done += groups[g]


def test_each_agent_learns_from_what_the_earlier_ones_have_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The advantages that improvements get, beside products over policies before and after, row by row."""
    rollouts = VectorRollouts(clipper.Agents(partial(Script, 0, (2, 5, 4)), 3), 0)
    algorithm = clipper.HAPPO(horizon=16, epochs=2, learning_rate=0.02)
    options = clipper.PolicyOptions(hidden=(8,), agents=("a", "b", "c"))
    spaces = rollouts.single_observation_space, rollouts.single_action_space
    learner = learner_of(algorithm, make_policy(*spaces, options, torch.Generator().manual_seed(0)), 0)
    assert isinstance(learner, LearnerOfAgents)
    steps, last_obs = rollouts.collect(learner.behaviour, horizon=16)
    kept: list[tuple[int, Any]] = []
    improve = clipper.HAPPO.improve

    def watched(self: Any, member: Any, targets: Any) -> Any:
        kept.append((learner.members.index(member), targets))
        return improve(self, member, targets)

    monkeypatch.setattr(clipper.HAPPO, "improve", watched)
    algorithm.update(learner, steps, last_obs)
    assert sorted(i for i, _ in kept) == [0, 1, 2]
    for place, (_, targets) in enumerate(kept):
        weight = torch.ones(16, 3)
        for j, _ in kept[:place]:
            for t in range(16):
                for e in range(3):
                    if steps.mask[t, 3 * e + j]:
                        policy = learner.members[j].policy
                        dist, _ = policy.act(steps.obs[t, 3 * e + j][None])
                        new = float(dist.log_prob(steps.action[t, 3 * e + j][None]).detach())
                        weight[t, e] *= float(np.exp(new - float(steps.log_prob[t, 3 * e + j])))
        if place == 0:
            continue
        (raw,) = targets.raw
        mask = targets.steps.mask
        decided = raw[mask].double().numpy()
        unweighed = ((raw - decided.mean()) / (decided.std(ddof=1) + 1e-8)).float()
        torch.testing.assert_close(targets.advantage[mask], (weight * unweighed)[mask], atol=1e-4, rtol=1e-4)
        assert (weight - 1).abs().max() > 1e-3


def test_rows_without_a_decision_have_a_ratio_of_one() -> None:
    rollouts = VectorRollouts(clipper.Agents(partial(Script, 0, (2, 5)), 2), 0)
    algorithm = clipper.HAPPO(horizon=8)
    options = clipper.PolicyOptions(hidden=(8,), agents=("a", "b"))
    spaces = rollouts.single_observation_space, rollouts.single_action_space
    learner = learner_of(algorithm, make_policy(*spaces, options, torch.Generator().manual_seed(0)), 0)
    assert isinstance(learner, LearnerOfAgents)
    steps, _ = rollouts.collect(learner.behaviour, horizon=8)
    own = each(lambda x: x[:, 0::2], steps)
    own = own._replace(log_prob=own.log_prob.where(own.mask, float("nan")))
    with torch.no_grad():
        next(iter(learner.members[0].policy.parameters())).add_(0.1)
    found = log_ratio(learner.members[0], own)
    assert (found[~own.mask] == 0).all()
    assert (found[own.mask] != 0).any()


def test_a_run_is_resumed_exactly_and_what_cannot_be_is_refused(tmp_path: Any) -> None:
    settings: Any = {"num_envs": 4, "policy": SMALL}
    algorithm = clipper.HAPPO(horizon=21, epochs=2)
    whole = clipper.train("clipper/Spread-v0", algorithm, total_steps=600, **settings)
    clipper.train("clipper/Spread-v0", algorithm, total_steps=300, run_dir=tmp_path / "run", **settings)
    resumed = clipper.train(resume=tmp_path / "run", total_steps=600)
    assert torch.equal(whole.learner.parameters, resumed.learner.parameters)
    assert whole.config.policy.agents == ("agent_0", "agent_1")
    with pytest.raises(ConfigError, match="no agents"):
        clipper.train("CartPole-v1", algorithm, total_steps=64)
    with pytest.raises(ConfigError, match="units already"):
        clipper.HAPPO(advantages=Standardised("minibatch"))

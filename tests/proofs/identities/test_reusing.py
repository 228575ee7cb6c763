"""Kept segments: k = 1 is PPO, weights by enumeration, each segment's own μ, statistics once, exact resumption."""

import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from batches import make_steps, small_policy
from torch import Tensor

import clipper
from clipper.data.steps import Steps
from clipper.data.trees import each, leaves
from clipper.engines.choose import unknown
from clipper.errors import ConfigError
from clipper.learning.advantages import Raw, Standardised
from clipper.learning.kept_segments import KeptSegments, Segment, side_by_side
from clipper.learning.kl import Exact
from clipper.learning.objectives import TrustRegion
from clipper.learning.rewards import Scaled
from clipper.ranks.shared_batch import share_batches
from clipper.settings.config_json import from_json, to_json

SMALL = clipper.PolicyOptions(hidden=(8,))
PLAN: Any = {"policy": SMALL, "num_envs": 4, "total_steps": 192, "seed": 5}
BARE = clipper.PPO(advantages=Raw(), value_coef=0.0, epochs=1, minibatches=1)


def numbers(run: clipper.Run) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if not k.startswith(("time", "reuse"))} for row in run.history]


@pytest.mark.parametrize(
    ("held", "decoupled"),
    [
        (clipper.PPO(horizon=16, epochs=2), False),
        (clipper.PPO(horizon=16, epochs=2, recompute=True, rewards=Scaled(), advantages=Standardised("batch")), True),
        (clipper.PPO(horizon=16, epochs=2, kl=Exact(), objective=TrustRegion()), True),
    ],
    ids=["plain", "recomputes", "exact"],
)
def test_one_segment_is_the_held_algorithm_bit_for_bit(held: clipper.PPO, decoupled: bool) -> None:
    plain = clipper.train("CartPole-v1", held, **PLAN)
    run = clipper.train("CartPole-v1", clipper.Reusing(held, segments=1, decoupled=decoupled), **PLAN)
    assert torch.equal(plain.learner.parameters, run.learner.parameters)
    assert torch.equal(plain.learner.generator.get_state(), run.learner.generator.get_state())
    assert numbers(plain) == numbers(run)
    assert "kept.0.steps.reward" not in run.learner.state_dict()


def two_segments(algorithm: clipper.Reusing, seed: int = 0) -> tuple[Any, list[Segment]]:
    """A learner whose policy has moved since the older of two segments was collected, in float64."""
    policy = small_policy("categorical").double()
    learner = algorithm.init(policy)
    old = Segment(*make_steps(policy, 9, 3, seed=seed))
    with torch.no_grad():
        for x in policy.parameters():
            x.add_(0.4 * torch.randn(x.shape, generator=torch.Generator().manual_seed(9), dtype=x.dtype))
    return learner, [Segment(*make_steps(policy, 7, 3, seed=seed + 1)), old]


def log_prob_of(policy: Any, steps: Steps) -> Tensor:
    return policy.act(steps.obs)[0].log_prob(steps.action).detach()


@pytest.mark.parametrize("decoupled", [True, False])
def test_the_loss_by_a_loop_over_decisions(decoupled: bool) -> None:
    algorithm = clipper.Reusing(BARE, segments=2, decoupled=decoupled, weight_bound=1.5)
    learner, every = two_segments(algorithm)
    targets, log_weight = algorithm.weighed(learner, algorithm.targets(learner, every), 3)
    proximal = copy.deepcopy(learner.policy)
    with torch.no_grad():  # π moves on from π_prox
        for x in learner.policy.parameters():
            x.add_(0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(4), dtype=x.dtype))
    batch = each(lambda x: x[targets.steps.mask], targets)
    loss, _ = BARE.loss(learner, batch)

    terms, logs = [], []
    for age, (steps, last_obs) in enumerate(every):
        advantage = BARE.targets(learner_of(proximal), steps, last_obs).advantage
        now, prox = log_prob_of(learner.policy, steps), log_prob_of(proximal, steps)
        for t, n in steps.mask.nonzero().tolist():
            mu, a = float(steps.log_prob[t, n]), float(advantage[t, n])
            about = float(prox[t, n]) if decoupled and age else mu
            weight = min(np.exp(about - mu), 1.5) if decoupled and age else 1.0
            r = np.exp(float(now[t, n]) - about)
            terms.append(-weight * min(r * a, np.clip(r, 0.8, 1.2) * a))
            logs += [about - mu] if decoupled and age else []
    assert loss.item() == pytest.approx(np.mean(terms), rel=1e-10)
    np.testing.assert_allclose(sorted(log_weight.tolist()), sorted(logs), atol=1e-12)


def learner_of(policy: Any) -> Any:
    return BARE.init(copy.deepcopy(policy))


def test_weights_make_the_gradient_of_old_decisions_that_of_the_present_policy() -> None:
    """μ takes three actions 1, 2 and 5 times of 8, which is enumerated: E_μ[w ∇log π Â] is E_π[∇log π Â]."""
    policy = small_policy("categorical").double()
    algorithm = clipper.Reusing(BARE, segments=2, weight_bound=float("inf"))
    learner = algorithm.init(policy)
    action = torch.tensor([[0, 1, 1, 2, 2, 2, 2, 2]])
    chance = torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64) / 8
    obs = torch.tensor([0.3, -1.0, 0.5], dtype=torch.float64).expand(1, 8, 3)
    yes = torch.ones(1, 8, dtype=torch.bool)
    reward = torch.tensor([2.0, -1.0, 0.7], dtype=torch.float64)
    steps = Steps(obs, action, chance.log()[action], reward[action], yes, yes, yes)
    nobody = each(lambda x: x[:, :0], steps)
    targets = algorithm.targets(learner, [Segment(nobody, obs[0, :0]), Segment(steps, obs[0])])
    targets, _ = algorithm.weighed(learner, targets, 0)
    loss, _ = BARE.loss(learner, each(lambda x: x.flatten(0, 1), targets))
    actor = policy.actor_parameters()
    found = torch.autograd.grad(loss, actor)
    with torch.no_grad():
        advantage = reward - policy.value(obs[0, :1]).mean
    expected = torch.zeros(())
    for a in range(3):
        log_prob = policy.act(obs[0, :1])[0].log_prob(torch.tensor([a]))
        expected = expected - log_prob.exp() * advantage[a]  # −J of this state
    for ours, theirs in zip(found, torch.autograd.grad(expected.sum(), actor), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-13)


def test_kept_segments_are_copies_each_with_its_own_behaviour_policy() -> None:
    policy = small_policy("categorical")
    kept = KeptSegments(2)
    segments = [Segment(*make_steps(policy, 5, 2, seed=seed)) for seed in range(4)]
    expected = [s.steps.log_prob.clone() for s in segments]
    for segment in segments:
        kept.add(segment)
        segment.steps.log_prob.fill_(7.0)  # whoever acts goes on in the same memory
    assert [torch.equal(s.steps.log_prob, x) for s, x in zip(kept.segments, expected[:1:-1], strict=True)] == [True] * 2
    again = KeptSegments(2)
    again.load_state_dict({name: x.clone() for name, x in kept.state_dict().items()})
    assert again.state_dict().keys() == kept.state_dict().keys()
    found = again.before(segments[0])
    for x, y in zip(leaves(found), leaves(kept.segments), strict=True):
        torch.testing.assert_close(x, y, rtol=0, atol=0, equal_nan=True)
    wrong = KeptSegments(2)
    wrong.load_state_dict({name: x.double() if x.is_floating_point() else x for name, x in kept.state_dict().items()})
    with pytest.raises(ConfigError, match="do not fit"):
        wrong.before(segments[0])


def test_shorter_segments_end_in_rows_that_are_no_decisions() -> None:
    learner, every = two_segments(clipper.Reusing(BARE))
    parts = [BARE.targets(learner, *segment) for segment in every]
    joined = side_by_side(parts)
    assert joined.steps.mask.shape == (9, 6)
    assert not joined.steps.mask[7:, :3].any()
    for name in ("advantage", "value_target", "value"):
        x = getattr(joined, name)
        assert torch.equal(x[:7, :3], getattr(parts[0], name))
        assert torch.equal(x[:, 3:], getattr(parts[1], name))


def test_running_statistics_take_each_decision_in_once() -> None:
    policy = clipper.PolicyOptions(hidden=(8,), normalise_obs=True, normalise_returns=True)
    algorithm = clipper.Reusing(clipper.PPO(horizon=16, epochs=1, rewards=Scaled()), segments=3)
    run = clipper.train("CartPole-v1", algorithm, **PLAN | {"policy": policy})
    counts = {name: float(x) for name, x in run.learner.state_dict().items() if name.endswith("moments.count")}
    assert len(counts) >= 3
    assert set(counts.values()) == {float(run.rollouts.steps)}


@pytest.mark.parametrize("over", ["minibatch", "batch", "trajectories"])
def test_advantages_are_standardised_over_all_segments(over: Any) -> None:
    held = dataclasses.replace(BARE, advantages=Standardised(over, correction=0))
    algorithm = clipper.Reusing(held, segments=2)
    learner, every = two_segments(algorithm)
    targets = algorithm.targets(learner, every)
    mask = targets.steps.mask
    used = held.advantages.of_minibatch(targets.advantage[mask], mask[mask], learner.world)
    if over != "trajectories":
        assert float(used.mean()) == pytest.approx(0, abs=1e-9)
        assert float(used.std(correction=0)) == pytest.approx(1, rel=1e-6)
    raw = torch.cat([BARE.targets(learner_of(learner.policy), *s).advantage[s.steps.mask] for s in every])
    found = targets.raw[0] if targets.raw else targets.advantage
    np.testing.assert_allclose(np.sort(found[mask].numpy()), np.sort(raw.numpy()), rtol=1e-10)


CASES = {
    "plain": ("CartPole-v1", {}),
    "lstm": ("CartPole-v1", {"memory": "lstm"}),
    "hybrid": ("clipper/Moving-v0", {}),
    "tree": ("clipper/RepeatPreviousMasked-v0", {}),
}


@pytest.mark.parametrize(
    "case", ["plain", "lstm", *(pytest.param(case, marks=pytest.mark.long) for case in ("hybrid", "tree"))]
)
def test_runs_are_resumed_exactly(case: str, tmp_path: Path) -> None:
    env, options = CASES[case]
    parts = clipper.action_parts.PerPart() if case == "hybrid" else clipper.action_parts.Joint()
    held = clipper.PPO(horizon=8, epochs=2, minibatches=2, parts=parts, recompute=case == "plain")
    kwargs: Any = {
        "algorithm": clipper.Reusing(held, segments=3), "num_envs": 2, "total_steps": 96,
        "policy": clipper.PolicyOptions(hidden=(8,), normalise_obs=True, **options),
    }  # fmt: skip
    ours = clipper.train(env, run_dir=tmp_path / "whole", **kwargs)
    clipper.train(env, run_dir=tmp_path / "cut", callback=lambda run: run.iteration < 4, **kwargs)
    again = clipper.train(resume=tmp_path / "cut")
    assert again.exact
    state, theirs = ours.state_dict()[0], again.state_dict()[0]
    assert state.keys() == theirs.keys()
    assert any(".kept.1." in f".{name}" for name in state)
    assert all(torch.equal(x, theirs[name]) for name, x in state.items())
    assert 0 < float(ours.history[-1]["reuse/effective_fraction"] or 0) <= 1


def test_settings_survive_json_and_the_kernels_are_refused_by_name() -> None:
    algorithm = clipper.Reusing(clipper.PPO(clip=0.1), segments=2, decoupled=False)
    config = clipper.Config(env="CartPole-v1", algorithm=algorithm)
    assert from_json(to_json(config), clipper.Config) == config
    assert unknown(algorithm) == "kernels know no kept segments"
    out_of_range: list[dict[str, Any]] = [{"segments": 0}, {"weight_bound": 0.0}]
    for wrong in out_of_range:
        with pytest.raises(ConfigError):
            clipper.Reusing(**wrong)
    with pytest.raises(ConfigError, match="kept segments sends data"):
        share_batches(algorithm.init(small_policy("categorical")), None)  # pyright: ignore[reportArgumentType]

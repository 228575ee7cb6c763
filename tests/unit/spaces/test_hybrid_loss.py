"""Joint and per-part objectives: each part's ratio, entropy and KL."""

import dataclasses

import gymnasium
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, OneOf
from spaces.matrix import HYBRID, SPACES, AnySpace, policy_for
from torch import Generator

from clipper.algorithms import PPO
from clipper.data.steps import Targets
from clipper.data.trees import leaves
from clipper.distributions import Categorical, DiagonalGaussian
from clipper.distributions import OneOf as OneOfDistribution
from clipper.environments import make
from clipper.errors import ConfigError
from clipper.learning.action_parts import Joint, PerPart
from clipper.learning.advantages import with_old
from clipper.learning.kl import KL, Exact, Sampled
from clipper.learning.learner import Learner
from clipper.learning.minibatches import minibatches
from clipper.learning.schedules import Linear
from clipper.rollout.vector_rollouts import VectorRollouts
from clipper.settings.config_json import from_json, to_json

SPACE = OneOf([Box(-1, 1, (2,)), Discrete(3)])
SAMPLED = Sampled()


def batch_and_moved_learner(space: gymnasium.Space = SPACE, kl: KL = SAMPLED) -> tuple[Targets, Learner]:
    """A batch collected with one policy, to be valued under another, the learner's."""
    algorithm = PPO(horizon=40, kl=kl)
    env, policy = make(lambda: AnySpace(space), 3), policy_for(space)
    learner = algorithm.init(policy)
    state = VectorRollouts(env, 0)
    steps, _ = state.collect(policy, horizon=40)
    targets = algorithm.targets(learner, steps, state.obs)
    targets = with_old(policy, targets) if kl == Exact() else targets
    batch = next(minibatches(targets, 1, 1, Generator().manual_seed(0)))
    with torch.no_grad():
        noise = torch.randn(learner.parameters.shape, generator=Generator().manual_seed(1))
        learner.parameters.add_(0.2 * noise)
    return batch, learner


def slow_terms(batch: Targets, policy, low: float, high: float) -> list[float]:
    """H-PPO's two sums, decision by decision in plain floats: the choice's term, and the chosen arguments'."""
    steps = batch.steps
    dist, _ = policy.act(steps.obs)
    assert isinstance(dist, OneOfDistribution)
    adv = batch.advantage
    adv = (adv - adv.mean()) / (adv.std() + 1e-8)
    k, (x, j) = steps.action
    gaussian, discrete = dist.branches
    assert isinstance(gaussian, DiagonalGaussian)
    assert isinstance(discrete, Categorical)
    new = {
        "choice": torch.distributions.Categorical(logits=dist.choice.logits).log_prob(k),
        "0": torch.distributions.Normal(gaussian.mean, gaussian.log_std.exp()).log_prob(x).sum(-1),
        "1": torch.distributions.Categorical(logits=discrete.logits).log_prob(j),
    }
    terms = []
    for i in range(len(k)):
        for name in ("choice", str(int(k[i]))):
            r = (new[name][i] - steps.log_probs[name][i]).exp().item()
            a = adv[i].item()
            terms.append(-min(r * a, min(max(r, 1 - low), 1 + high) * a))
    return terms


def test_per_part_is_h_ppos_sum_of_clipped_terms() -> None:
    batch, learner = batch_and_moved_learner()
    count = len(batch.advantage)
    per_part = PPO(parts=PerPart(), value_coef=0.0)
    loss, metrics = per_part.loss(learner, batch)
    # Â is subtracted once per part beyond the first, the unused one included: its mean is 0.
    assert loss.item() == pytest.approx(sum(slow_terms(batch, learner.policy, 0.2, 0.2)) / count, abs=1e-5)
    joint, _ = dataclasses.replace(per_part, parts=Joint()).loss(learner, batch)
    assert abs(joint.item() - loss.item()) > 1e-4
    assert metrics["loss/policy"].item() == pytest.approx(loss.item(), abs=1e-6)


@pytest.mark.parametrize("space", HYBRID.values(), ids=HYBRID)
def test_both_objectives_climb_alike_where_all_ratios_are_one(space) -> None:
    """At μ = π both have the value and the gradient of the policy gradient."""
    env, policy = make(lambda: AnySpace(space), 3), policy_for(space)
    found = []
    for parts in (Joint(), PerPart()):
        algorithm = PPO(horizon=40, parts=parts, value_coef=0.0)
        state = VectorRollouts(env, 0)
        steps, _ = state.collect(policy, horizon=40)
        learner = algorithm.init(policy)
        batch = algorithm.targets(learner, steps, state.obs)
        loss, _ = algorithm.loss(learner, batch)
        actor = [p for p in policy.parameters() if p.requires_grad]
        grads = torch.autograd.grad(loss, actor, allow_unused=True)
        found.append((loss.detach(), [g for g in grads if g is not None]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-6)


def test_parts_are_named_and_sum_to_the_whole() -> None:
    space = Dict(skill=SPACE, walk=Box(-1, 1, ()))
    batch, learner = batch_and_moved_learner(space)
    _, metrics = PPO().loss(learner, batch)
    names = ["skill.0", "skill.1", "skill.choice", "walk"]
    for kind in ("entropy", "kl", "clip_fraction"):
        assert sorted(k.removeprefix(f"policy/{kind}/") for k in metrics if k.startswith(f"policy/{kind}/")) == names
    parts = [metrics[f"policy/entropy/{name}"].item() for name in names]
    assert sum(parts) == pytest.approx(metrics["policy/entropy"].item(), rel=1e-5)
    batch, learner = batch_and_moved_learner(space, Exact())
    _, metrics = PPO(kl=Exact()).loss(learner, batch)
    parts = [metrics[f"policy/kl/{name}"].item() for name in names]
    assert sum(parts) == pytest.approx(metrics["policy/kl"].item(), rel=1e-5)
    assert min(parts) > 0


def test_entropy_coefficients_by_part() -> None:
    space = Dict(skill=SPACE, walk=Box(-1, 1, ()))
    batch, learner = batch_and_moved_learner(space)
    learner.progress = 0.5
    base, metrics = PPO(value_coef=0.0).loss(learner, batch)
    h = {name: metrics[f"policy/entropy/{name}"].item() for name in ("skill.choice", "skill.0", "skill.1", "walk")}

    def bonus(**options) -> float:
        return (base - PPO(value_coef=0.0, **options).loss(learner, batch)[0]).item()

    some = bonus(parts=Joint((("skill.choice", 0.5), ("skill", 0.1))), entropy_coef=0.2)
    assert some == pytest.approx(
        0.5 * h["skill.choice"] + 0.1 * (h["skill.0"] + h["skill.1"]) + 0.2 * h["walk"], rel=1e-4
    )
    assert bonus(parts=Joint((("walk", Linear(1.0, 0.0)),))) == pytest.approx(0.5 * h["walk"], rel=1e-4)
    with pytest.raises(ConfigError, match=r"skil\b.*skill\.choice"):
        bonus(parts=Joint((("skil", 0.5),)))


def test_an_undivided_action_has_no_parts_to_weigh() -> None:
    batch, learner = batch_and_moved_learner(SPACES["discrete"])
    with pytest.raises(ConfigError, match="one part"):
        PPO(parts=Joint((("choice", 0.5),))).loss(learner, batch)
    joint, metrics = PPO().loss(learner, batch)
    assert PPO(parts=PerPart()).loss(learner, batch)[0] == joint
    assert not any(name.count("/") > 1 for name in metrics)


def test_settings_survive_json() -> None:
    algorithm = PPO(parts=PerPart((("choice", Linear(0.02, 0.0)), ("0", 0.0))))
    assert from_json(to_json(algorithm), PPO) == algorithm
    assert hash(algorithm) == hash(from_json(to_json(algorithm), PPO))


def test_parts_of_steps_sum_to_the_joint() -> None:
    env, policy = (
        make(lambda: AnySpace(HYBRID["one-of in dict in tuple"]), 3),
        policy_for(HYBRID["one-of in dict in tuple"]),
    )
    steps, _ = VectorRollouts(env, 0).collect(policy, horizon=10)
    torch.testing.assert_close(torch.stack(leaves(steps.log_probs)).sum(0), steps.log_prob)

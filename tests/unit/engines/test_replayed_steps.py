"""Gradient steps from a replay by kernels beside the definition's in float64: same indices, same noise."""

import copy
import dataclasses
from typing import Any, Literal

import numpy as np
import pytest
import torch
from replayed_pairs import NUMBERS, TREE, decisions, due, error, error_of_movement, flat, make_pair, update_both

import clipper
from clipper.data.trees import each, leaves
from clipper.learning.critic_targets import Polyak
from clipper.learning.optimizers import Adam, RMSProp
from clipper.learning.temperature import EntropyTarget
from clipper.learning.value_losses import MSE

SHARED: Any = {"batch_size": 48, "capacity": 400, "optimizer": Adam(1.0), "learning_rate": 0.1}
"""With an ε as large as that steps are nearly in proportion to gradients: else a first step tells signs alone."""
FASTER = SHARED | {"tau": 0.3}
LARGE: Any = {"batch_size": 500, "optimizer": RMSProp(eps=1.0)}
ALGORITHMS = {
    "sac": clipper.SAC(**FASTER),
    "sac, fixed": clipper.SAC(alpha=0.3, max_grad_norm=0.5, n_step=3, **FASTER),
    "sac, large": clipper.SAC(alpha=EntropyTarget(0.7, 0.2), **FASTER | LARGE),
    "td3": clipper.TD3(target_noise=0.8, **FASTER),
    "td3, each": clipper.TD3(policy_delay=1, critic_learning_rate=0.03, **FASTER),
    "ddpg": clipper.DDPG(**FASTER),
    "dqn": clipper.DQN(**SHARED),
    "double": clipper.DQN(double=True, q_loss=MSE(), lag=Polyak(0.3), n_step=2, **SHARED),
    "pdqn": clipper.PDQN(argument_tau=0.2, n_step=3, max_grad_norm=0.3, **FASTER | LARGE),
    "mpdqn": clipper.MPDQN(argument_tau=0.2, argument_learning_rate=0.05, **FASTER),
    "paddpg": clipper.PADDPG(critic_learning_rate=0.03, **FASTER),
}  # fmt: skip
SMALL = clipper.PolicyOptions(hidden=(24, 7), critic_hidden=(9, 16), activation="relu", orthogonal=False)
each_algorithm = pytest.mark.parametrize("name", ALGORITHMS)


def check(algorithm: Any, options: clipper.PolicyOptions, steps: int = 2, masked: bool = False, **rows: Any) -> None:
    """``steps`` gradient steps, of which the last one's gradient is compared, and how far all have led."""
    given, last = decisions(algorithm, masked=masked, **rows)
    pair = make_pair(due(algorithm, steps, given), options, **rows)
    before = {name: own.vectors[0].detach().clone() for name, own in pair.exact.parts.items()}
    lagged = {name: flat(x) for name, x in pair.exact.modules.items() if name.startswith("lagged")}
    told, expected = update_both(pair, given, last)
    assert int(pair.learner.extra["gradient_steps"]) == steps == int(pair.exact.extra["gradient_steps"])
    assert told == pytest.approx(expected, rel=1e-5, abs=1e-6)
    for name, own in pair.exact.parts.items():
        ours = pair.learner.parts[name]
        assert error(ours.gradients[0], own.gradients[0]) < 1e-5, name
        assert error_of_movement(ours.vectors[0], own.vectors[0], before[name]) < 1e-5, name
        for p, exact in zip(ours.leaves, own.leaves, strict=True):
            assert p.grad is not None
            assert exact.grad is not None
            assert error(p.grad, exact.grad) < 1e-5 or float(exact.grad.norm()) < 1e-7, name
    for name, start in lagged.items():
        assert error_of_movement(flat(pair.learner.modules[name]), flat(pair.exact.modules[name]), start) < 1e-5, name


@each_algorithm
def test_gradient_and_steps_are_the_definition_s(name: str) -> None:
    check(ALGORITHMS[name], SMALL)


@pytest.mark.parametrize("activation", ["tanh", "elu", "silu"])
@pytest.mark.parametrize("name", ["sac", "td3", "dqn", "mpdqn"])
def test_activations(name: str, activation: Literal["tanh", "elu", "silu"]) -> None:
    check(ALGORITHMS[name], dataclasses.replace(SMALL, activation=activation))


@pytest.mark.parametrize("hidden", [(), (130,), (33, 16, 64)], ids=str)
@pytest.mark.parametrize("name", ["sac", "ddpg", "double", "mpdqn"])
def test_depths_and_widths(name: str, hidden: tuple[int, ...]) -> None:
    check(ALGORITHMS[name], dataclasses.replace(SMALL, hidden=hidden, critic_hidden=None))


@each_algorithm
def test_observations_that_are_trees(name: str) -> None:
    check(ALGORITHMS[name], SMALL, space=TREE)


@pytest.mark.parametrize("space", [NUMBERS, TREE], ids=["numbers", "tree"])
@each_algorithm
def test_normalised_observations(name: str, space: Any) -> None:
    check(ALGORITHMS[name], dataclasses.replace(SMALL, normalise_obs=True, clip_obs=1.0), space=space)


@pytest.mark.parametrize("name", ["dqn", "double", "pdqn", "mpdqn", "paddpg"])
def test_masks_bound_the_maximum(name: str) -> None:
    check(ALGORITHMS[name], SMALL, masked=True)


def test_a_softplus_of_the_state_as_scale() -> None:
    head = clipper.HeadOptions(std=clipper.networks.heads.SoftplusOfState())
    check(ALGORITHMS["sac"], dataclasses.replace(SMALL, head=head))


@each_algorithm
def test_ten_steps(name: str) -> None:
    """Rounding grows from step to step; sixteen are the most that are taken at once here."""
    algorithm = ALGORITHMS[name]
    given, last = decisions(algorithm)
    pair = make_pair(due(algorithm, 10, given), SMALL)
    start = pair.exact.parameters.detach().clone()
    told, expected = update_both(pair, given, last)
    assert told == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert error_of_movement(pair.learner.parameters, pair.exact.parameters, start) < 1e-4


@pytest.mark.parametrize("name", ["dqn", "pdqn"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("n_step", [1, 3])
def test_what_is_drawn_is_what_the_replay_draws(n_step: int, masked: bool, name: str) -> None:
    """Also where the ring has turned, of which the newest rows lead to what was seen last."""
    algorithm = dataclasses.replace(ALGORITHMS[name], capacity=36, n_step=n_step, batch_size=48)
    pair = make_pair(dataclasses.replace(algorithm, learning_starts=1), SMALL)
    sampled, replay, learner = pair.engine.sampled, pair.learner.modules["replay"], pair.learner
    for seed in range(3):
        steps, last = decisions(algorithm, 7, seed=seed, masked=masked)
        learner.modules["replay"].add(steps, last)
        sampled.look()
        state = learner.generator.get_state()
        sampled.fill(0, learner.generator)
        after = learner.generator.get_state()
        learner.generator.set_state(state)
        expected, batch = replay.sample(48, learner.generator, algorithm.gamma, n_step), sampled.batch
        assert torch.equal(learner.generator.get_state(), after)
        pairs = [(getattr(batch, field), getattr(expected, field)) for field in ("obs", "next_obs", "discount")]
        choice, numbers = expected.action if name == "pdqn" else (expected.action, None)
        if numbers is not None:
            pairs.append((batch.action, torch.cat([x for x in numbers if x.ndim > 1], -1)))
        for x, y in [*pairs, (batch.choice, choice)]:
            np.testing.assert_array_equal(x[:48], y)
        np.testing.assert_allclose(batch.reward[:48], expected.reward, rtol=1e-6, atol=1e-6)
        if masked:
            here, after = (x[0] if name == "pdqn" else x for x in (expected.action_mask, expected.next_mask))
            np.testing.assert_array_equal(batch.legal[:48], after)
            assert name == "dqn" or np.array_equal(batch.legal_now[:48], here)


@each_algorithm
def test_what_is_in_rows_that_are_no_decision_is_of_no_account(name: str) -> None:
    """So are observations after an episode's real end, which no value is asked for."""
    algorithm, found = ALGORITHMS[name], []
    steps, last = decisions(algorithm)
    unseen = torch.zeros_like(steps.mask)
    unseen[1:] = steps.terminated[:-1]
    obs, action, reward = each(torch.clone, (steps.obs, steps.action, steps.reward))
    obs[unseen] = np.nan
    reward[~steps.mask] = np.nan
    for x in leaves(action):
        x[~steps.mask] = np.nan if x.is_floating_point() else 0
    other = steps._replace(obs=obs, action=action, reward=reward)
    for given in (steps, other):
        pair = make_pair(due(algorithm, 3, given), SMALL)
        told = pair.engine.update(given, last)
        found.append([*told.values(), *(own.vectors[0].detach() for own in pair.learner.parts.values())])
    assert unseen.any()
    assert all(torch.equal(x, y) for x, y in zip(*found, strict=True))


@each_algorithm
def test_a_step_that_is_not_finite_is_left_out(name: str) -> None:
    algorithm = ALGORITHMS[name]
    steps, last = decisions(algorithm)
    steps.reward[:] = np.inf
    pair = make_pair(due(algorithm, 2, steps), SMALL)
    before = pair.learner.parts["critics" if "critics" in pair.learner.parts else ""].vectors[0].detach().clone()
    pair.engine.update(steps, last)
    after = pair.learner.parts["critics" if "critics" in pair.learner.parts else ""].vectors[0].detach()
    assert torch.equal(before, after)
    assert int(pair.learner.skipped) >= 2


@pytest.mark.parametrize("name", ["td3", "pdqn"])
def test_a_row_is_kept_as_a_segment_is(name: str) -> None:
    """Rows that come one by one go into the ring by a shorter way."""
    algorithm = ALGORITHMS[name]
    steps, last = decisions(algorithm, rows=30, masked=name == "pdqn")
    pair, other = (make_pair(due(algorithm, 3, steps), SMALL) for _ in range(2))
    for t in range(30):
        row = each(lambda x, t=t: x[t : t + 1], steps)
        after = steps.obs[t + 1] if t < 29 else last
        pair.engine.update(row, after)
    other.learner.modules["replay"].add(steps._replace(action=other.learner.policy.head.bounded(steps.action)), last)
    ours, theirs = (p.learner.modules["replay"].state_dict() for p in (pair, other))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(x, theirs[name]) for name, x in ours.items())
    assert int(pair.learner.extra["decisions"]) == int(steps.mask.sum())


@pytest.mark.parametrize("name", ["sac", "pdqn"])
def test_moments_that_are_loaded_are_moved_from(name: str) -> None:
    """A checkpoint puts others in the optimizers' place."""
    algorithm = ALGORITHMS[name]
    steps, last = decisions(algorithm)
    pair = make_pair(due(algorithm, 2, steps), SMALL)
    pair.engine.update(steps, last)
    state = {name: x.clone() for name, x in pair.learner.state_dict().items()}
    again = make_pair(pair.algorithm, SMALL)
    again.engine.update(steps, last)
    for engine in (pair.engine, again.engine):
        engine.learner.load_state_dict(copy.deepcopy(state))
        more, after = decisions(algorithm, seed=4)
        engine.update(more, after)
    ours, theirs = pair.learner.state_dict(), again.learner.state_dict()
    assert all(torch.equal(x, theirs[name]) for name, x in ours.items())

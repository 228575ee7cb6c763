"""Algorithms that explore: what a bonus changes in the held algorithm, and what not."""

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from batches import make_steps, small_policy

import clipper
from clipper.data.trees import each
from clipper.errors import ConfigError
from clipper.learning.bonuses import ICM, RND, Counts
from clipper.learning.intrinsic import judge
from clipper.settings.config_json import from_json, to_json

SMALL = clipper.PolicyOptions(hidden=(8,))
PLAN: Any = {"policy": SMALL, "num_envs": 4, "total_steps": 320, "seed": 5}
HELD = [
    clipper.PPO(horizon=16, epochs=2), clipper.PPOSeparate(horizon=16, epochs=2, value_epochs=2, critic_first=True),
    clipper.PPOPenalty(horizon=16, epochs=2), clipper.VPG(horizon=16), clipper.A2C(), clipper.NPG(horizon=16),
    clipper.TRPO(horizon=16),
]  # fmt: skip
BONUSES = [RND(8, (8,)), ICM(features=8, hidden=(8,)), Counts(bits=6)]
each_bonus = pytest.mark.parametrize("bonus", BONUSES, ids=lambda x: type(x).__name__)


def last_of(run: clipper.Run, name: str) -> float:
    return float(run.history[-1][name] or 0)


def numbers(run: clipper.Run) -> list[dict[str, Any]]:
    """What was watched of the policy, without times."""
    kinds = ("loss", "policy", "advantage", "value", "episode")
    own = ("loss/bonus", "loss/intrinsic_value")
    return [{k: v for k, v in row.items() if k.startswith(kinds) and k not in own} for row in run.history]


@pytest.mark.parametrize(
    "held",
    [*HELD, pytest.param(clipper.PPO(horizon=16, epochs=2, recompute=True), id="PPO recomputes")],
    ids=lambda x: type(x).__name__,
)
def test_a_bonus_of_weight_0_leaves_the_trace_bit_equal(held: Any) -> None:
    plain = clipper.train("CartPole-v1", held, **PLAN)
    explores = clipper.Exploring(held, RND(8, (8,)), intrinsic_coef=0.0, prime=0, bonus_epochs=1)
    run = clipper.train("CartPole-v1", explores, **PLAN)
    assert torch.equal(plain.learner.parameters, run.learner.policy_parameters)
    assert torch.equal(plain.learner.generator.get_state(), run.learner.generator.get_state())
    assert numbers(plain) == numbers(run)


@each_bonus
def test_a_bonus_of_some_weight_does_not(bonus: Any) -> None:
    plain = clipper.train("CartPole-v1", HELD[0], **PLAN)
    run = clipper.train("CartPole-v1", clipper.Exploring(HELD[0], bonus, prime=0), **PLAN)
    assert not torch.equal(plain.learner.parameters, run.learner.policy_parameters)
    assert last_of(run, "bonus/reward") > 0


@pytest.mark.parametrize("two", [True, False])
def test_what_the_held_algorithm_learns_from(two: bool) -> None:
    """c_E Â_E + c_I Â_I, standardised, or the advantage of c_E r + c_I r_I; by hand from what each makes alone."""
    held = clipper.PPO(advantages=clipper.advantages.Raw(), gamma=0.9)
    algorithm = clipper.Exploring(held, RND(8, (8,)), intrinsic_coef=0.7, extrinsic_coef=3.0, two_values=two, prime=0)
    policy = small_policy("categorical")
    steps, last = make_steps(policy, 12, 5, seed=2)
    learner = algorithm.init(policy, seed=1)
    judged = judge(learner, steps, last, 0.99, 0.95, True, False)
    found = algorithm.targets(learner, steps, last, judged, held)
    alone = clipper.PPO(advantages=clipper.advantages.Raw(), gamma=0.9)
    if two:
        expected = 3.0 * alone.targets(learner, steps, last).advantage + 0.7 * judged.advantage
        assert judged.advantage.abs().sum() > 0
    else:
        paid = steps._replace(reward=3.0 * steps.reward + 0.7 * judged.reward)
        expected = alone.targets(learner, paid, last).advantage
    torch.testing.assert_close(found.advantage, expected)
    standard = dataclasses.replace(algorithm, algorithm=clipper.PPO(
        gamma=0.9, advantages=clipper.advantages.Standardised("batch")
    ))  # fmt: skip
    scaled = standard.targets(learner, steps, last, judged, standard.algorithm).advantage[steps.mask]
    own = expected[steps.mask]
    torch.testing.assert_close(scaled, (own - own.mean()) / own.std(), rtol=1e-4, atol=1e-5)


def test_rewards_and_losses_of_random_network_distillation_are_a_loop_of_squares() -> None:
    policy = small_policy("categorical")
    generator = torch.Generator().manual_seed(0)
    module: Any = RND(6, (7,), deeper=2, bound=1.5).module(policy, generator)
    steps, last = make_steps(policy, 9, 3, seed=4)
    states = torch.cat([steps.obs[1:], last[None]])
    seen = states.reshape(-1, 3)[:20]
    module.absorb(seen)
    mean, std = seen.double().mean(0), seen.double().std(0, correction=0)
    found = module(steps.obs, steps.action, states).detach()
    assert len(module.learning) == len(module.fixed) + 4  # two layers and their activations more
    for t in range(9):
        for i in range(3):
            x = ((states[t, i] - mean) / std).clamp(-1.5, 1.5).float()
            prediction, target = module.learning(x).tolist(), module.fixed(x).tolist()
            expected = sum((a - b) ** 2 for a, b in zip(prediction, target, strict=True))
            assert float(found[t, i]) == pytest.approx(expected, rel=1e-4)
    flat = each(lambda x: x.reshape(27, *x.shape[2:]), (steps.obs, steps.action, states))
    assert torch.equal(module.loss(*flat), found.flatten())
    module.share = 0.25
    assert torch.equal(module.loss(*flat), found.flatten()[:7])
    assert not any(p.requires_grad for p in module.fixed.parameters())


def test_what_a_random_network_said_once_it_always_says() -> None:
    algorithm = clipper.Exploring(HELD[0], RND(8, (8,)), prime=0)
    run = clipper.train("CartPole-v1", algorithm, **PLAN)
    again = algorithm.init(clipper.make_policy(
        run.rollouts.single_observation_space, run.rollouts.single_action_space, SMALL, torch.Generator()
    ), seed=5)  # fmt: skip
    fixed, first = (x.modules["bonus"].fixed.state_dict() for x in (run.learner, again))
    assert all(torch.equal(fixed[name], first[name]) for name in first)
    learnt, start = (x.modules["bonus"].learning.state_dict() for x in (run.learner, again))
    assert not torch.equal(learnt["0.weight"], start["0.weight"])


def test_bonuses_are_in_units_of_the_deviation_of_their_discounted_sum() -> None:
    """R of each environment by a double loop over segments and rows, never begun anew."""
    algorithm = clipper.Exploring(HELD[0], Counts(beta=2.0, bits=5), prime=0)
    policy = small_policy("categorical")
    learner = algorithm.init(policy, seed=1)
    sums, running = list[float](), np.zeros(3)
    segments = [make_steps(policy, 10, 3, seed=segment) for segment in range(4)]
    for steps, last in segments:
        judged = judge(learner, steps, last, 0.9, 0.95, True, False)
        for t in range(10):
            for i in range(3):
                if steps.mask[t, i]:
                    running[i] = 0.9 * running[i] + float(judged.raw[t, i])
                    sums.append(float(running[i]))
        expected = judged.raw / float(np.std(sums))
        torch.testing.assert_close(judged.reward, expected.to(judged.reward), rtol=1e-4, atol=1e-6)
        assert not bool(judged.raw[~steps.mask].any())


@pytest.mark.parametrize("bonus", [BONUSES[0], BONUSES[2]], ids=lambda x: type(x).__name__)
def test_the_bonus_of_a_visited_state_falls_while_nothing_else_is_visited(bonus: Any) -> None:
    algorithm = clipper.Exploring(HELD[0], bonus, prime=0, scale_bonus=False, bonus_learning_rate=1e-3)
    policy = small_policy("categorical")
    steps, last = make_steps(policy, 8, 4, seed=1)
    here = torch.tensor([0.5, -1.0, 2.0])
    still = steps._replace(obs=here.expand_as(steps.obs).clone())
    learner, found = algorithm.init(policy, seed=3), list[float]()
    learner.modules["bonus"].prime(torch.randn(500, 3, generator=torch.Generator().manual_seed(1)))
    for _ in range(6):
        metrics = algorithm.update(learner, still, here.expand_as(last).clone())
        found.append(float(metrics["bonus/reward"]))
    assert all(later < earlier for earlier, later in itertools.pairwise(found)), found
    assert found[-1] < 0.7 * found[0]


def test_an_inverse_model_learns_to_tell_the_action_and_the_forward_one_what_it_does() -> None:
    """In a world where the action alone moves the first number, and noise fills the second."""
    policy = small_policy("categorical")
    module: Any = ICM(features=8, hidden=(16,)).module(policy, torch.Generator().manual_seed(0))
    optimizer, generator = torch.optim.Adam(module.parameters(), 3e-3), torch.Generator().manual_seed(1)
    losses = list[float]()

    def world() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        obs, action = torch.randn(64, 3, generator=generator), torch.randint(3, (64,), generator=generator)
        noise = torch.randn(64, generator=generator)
        return obs, action, torch.stack([obs[:, 0] + action - 1.0, noise, obs[:, 2]], -1)

    module.prime(world()[2])
    for _ in range(300):
        loss = module.loss(*world()).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    obs, action, after = world()
    before, following = module.phi(obs), module.phi(after)
    guesses = module.head(module.inverse(torch.cat([before, following], -1)).relu()).mode
    assert float((guesses == action).float().mean()) > 0.9
    assert losses[-1] < 0.5 * losses[0]
    with torch.no_grad():
        expected = 0.005 * (module.model(torch.cat([before, torch.eye(3)[action]], -1)) - following).square().sum(-1)
    torch.testing.assert_close(module(obs, action, after), expected)


def test_features_may_learn_from_the_inverse_model_alone() -> None:
    policy, slopes = small_policy("categorical"), []
    obs, action, after = torch.randn(8, 3), torch.randint(3, (8,)), torch.randn(8, 3)
    for detach in (True, False):
        icm = ICM(beta=1.0, features=4, hidden=(4,), detach_forward=detach)
        module: Any = icm.module(policy, torch.Generator().manual_seed(0))
        module.loss(obs, action, after).mean().backward()
        slopes.append(float(module.features[0].weight.grad.abs().sum()))
    assert slopes[0] == 0 < slopes[1]


@pytest.mark.parametrize("env", ["Pendulum-v1", "clipper/Platform-v0", "clipper/MaskedGrid-v0"])
@each_bonus
def test_actions_of_every_kind(env: str, bonus: Any) -> None:
    algorithm = clipper.Exploring(clipper.PPO(horizon=16, epochs=1), bonus, prime=0)
    run = clipper.train(env, algorithm, policy=SMALL, num_envs=4, total_steps=128)
    assert last_of(run, "bonus/reward") > 0


def test_images_and_trees_of_observations() -> None:
    class Pictures(gymnasium.Env):
        observation_space = gymnasium.spaces.Dict(
            picture=gymnasium.spaces.Box(0, 255, (12, 12, 1), np.uint8), place=gymnasium.spaces.Discrete(4)
        )
        action_space = gymnasium.spaces.Discrete(2)

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            super().reset(seed=seed)
            self.time = 0
            return self.look(), {}

        def step(self, action: int) -> Any:
            self.time += 1
            return self.look(), 0.0, False, self.time == 5, {}

        def look(self) -> Any:
            return {"picture": self.np_random.integers(255, size=(12, 12, 1), dtype=np.uint8), "place": self.time % 4}

    for bonus in BONUSES:
        algorithm = clipper.Exploring(clipper.PPO(horizon=8, epochs=1), bonus, prime=8)
        encoder = clipper.EncoderOptions(cnn_features=8, embedding=2)
        policy = clipper.PolicyOptions(hidden=(8,), encoder=encoder)
        run = clipper.train(Pictures, algorithm, policy=policy, num_envs=2, total_steps=48)
        assert last_of(run, "bonus/reward") > 0


@each_bonus
def test_a_resumed_run_is_bit_equal(bonus: Any, tmp_path: Path) -> None:
    algorithm = clipper.Exploring(HELD[0], bonus, prime=64)
    plan: Any = PLAN | {"total_steps": 400, "checkpoint_every": 100}
    whole = clipper.train("CartPole-v1", algorithm, run_dir=tmp_path / "whole", **plan)
    part = clipper.train(
        "CartPole-v1", algorithm, run_dir=tmp_path / "part", callback=lambda run: run.steps < 200, **plan
    )
    assert part.steps < 400
    resumed = clipper.train(resume=tmp_path / "part")
    state, again = whole.learner.state_dict(), resumed.learner.state_dict()
    assert state.keys() == again.keys()
    assert {name for name in state if not torch.equal(state[name], again[name])} == set()
    assert any(name.startswith("bonus_adam.") for name in state)
    assert "extra.intrinsic_return" in state
    loaded = clipper.load(tmp_path / "whole")
    assert isinstance(loaded, clipper.ActorCritic)


def test_a_run_goes_on_in_another_number_of_environments(tmp_path: Path) -> None:
    """The running return of each environment begins anew then."""
    algorithm = clipper.Exploring(HELD[0], RND(), prime=0)
    clipper.train("CartPole-v1", algorithm, run_dir=tmp_path / "run", **(PLAN | {"total_steps": 100, "num_envs": 3}))
    resumed = clipper.train(resume=tmp_path / "run", num_envs=5, total_steps=400)
    assert resumed.steps >= 400
    assert resumed.learner.extra["intrinsic_return"].shape == (5,)


def test_settings_go_through_a_file() -> None:
    algorithm = clipper.Exploring(clipper.A2C(gamma=0.9), ICM(0.3), intrinsic_coef=0.25, episodic=True)
    config = clipper.Config(env="CartPole-v1", algorithm=algorithm)
    assert from_json(to_json(config), clipper.Config) == config


def test_the_first_decisions_only_begin_the_statistics() -> None:
    algorithm = clipper.Exploring(HELD[0], RND(8, (8,)), prime=100)
    weights = list[torch.Tensor]()
    run = clipper.train(
        "CartPole-v1", algorithm, callback=lambda run: weights.append(run.learner.parameters.clone()), **PLAN
    )
    decided = [int(row["steps"] or 0) for row in run.history]
    still = [torch.equal(x, weights[0]) for x in weights]
    assert still == [i == 0 or decided[i - 1] < 100 for i in range(len(decided))]
    assert 100 <= run.learner.extra["primed"] < 100 + 64


def test_what_cannot_explore_is_refused_by_name() -> None:
    others: list[Any] = [clipper.Reinforce(), clipper.ImportanceSampling(), clipper.DQN(), clipper.Exploring()]
    for other in others:
        with pytest.raises(ConfigError, match=rf"Exploring: algorithm must be PPO, .*, not {type(other).__name__}"):
            clipper.Exploring(other)
    own: Any = TwoStepsAlone()
    with pytest.raises(ConfigError, match="TwoStepsAlone lacks lam, horizon"):
        clipper.Exploring(own)
    module = torch.nn.Linear(2, 2)
    with pytest.raises(ConfigError, match="made as the policy was"):
        clipper.Exploring(clipper.PPO()).init(module)


class TwoStepsAlone:
    """An algorithm of one's own without GAE's settings."""

    def init(self, policy: Any, seed: int = 0) -> Any: ...

    def targets(self, learner: Any, steps: Any, last_obs: Any, again: bool = False) -> Any: ...

    def improve(self, learner: Any, targets: Any, again: Any = None) -> Any: ...

    def update(self, learner: Any, steps: Any, last_obs: Any) -> Any: ...


def test_a_run_that_would_end_before_it_learns_is_refused_and_one_that_did_warns() -> None:
    with pytest.raises(ConfigError, match=r"total_steps is 2,000, .*first 2,000 decisions \(prime\).*lower prime"):
        clipper.train("CartPole-v1", clipper.Exploring(HELD[0]), total_steps=2_000)
    explores = clipper.Exploring(HELD[0], prime=100)
    with pytest.warns(UserWarning, match=r"nothing has been learned: .* all \d+ decisions .*prime is 100"):
        clipper.train("CartPole-v1", explores, policy=SMALL, num_envs=4, total_steps=110)  # two segments, at once


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (clipper.Exploring(HELD[0], Counts(), prime=0), r"bonus=RND\(.* bonus=Counts\("),
        (clipper.Exploring(HELD[0], RND(9, (8,)), prime=0), r"bonus=RND\(features=8.* bonus=RND\(features=9"),
        (clipper.Exploring(HELD[0], RND(8, (8,)), prime=0, two_values=False), "two_values=True.* two_values=False"),
        (clipper.Exploring(clipper.A2C(), RND(8, (8,)), prime=0), "algorithm=PPO.* algorithm=A2C"),
    ],
)
def test_a_run_goes_on_with_its_own_bonus_alone(other: Any, named: str, tmp_path: Path) -> None:
    """The error is about the settings and names both; what no network is made by may change."""
    plan: Any = PLAN | {"total_steps": 64}
    has = clipper.Exploring(HELD[0], RND(8, (8,)), prime=0)
    clipper.train("CartPole-v1", has, run_dir=tmp_path / "run", **plan)
    with pytest.raises(ConfigError, match=f"this run's Exploring has {named}.*cannot go on"):
        clipper.train(algorithm=other, resume=tmp_path / "run", total_steps=128)
    weighed = dataclasses.replace(has, bonus=RND(8, (8,), share=0.5), intrinsic_coef=0.1)
    assert clipper.train(algorithm=weighed, resume=tmp_path / "run", total_steps=128).steps >= 128

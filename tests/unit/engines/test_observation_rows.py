"""Kernels on observations that are choices or trees, beside the definition."""

import copy
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from batches import decisions
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from random_trees import observation_space, policy_over, targets_for
from test_gradients import run_kernels
from torch import Generator

import clipper
from clipper.data.trees import each, leaves
from clipper.engines.cpu.engine import CPU
from clipper.errors import ConfigError, EnvironmentContractError
from clipper.networks.policy_options import EncoderOptions, PolicyOptions


def check_gradient(seed: int) -> None:
    """In float64 the definition's, of every parameter."""
    rng = np.random.default_rng(seed)
    seen = observation_space(rng)
    policy = policy_over(rng, seen, MultiDiscrete([3, 2]))
    targets = targets_for(policy, seen, 100, rng)
    algorithm: Any = clipper.PPO(entropy_coef=0.02, clip=0.5)
    double = copy.deepcopy(policy).double()
    batch = each(lambda x: x.double() if x.is_floating_point() else x, decisions(targets))
    algorithm.loss(algorithm.init(double), batch)[0].backward()
    run_kernels(CPU(algorithm.init(policy), algorithm), targets)
    for (name, p), q in zip(policy.named_parameters(), double.parameters(), strict=True):
        assert p.grad is not None
        assert q.grad is not None
        assert float((p.grad - q.grad).norm()) <= 1e-5 * float(q.grad.norm()) + 1e-9, (seed, seen, name)


@pytest.mark.parametrize("seed", range(12))
def test_gradient_over_a_tree_of_observations_is_the_definition_s(seed: int) -> None:
    check_gradient(seed)


@pytest.mark.long
def test_gradients_over_many_trees_of_observations_are_the_definition_s() -> None:
    for seed in range(100, 300):
        check_gradient(seed)


class Tree(gymnasium.Env):
    """Shows noise of a space, and pays for the choice that the first leaf names."""

    observation_space: Any = Dict({"z": Discrete(3, start=2), "x": Box(-1, 1, (2,), np.float64)}, sort_keys=False)
    action_space = Discrete(3)

    def __init__(self) -> None:
        self.observation_space = copy.deepcopy(type(self).observation_space)  # which draws for this one alone

    def look(self) -> Any:
        self.seen = self.observation_space.sample()
        return self.seen

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        return self.look(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict]:
        good = float(action == leaves(self.seen)[0].ravel()[0] % 3)
        return self.look(), good, self.np_random.random() < 0.1, self.np_random.random() < 0.1, {}


class WithMask(Tree):
    """The mask is a part of the observation."""

    observation_space: Any = Dict({"action_mask": Box(0, 1, (3,), np.int8), "kind": Discrete(3)})

    def look(self) -> Any:
        super().look()
        self.seen["action_mask"][self.np_random.integers(3)] = 1
        return self.seen

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict]:
        assert self.seen["action_mask"][action]
        return super().step(action)


class Deep(Tree):
    """Trees within trees."""

    observation_space: Any = gymnasium.spaces.Tuple(
        [
            Discrete(4),
            Dict({"bits": gymnasium.spaces.MultiBinary(2), "more": gymnasium.spaces.Tuple([Box(-1, 1, (2, 2))])}),
            MultiDiscrete([2, 3], dtype=np.int32),
        ]
    )


class Choice(Tree):
    """A single choice."""

    observation_space: Any = Discrete(3)


TREES = [Tree, WithMask, Deep, Choice]
OPTIONS = {
    "one-hot": PolicyOptions(hidden=(8,), normalise_obs=True),
    "embedding": PolicyOptions(hidden=(8,), encoder=EncoderOptions(embedding=3)),
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("env", TREES, ids=lambda env: env.__name__)
def test_segments_and_updates_are_the_definition_s(env: Any, options: PolicyOptions) -> None:
    """Discrete actions are drawn from the same numbers, so whatever is collected is the same, dtypes and all."""
    algorithm = clipper.PPO(epochs=2, minibatches=2)
    envs = [clipper.make_env(env, 3) for _ in range(2)]
    spaces = envs[0].single_observation_space, envs[0].single_action_space
    policies = [clipper.make_policy(*spaces, options, Generator().manual_seed(1)) for _ in range(2)]
    learners = [algorithm.init(policy) for policy in policies]
    engine, rollouts = CPU(learners[0], algorithm), [clipper.VectorRollouts(env, 0) for env in envs]
    for _ in range(3):
        ours, last = rollouts[0].collect(engine.actor, horizon=20)
        theirs, expected_last = rollouts[1].collect(policies[1], horizon=20)
        for name in ("obs", "action", "reward", "terminated", "done", "mask", "action_mask"):
            same(getattr(ours, name), getattr(theirs, name))
        same(last, expected_last)
        torch.testing.assert_close(ours.log_prob, theirs.log_prob, rtol=0, atol=1e-5)
        engine.update(ours, last)
        algorithm.update(learners[1], theirs, expected_last)
    for (name, p), q in zip(learners[0].state_dict().items(), learners[1].state_dict().values(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-4, msg=name)


def same(a: Any, b: Any) -> None:
    """Trees of one form, of equal tensors of one dtype."""
    each(lambda x, y: torch.testing.assert_close(x, y, rtol=0, atol=0), a, b)


def test_runs_with_such_observations_get_kernels() -> None:
    for env in TREES:
        run = clipper.train(env, clipper.PPO(horizon=16, epochs=1), total_steps=64, num_envs=2, engine="cpu")
        assert run.engine.name == "cpu"


class Huge(Tree):
    """Numbers that float32 does not hold."""

    observation_space: Any = Box(0, 2**40, (1,), np.int64)


class Sly(Tree):
    """Says that they are small, and shows one that is not."""

    observation_space: Any = Box(0, 9, (1,), np.int64)

    def look(self) -> Any:
        self.seen = np.array([2**24 + 1])
        return self.seen


def test_integers_that_rows_cannot_hold_are_told() -> None:
    settings: Any = {"algorithm": clipper.PPO(horizon=16, epochs=1), "total_steps": 32, "num_envs": 2, "engine": "cpu"}
    with pytest.raises(ConfigError, match=r"observations may be integers beyond 16777216"):
        clipper.train(Huge, **settings)
    with pytest.raises(EnvironmentContractError, match=r"Sly gave 16777216 in observations, beyond its space"):
        clipper.train(Sly, **settings)


@pytest.mark.parametrize(
    ("part", "change", "words"),
    [
        ("z", lambda x: x + 3, r"obs\['z'\] holds choices from 5 to 7, but the policy reads 2 to 4"),
        ("z", lambda x: x.int(), r"obs\['z'\] is torch.int32 .* reads torch.int64"),
        ("x", lambda x: x[..., :1], r"obs\['x'\] is torch.float32 of shape \(16, 2, 1\)"),
        ("x", None, r"obs\['x'\] is missing"),
    ],
    ids=["choice", "dtype", "shape", "missing"],
)
def test_observations_that_do_not_fit_are_refused(part: str, change: Any, words: str) -> None:
    algorithm, env = clipper.PPO(), clipper.make_env(Tree, 2)
    spaces = env.single_observation_space, env.single_action_space
    engine = CPU(algorithm.init(clipper.make_policy(*spaces, PolicyOptions(), Generator().manual_seed(0))), algorithm)
    steps, last = clipper.VectorRollouts(env, 0).collect(engine.actor, horizon=16)
    obs = {name: x for name, x in steps.obs.items() if name != part}
    if change is not None:
        obs[part] = change(steps.obs[part])
    with pytest.raises(ConfigError, match=words):
        engine.update(steps._replace(obs=obs), last)

"""Kernels on trees of actions, masked at every node, over trees of observations, beside the definition."""

import copy
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from batches import decisions
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, OneOf, Tuple
from random_trees import action_space, masks, observation_space, policy_over, shake, targets_for
from test_gradients import run_kernels
from torch import Generator

import clipper
from clipper.data.trees import each, leaves, names
from clipper.distributions import Composite
from clipper.engines.cpu.engine import CPU
from clipper.engines.eager import Torch
from clipper.errors import ConfigError
from clipper.learning.action_parts import Joint, PerPart
from clipper.networks.heads import ExpOfState, Fixed, Learned, LinearStd, SoftplusOfState
from clipper.networks.policy_options import PolicyOptions

SCALES = (Learned(), Fixed(), LinearStd(0.3), ExpOfState(), SoftplusOfState())


def drawn(seed: int) -> tuple[Any, Any, np.random.Generator]:
    """A policy over trees of both kinds, and rows for it."""
    rng = np.random.default_rng(seed)
    seen = observation_space(rng)
    policy = policy_over(rng, seen, action_space(rng), std=SCALES[rng.integers(len(SCALES))], initial_log_std=-0.3)
    return policy, targets_for(policy, seen, 60, rng, masked=bool(rng.random() < 0.8)), rng


def algorithm_for(policy: Any, rng: np.random.Generator) -> Any:
    """With one ratio, or one for each part, and coefficients of entropy of its own for one part, or for none."""
    dist, _ = policy(each(lambda x: x[None], observed(policy)))
    entropy = {}
    if isinstance(dist, Composite) and rng.random() < 0.5:
        parts = names(dist.entropies())
        entropy = {str(rng.choice(parts)).split(".")[0]: 0.3}
    parts = (Joint if rng.random() < 0.5 else PerPart)(entropy=tuple(entropy.items()))
    return clipper.PPO(entropy_coef=float(rng.choice([0.0, 0.05])), clip=0.5, parts=parts)


def observed(policy: Any) -> Any:
    space = (policy.critic_encoder or policy.encoder).space
    return each(torch.as_tensor, space.sample())


@torch.no_grad()
def away_from_kinks(policy: Any, targets: Any) -> Any:
    """Without the rows where a ratio is so near an edge of the clip range, ½ or 1½, that rounding decides."""
    steps = targets.steps
    dist, _ = policy(steps.obs, (), steps.action_mask)
    ratios = [(dist.log_prob(steps.action) - steps.log_prob).exp()]
    if steps.log_probs:
        parts = each(torch.sub, dist.log_probs(steps.action), steps.log_probs)
        ratios += [x.exp() for x in leaves(parts)]
    clear = [((x - edge).abs() > 1e-3) for x in ratios for edge in (0.5, 1.5)]
    return targets._replace(steps=steps._replace(mask=steps.mask & torch.stack(clear).all(0)))


def check_gradient(seed: int) -> None:
    """Each parameter's is the definition's in float64, and so is what is watched."""
    policy, targets, rng = drawn(seed)
    algorithm = algorithm_for(policy, rng)
    targets = away_from_kinks(policy, targets)
    double = copy.deepcopy(policy).double()
    batch = each(lambda x: x.double() if x.is_floating_point() else x, decisions(targets))
    loss, metrics = algorithm.loss(algorithm.init(double), batch)
    loss.backward()
    engine = CPU(algorithm.init(policy), algorithm)
    watched = run_kernels(engine, targets)
    whole = [float(x) for name, x in metrics.items() if name.count("/") == 1 and not name.startswith("advantage/")]
    by_part = [float(x) for name, x in metrics.items() if name.count("/") > 1]
    assert watched[:9].tolist() == pytest.approx(whole[:9], rel=1e-5, abs=2e-6), (seed, list(metrics))
    assert watched[10:].tolist() == pytest.approx(by_part, rel=1e-5, abs=2e-6), (seed, list(metrics))
    scale = torch.cat([q.grad.flatten() for q in double.parameters() if q.grad is not None]).norm()
    for (name, p), q in zip(policy.named_parameters(), double.parameters(), strict=True):
        assert p.grad is not None
        expected = torch.zeros_like(q) if q.grad is None else q.grad
        assert float((p.grad - expected).norm()) <= 1e-5 * float(expected.norm()) + 1e-6 * float(scale), (seed, name)


@pytest.mark.parametrize("seed", range(20))
def test_gradient_over_a_tree_of_actions_is_the_definition_s(seed: int) -> None:
    check_gradient(seed)


@pytest.mark.long
def test_gradients_over_many_trees_of_actions_are_the_definition_s() -> None:
    for seed in range(100, 300):
        check_gradient(seed)


class Machine(gymnasium.Env):
    """Actions of a space, whose masks at every node are drawn anew each time, and kept."""

    observation_space = Dict({"x": Box(-1, 1, (2,)), "kind": Discrete(3)})
    action_space: Any = Discrete(2)

    def look(self) -> tuple[Any, dict[str, Any]]:
        draw = self.np_random
        rows = masks(self.action_space, 1, draw)
        self.legal = each(lambda x: x[0].numpy(), rows)
        seen = {"x": draw.uniform(-1, 1, 2).astype(np.float32), "kind": draw.integers(3)}
        return seen, {"action_mask": as_given(self.action_space, self.legal)}

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        return self.look()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        check_legal(self.action_space, action, self.legal)
        seen, info = self.look()
        return seen, float(self.np_random.normal()), self.np_random.random() < 0.1, self.np_random.random() < 0.1, info


def as_given(space: Any, legal: Any) -> Any:
    """A mask as an environment gives it, which knows nothing of padding."""
    if isinstance(space, Dict):
        return {key: as_given(part, legal[key]) for key, part in space.items()}
    if isinstance(space, Tuple):
        return tuple(as_given(part, legal[i]) for i, part in enumerate(space))
    if isinstance(space, OneOf):
        return legal[0], tuple(as_given(part, legal[1][k]) for k, part in enumerate(space.spaces))
    if isinstance(space, Box):
        return tuple(legal.reshape(2, *space.shape))
    if isinstance(space, MultiDiscrete):
        return np.concatenate([row[:n] for row, n in zip(legal, space.nvec.ravel(), strict=True)])
    return legal


def check_legal(space: Any, action: Any, legal: Any) -> None:
    """The action is one of the space that the masks allow, at every node that counts."""
    if isinstance(space, Dict | Tuple):
        for key, part in space.items() if isinstance(space, Dict) else enumerate(space):
            check_legal(part, action[key], legal[key])
    elif isinstance(space, OneOf):
        k, argument = action
        assert legal[0][k]
        check_legal(space.spaces[k], argument, legal[1][k])
    elif isinstance(space, Box):
        assert (action.ravel() >= legal[0]).all()
        assert (action.ravel() <= legal[1]).all()
    else:
        start = np.ravel(getattr(space, "start", 0))
        chosen = np.ravel(action) - start
        rows = np.atleast_2d(legal)
        assert rows[np.arange(len(rows)), chosen].all()


def machine(seed: int) -> type[Machine]:
    """One with actions of a random tree."""
    space = action_space(np.random.default_rng(seed))
    return type("Machine", (Machine,), {"action_space": space})


MACHINES = range(400, 408)


@pytest.mark.parametrize("seed", MACHINES)
def test_whatever_is_drawn_is_legal_and_as_likely_as_the_definition_says(seed: int) -> None:
    env = clipper.make_env(machine(seed), 3)
    spaces = env.single_observation_space, env.single_action_space
    policy = clipper.make_policy(*spaces, PolicyOptions(hidden=(8,)), Generator().manual_seed(1))
    shake(policy, 0.3, Generator().manual_seed(2))
    algorithm = clipper.PPO()
    steps, _ = clipper.VectorRollouts(env, 0).collect(CPU(algorithm.init(policy), algorithm).actor, horizon=40)
    with torch.no_grad():
        dist, _ = policy.act(steps.obs, (), steps.action_mask)
        torch.testing.assert_close(steps.log_prob, dist.log_prob(steps.action), rtol=1e-4, atol=1e-4)
        if isinstance(dist, Composite):
            each(lambda x, y: torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-4), steps.log_probs,
                 dist.log_probs(steps.action))  # fmt: skip
        else:
            assert steps.log_probs == ()


@pytest.mark.parametrize("parts", [Joint(), PerPart()], ids=["joint", "per-part"])
@pytest.mark.parametrize("seed", list(MACHINES)[:5])
def test_updates_are_the_definition_s(seed: int, parts: Any) -> None:
    """Three of them, on the same rows, with all that is watched."""
    algorithm = clipper.PPO(epochs=2, minibatches=2, entropy_coef=0.01, parts=parts)
    env = clipper.make_env(machine(seed), 4)
    spaces = env.single_observation_space, env.single_action_space
    options = PolicyOptions(hidden=(8,), normalise_obs=True)
    policies = [clipper.make_policy(*spaces, options, Generator().manual_seed(1)) for _ in range(2)]
    learners = [algorithm.init(policy) for policy in policies]
    engines, rollouts = (CPU(learners[0], algorithm), Torch(learners[1], algorithm)), clipper.VectorRollouts(env, 0)
    for _ in range(3):
        steps, last = rollouts.collect(policies[1], horizon=32)
        ours, theirs = (engine.update(steps, last) for engine in engines)
        assert ours.keys() == theirs.keys()
        assert {k: float(x) for k, x in ours.items()} == pytest.approx(
            {k: float(x) for k, x in theirs.items()}, 2e-3, 1e-3
        )
    for (name, p), q in zip(learners[0].state_dict().items(), learners[1].state_dict().values(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-3, atol=3e-4, msg=name)


@pytest.mark.parametrize(
    "algorithm", [clipper.A2C(entropy_coef=0.01), clipper.Reinforce(episodes=6)], ids=["a2c", "reinforce"]
)
def test_policy_gradients_over_trees_are_the_definition_s(algorithm: Any) -> None:
    env = clipper.make_env(machine(401), 4)
    spaces = env.single_observation_space, env.single_action_space
    policies = [clipper.make_policy(*spaces, PolicyOptions(hidden=(8,)), Generator().manual_seed(1)) for _ in range(2)]
    learners = [algorithm.init(policy) for policy in policies]
    quota = {"episodes": 6} if isinstance(algorithm, clipper.Reinforce) else {"horizon": 16}
    steps, last = clipper.VectorRollouts(env, 0).collect(policies[1], **quota)
    ours = CPU(learners[0], algorithm).update(steps, last)
    theirs = algorithm.update(learners[1], steps, last)
    assert {k: float(x) for k, x in ours.items()} == pytest.approx({k: float(x) for k, x in theirs.items()}, 1e-3, 1e-4)
    torch.testing.assert_close(learners[0].parameters, learners[1].parameters, rtol=1e-3, atol=1e-4)


def stop_after(iteration: int) -> Callable[[Any], bool]:
    return lambda run: run.iteration < iteration


PLAN: Any = {"total_steps": 6_000, "num_envs": 4, "seed": 3}
BY_PART = clipper.PPO(horizon=16, epochs=2, minibatches=2, parts=PerPart())


def test_interrupted_equals_uninterrupted(tmp_path: Any) -> None:
    """The engine is chosen, not asked for."""
    whole = clipper.train("clipper/Platform-v0", BY_PART, run_dir=tmp_path / "whole", callback=stop_after(6), **PLAN)
    assert whole.engine.name == "cpu"
    halved = tmp_path / "halved"
    clipper.train("clipper/Platform-v0", BY_PART, run_dir=halved, callback=stop_after(3), **PLAN)
    resumed = clipper.train(resume=halved, callback=stop_after(6))
    assert resumed.exact
    for name, x in whole.state_dict()[0].items():
        assert torch.equal(x, resumed.state_dict()[0][name]), name


def test_runs_repeat_bit_for_bit() -> None:
    runs = [clipper.train(machine(402), BY_PART, callback=stop_after(4), **PLAN) for _ in range(2)]
    assert runs[0].engine.name == "cpu"
    for name, x in runs[0].state_dict()[0].items():
        assert torch.equal(x, runs[1].state_dict()[0][name]), name


def test_arguments_of_branches_not_taken_may_hold_anything() -> None:
    """They are neither read nor looked at: NaN and choices that there are none of leave no trace."""
    env = clipper.make_env("clipper/Platform-v0", 4)
    algorithm = clipper.PPO(epochs=1, minibatches=1)
    space = OneOf([Box(-1, 1, (2,)), Discrete(3), MultiDiscrete([2, 3])])
    learners = []
    for spoiled in (False, True):
        policy = clipper.make_policy(env.single_observation_space, space, PolicyOptions(), Generator().manual_seed(0))
        targets = targets_for(policy, env.single_observation_space, 30, np.random.default_rng(0), masked=False)
        choice, arguments = targets.steps.action
        if spoiled:
            fill = [np.nan, 99, -5]
            arguments = tuple(
                x.masked_fill((choice != k).reshape(*choice.shape, *(1,) * (x.ndim - 2)), fill[k])
                for k, x in enumerate(arguments)
            )
        learner = algorithm.init(policy)
        CPU(learner, algorithm).improve(targets._replace(steps=targets.steps._replace(action=(choice, arguments))))
        learners.append(learner)
    assert torch.equal(learners[0].parameters, learners[1].parameters)
    wrong = targets.steps._replace(action=(choice * 0 + 1, (arguments[0], arguments[1] * 0 + 9, arguments[2])))
    with pytest.raises(ConfigError, match=r"steps.action\[1\]\[1\] holds choices from 9 to 9"):
        CPU(learners[0], algorithm).improve(targets._replace(steps=wrong))


def test_unknown_parts_are_named() -> None:
    algorithm = clipper.PPO(horizon=16, parts=Joint(entropy=(("kick", 0.1),)))
    with pytest.raises(ConfigError, match=r"parts\.entropy names kick"):
        clipper.train("clipper/Platform-v0", algorithm, total_steps=64, num_envs=2, engine="cpu")

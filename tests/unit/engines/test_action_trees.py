"""Kernels on trees of actions, masked at every node, over trees of observations, beside the definition."""

import copy
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from batches import Still, decisions
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
from clipper.networks.heads import (
    Beta,
    Binned,
    ExpOfState,
    Fixed,
    Gaussian,
    HeadOptions,
    Learned,
    LinearStd,
    SoftplusOfState,
    TanhGaussian,
)
from clipper.networks.policy_options import PolicyOptions

SCALES = (Learned(), Fixed(), LinearStd(0.3), ExpOfState(), SoftplusOfState())


def drawn(seed: int) -> tuple[Any, Any, np.random.Generator]:
    """A policy over trees of both kinds, and rows for it."""
    rng = np.random.default_rng(seed)
    seen = observation_space(rng)
    scale, kind = SCALES[rng.integers(len(SCALES))], (Gaussian(), TanhGaussian(), Beta(), Binned(4))[rng.integers(4)]
    scale = Learned() if kind in (Beta(), Binned(4)) else scale
    policy = policy_over(rng, seen, action_space(rng), std=scale, initial_log_std=-0.3, distribution=kind)
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


def differentiate(policy: Any, algorithm: Any, batch: Any) -> dict[str, float]:
    """Leave the definition's gradient in the policy; what it watches."""
    loss, metrics = algorithm.loss(algorithm.init(policy), batch)
    loss.backward()
    return {name: float(x) for name, x in metrics.items() if not name.startswith("advantage/")}


def check_gradient(seed: int) -> None:
    """Each parameter's is the definition's in float64, and so is what is watched.

    To 1e-5, and 1e-6 of the whole gradient; or to twice what float32 costs the definition, where σ is small.
    """
    policy, targets, rng = drawn(seed)
    algorithm = algorithm_for(policy, rng)
    targets = away_from_kinks(policy, targets)
    batch = decisions(targets)
    single, double = copy.deepcopy(policy), copy.deepcopy(policy).double()
    metrics = differentiate(double, algorithm, each(lambda x: x.double() if x.is_floating_point() else x, batch))
    rounded = differentiate(single, algorithm, batch)
    engine = CPU(algorithm.init(policy), algorithm)
    watched = run_kernels(engine, targets).tolist()
    told = [name for name in metrics if name.count("/") == 1][:9], [name for name in metrics if name.count("/") > 1]
    for name, x in [*zip(told[0], watched[:9], strict=True), *zip(told[1], watched[10:], strict=True)]:
        expected = metrics[name]
        assert abs(x - expected) <= max(1e-5 * abs(expected) + 2e-6, 2 * abs(rounded[name] - expected)), (seed, name)
    whole = torch.cat([q.grad.flatten() for q in double.parameters() if q.grad is not None]).norm()
    for (name, p), q, r in zip(policy.named_parameters(), double.parameters(), single.parameters(), strict=True):
        assert p.grad is not None
        expected = torch.zeros_like(q) if q.grad is None else q.grad
        cost = 0.0 if r.grad is None else float((r.grad - expected).norm())
        limit = max(1e-5 * float(expected.norm()) + 1e-6 * float(whole), 2 * cost)
        assert float((p.grad - expected).norm()) <= limit, (seed, name)


@pytest.mark.parametrize("seed", range(20))
def test_gradient_over_a_tree_of_actions_is_the_definition_s(seed: int) -> None:
    check_gradient(seed)


@pytest.mark.long
def test_gradients_over_many_trees_of_actions_are_the_definition_s() -> None:
    for seed in range(100, 300):
        check_gradient(seed)


@pytest.mark.parametrize("log_std", [-1.5, -0.3, 0.8])
@pytest.mark.parametrize("scale", [Learned(), ExpOfState(), SoftplusOfState()], ids=lambda s: type(s).__name__)
def test_entropy_of_what_tanh_squashes_is_the_definition_s(scale: Any, log_std: float) -> None:
    """Its gradient alone, by narrow quadrature and by wide."""
    rng = np.random.default_rng(7)
    seen, done = Box(-3, 3, (3,)), Box(-2, 3, (2,))
    policy = policy_over(rng, seen, done, std=scale, initial_log_std=log_std, distribution=TanhGaussian())
    targets = targets_for(policy, seen, 30, rng, masked=False)
    algorithm: Any = clipper.PPO(entropy_coef=100.0, value_coef=0.0, clip=0.5)
    double = copy.deepcopy(policy).double()
    batch = each(lambda x: x.double() if x.is_floating_point() else x, decisions(away_from_kinks(policy, targets)))
    algorithm.loss(algorithm.init(double), batch)[0].backward()
    run_kernels(CPU(algorithm.init(policy), algorithm), away_from_kinks(policy, targets))
    scale = torch.cat([q.grad.flatten() for q in double.parameters() if q.grad is not None]).norm()
    for (name, p), q in zip(policy.named_parameters(), double.parameters(), strict=True):
        if q.grad is not None and p.grad is not None:
            assert float((p.grad - q.grad).norm()) <= 1e-5 * float(q.grad.norm()) + 1e-6 * float(scale), name


@pytest.mark.parametrize("kind", [TanhGaussian(), Beta()], ids=lambda kind: type(kind).__name__)
def test_bounded_actions_come_as_they_should(kind: Any) -> None:
    """Mean and spread of 50,000 draws in one state are the distribution's, and what is sent is what the head says."""
    seen, done = Box(-3, 3, (3,)), Box(-1, 1, (2,))
    head = HeadOptions(distribution=kind, initial_log_std=-0.5)
    policy = clipper.make_policy(seen, done, PolicyOptions(hidden=(5,), head=head), Generator().manual_seed(0))
    shake(policy, 0.5, Generator().manual_seed(1))
    n, algorithm = 50_000, clipper.PPO()
    obs = np.tile(np.array([0.3, -1.0, 2.0], np.float32), (n, 1))
    env = Still(obs, done)
    rollouts = clipper.VectorRollouts(env, 3)
    recorder = CPU(algorithm.init(policy), algorithm).recorder(env, rollouts)
    recorder.begin(1)
    sent, drawn_ = recorder.act(0), torch.from_numpy(recorder.action[0])
    np.testing.assert_allclose(sent, policy.to_env(drawn_), atol=1e-5)
    with torch.no_grad():
        dist, _ = policy.act(torch.from_numpy(obs[:1]))
        torch.testing.assert_close(
            torch.from_numpy(recorder.log_prob[0]),
            policy.act(torch.from_numpy(obs))[0].log_prob(drawn_),
            rtol=1e-4,
            atol=1e-4,
        )
        x = torch.sigmoid(drawn_.double()) if kind == Beta() else drawn_.double()
        a, b = (p[0].double() if p.ndim > 1 else p.double() for p in dist.params)
    known = torch.distributions.Beta(a, b) if kind == Beta() else torch.distributions.Normal(a, b.exp())
    assert ((x.mean(0) - known.mean).abs() < 4 * known.stddev / n**0.5).all()
    assert ((x.std(0) / known.stddev - 1).abs() < 0.03).all()


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


@pytest.mark.parametrize("kind", [Gaussian(), Binned(5)], ids=lambda kind: type(kind).__name__)
@pytest.mark.parametrize("seed", MACHINES)
def test_whatever_is_drawn_is_legal_and_as_likely_as_the_definition_says(seed: int, kind: Any) -> None:
    env = clipper.make_env(machine(seed), 3)
    spaces = env.single_observation_space, env.single_action_space
    options = PolicyOptions(hidden=(8,), head=HeadOptions(distribution=kind))
    policy = clipper.make_policy(*spaces, options, Generator().manual_seed(1))
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


@pytest.mark.parametrize(
    ("parts", "kind"), [(Joint(), Gaussian()), (PerPart(), Gaussian()), (Joint(), Binned(5))],
    ids=["joint", "per-part", "bins"],
)  # fmt: skip
@pytest.mark.parametrize("seed", list(MACHINES)[:5])
def test_updates_are_the_definition_s(seed: int, parts: Any, kind: Any) -> None:
    """Three of them, on the same rows, with all that is watched."""
    algorithm = clipper.PPO(epochs=2, minibatches=2, entropy_coef=0.01, parts=parts)
    env = clipper.make_env(machine(seed), 4)
    spaces = env.single_observation_space, env.single_action_space
    options = PolicyOptions(hidden=(8,), normalise_obs=True, head=HeadOptions(distribution=kind))
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

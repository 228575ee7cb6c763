"""Kernels under masks, and with a σ that follows a plan, beside the definition."""

import copy
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from batches import Kind, decisions, make_steps, small_policy
from torch import Generator, Tensor

import clipper
from clipper.data.steps import Targets
from clipper.data.trees import each
from clipper.engines.cpu.engine import CPU
from clipper.engines.cpu.passes import Shares
from clipper.networks.heads import Fixed, HeadOptions, LinearLogStd, LinearStd, Scale

SIZES = {"categorical": [3], "several": [2, 3, 4, 2]}


def random_mask(kind: Kind, shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Legal with probability ½, one choice of each part surely; padded as ``clipper.spaces.action_masks`` pads."""
    parts = []
    for size in SIZES[kind]:
        legal = torch.rand(*shape, size, generator=generator) < 0.5
        legal |= torch.arange(size) == torch.randint(size, (*shape, 1), generator=generator)
        parts.append(torch.nn.functional.pad(legal, (0, max(SIZES[kind]) - size)))
    return torch.stack(parts, -2) if kind == "several" else parts[0]


@pytest.mark.parametrize("kind", ["categorical", "several"])
def test_the_masked_gradient_is_the_definition_s(kind: Kind) -> None:
    generator = Generator().manual_seed(0)
    policy = small_policy(kind, clipper.PolicyOptions(hidden=(16, 8)))
    with torch.no_grad():
        for p in policy.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=generator))
    steps, _ = make_steps(policy, 150, 4, seed=1)
    mask = random_mask(kind, (150, 4), generator)
    with torch.no_grad():
        dist, value = policy(steps.obs, action_mask=mask)
        action = dist.sample(generator)
    behaviour = dist.log_prob(action) + 0.3 * torch.randn(150, 4, generator=generator)
    steps = steps._replace(action=action, log_prob=behaviour, action_mask=mask)
    advantage, target = torch.randn(2, 150, 4, generator=generator) + 1
    targets = Targets(steps, advantage, target, value.mean)
    algorithm: Any = clipper.PPO(entropy_coef=0.02)

    double = copy.deepcopy(policy).double()
    batch = each(lambda x: x.double() if x.is_floating_point() else x, decisions(targets))
    algorithm.loss(algorithm.init(double), batch)[0].backward()
    engine = CPU(algorithm.init(policy), algorithm)
    keep = np.flatnonzero(steps.mask.numpy())
    rows = engine.rows(targets)
    Shares(engine, engine.net, rows, engine.loss(rows, keep, steps), keep).add_up(0, len(keep))
    for (name, p), q in zip(policy.named_parameters(), double.parameters(), strict=True):
        assert p.grad is not None
        assert q.grad is not None
        assert float((p.grad - q.grad).norm() / q.grad.norm()) <= 1e-5, name


class Lock(gymnasium.Env):
    """Two wheels; which of their digits may be turned to is drawn anew each time."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space = gymnasium.spaces.MultiDiscrete([3, 2])

    def look(self) -> tuple[np.ndarray, dict[str, Any]]:
        self.legal = self.np_random.random(5) < 0.4
        self.legal[[self.np_random.integers(3), 3 + self.np_random.integers(2)]] = True
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {"action_mask": self.legal.copy()}

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        return self.look()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        assert self.legal[action[0]]
        assert self.legal[3 + action[1]]
        obs, info = self.look()
        return obs, float(action.sum()), self.np_random.random() < 0.2, False, info


def test_a_masked_segment_is_the_definition_s() -> None:
    env, other = (clipper.make_env(Lock, 3) for _ in range(2))
    policy = clipper.make_policy(
        env.single_observation_space, env.single_action_space, clipper.PolicyOptions(), Generator().manual_seed(1)
    )
    engine = CPU(clipper.PPO().init(policy), clipper.PPO())
    state, expected_state = clipper.VectorRollouts(env, 0), clipper.VectorRollouts(other, 0)
    for _ in range(2):
        steps, _ = state.collect(engine.actor, horizon=50)
        expected, _ = expected_state.collect(policy, horizon=50)
        for name in ("obs", "action", "reward", "done", "mask", "action_mask"):
            assert torch.equal(getattr(steps, name), getattr(expected, name)), name
        torch.testing.assert_close(steps.log_prob, expected.log_prob, rtol=0, atol=1e-5)
        assert torch.equal(state.action_mask, expected_state.action_mask)


class Fenced(Lock):
    """A movement whose bounds change, and are kept."""

    action_space: Any = gymnasium.spaces.Box(np.array([-2, -np.inf], np.float32), np.array([2, np.inf], np.float32))

    def look(self) -> tuple[np.ndarray, dict[str, Any]]:
        self.low = self.np_random.uniform(-1, 0, 2).astype(np.float32)
        return np.zeros(2, np.float32), {"action_mask": (self.low, self.low + 1)}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        assert (self.low <= action).all()
        assert (action <= self.low + 1).all()
        self.taken = action
        obs, info = self.look()
        return obs, 0.0, False, False, info


def test_bounds_by_state_are_the_definition_s() -> None:
    """What environments take is what the head makes of the same draw."""
    env = clipper.make_env(Fenced, 3)
    spaces = env.single_observation_space, env.single_action_space
    policy = clipper.make_policy(*spaces, clipper.PolicyOptions(), Generator().manual_seed(1))
    algorithm = clipper.PPO()
    rollouts = clipper.VectorRollouts(env, 0)
    steps, _ = rollouts.collect(CPU(algorithm.init(policy), algorithm).actor, horizon=1)
    taken = np.stack([one.unwrapped.taken for one in env.unwrapped.envs])  # pyright: ignore[reportAttributeAccessIssue]
    np.testing.assert_array_equal(taken, policy.to_env(steps.action[0], steps.action_mask[0]))
    assert clipper.train(Fenced, clipper.PPO(horizon=16, epochs=1), total_steps=64, engine="cpu").engine.name == "cpu"


@pytest.mark.parametrize("scale", [Fixed(), LinearLogStd(-1.5), LinearStd(0.2)], ids=lambda s: type(s).__name__)
def test_a_planned_deviation_is_the_definition_s(scale: Scale) -> None:
    """A whole update at half of the run, after a segment whose noise has the deviation of that moment."""
    head = HeadOptions(std=scale, initial_log_std=0.0)
    algorithm = clipper.PPO(epochs=2, minibatches=2)
    policies = [small_policy("gaussian", clipper.PolicyOptions(hidden=(8,), head=head)) for _ in range(2)]
    learners = [algorithm.init(policy) for policy in policies]
    for learner in learners:
        learner.advance(0.5)
    std = {Fixed: 1.0, LinearLogStd: np.exp(-0.75), LinearStd: 0.6}[type(scale)]
    steps, last = make_steps(policies[0], 64, 4, seed=0)
    spread = (steps.action - policies[0](steps.obs)[0].mean).std()
    assert float(spread.detach()) == pytest.approx(std, rel=0.1)
    engine = CPU(learners[0], algorithm)
    engine.update(steps, last)
    algorithm.update(learners[1], steps, last)
    for p, q in zip(policies[0].parameters(), policies[1].parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-5)

    env = clipper.make_env("Pendulum-v1", 4)
    spaces = env.single_observation_space, env.single_action_space
    policy = clipper.make_policy(*spaces, clipper.PolicyOptions(hidden=(8,), head=head), Generator().manual_seed(1))
    learner = algorithm.init(policy)
    learner.advance(0.5)
    drawn, _ = clipper.VectorRollouts(env, 0).collect(CPU(learner, algorithm).actor, horizon=300)
    with torch.no_grad():
        dist, _ = policy(drawn.obs)
    torch.testing.assert_close(drawn.log_prob, dist.log_prob(drawn.action), rtol=0, atol=1e-4)
    assert float((drawn.action - dist.mean).std()) == pytest.approx(std, rel=0.05)

"""Compiled draws at the ends of what a uniform number may be, where rounding decides, and beside the closed form."""

from typing import Any

import numpy as np
import pytest
import torch
from batches import Still
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete
from torch import Generator

import clipper
from clipper.distributions import Categorical
from clipper.distributions.categorical import possible
from clipper.engines.cpu.engine import CPU
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.heads import HeadOptions
from clipper.networks.make_policy import make_policy

ROWS = 400
LARGEST = 1 - 2.0**-24  # the largest number that torch.rand gives
EXTREMES = [0.0, 2.0**-24, 2.0**-149, 0.5, *(1 - m * 2.0**-24 for m in (16, 4, 3, 2)), LARGEST]
SPACES = [Discrete(2), Discrete(7), Discrete(18), Discrete(64), MultiDiscrete([3, 19, 2, 8]), MultiBinary(9)]


def policy_for(space: Any, gain: float) -> ActorCritic:
    options = clipper.PolicyOptions(hidden=(16,), head=HeadOptions(action_gain=gain))
    return make_policy(Box(-9, 9, (5,)), space, options, Generator().manual_seed(0))


def parts_of(space: Any) -> list[int]:
    if isinstance(space, Discrete):
        return [int(space.n)]
    return space.nvec.tolist() if isinstance(space, MultiDiscrete) else [2] * int(np.prod(space.shape))


def masks(space: Any, kind: str, rng: np.random.Generator) -> list[np.ndarray]:
    """``[ROWS, K]`` of each part; at least one choice is legal."""
    found = []
    for k in parts_of(space):
        one = rng.integers(0, k, (ROWS, 1))
        first = np.arange(k) <= one
        found.append({"first": first, "last": ~first | (np.arange(k) == k - 1), "one": np.arange(k) == one,
                      "any": (rng.random((ROWS, k)) < 0.4) | (np.arange(k) == one)}[kind])  # fmt: skip
    return found


def padded(space: Any, parts: list[np.ndarray]) -> torch.Tensor:
    """As ``clipper.spaces.action_masks`` lays masks out."""
    if isinstance(space, Discrete):
        return torch.from_numpy(parts[0])
    widest = max(part.shape[1] for part in parts)
    return torch.from_numpy(np.stack([np.pad(p, ((0, 0), (0, widest - p.shape[1]))) for p in parts], 1))


def drawn(policy: ActorCritic, obs: np.ndarray, mask: Any, u: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the kernel makes of uniform numbers ``u``: actions ``[ROWS, parts]``, and their log-probabilities."""
    algorithm = clipper.PPO(horizon=1)
    space: Any = policy.action_space
    env = Still(obs[0], space)
    rollouts = clipper.VectorRollouts(env, 0)
    rollouts.action_mask = mask
    recorder = CPU(algorithm.init(policy), algorithm).recorder(env, rollouts)
    recorder.begin(1)
    recorder.uniform[:] = torch.as_tensor(u)
    recorder.act(0)
    return recorder.choice[0], recorder.log_prob[0]


@pytest.mark.parametrize("kind", ["first", "last", "one", "any"])
@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("gain", [0.01, 6.0, 60.0])
def test_no_choice_that_a_mask_forbids_is_drawn_whatever_u(space: Any, kind: str, gain: float) -> None:
    rng = np.random.default_rng(1)
    policy, obs = policy_for(space, gain), rng.normal(size=(2, ROWS, 5)).astype(np.float32)
    parts = masks(space, kind, rng)
    for u in [*EXTREMES, rng.random((ROWS, len(parts)), np.float32)]:
        action, log_prob = drawn(policy, obs, padded(space, parts), u)
        for part, legal in enumerate(parts):
            assert legal[np.arange(ROWS), action[:, part]].all(), (u, part)
        assert (log_prob > -1e8).all()


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_draws_are_the_inverse_of_the_cumulative_distribution(space: Any) -> None:
    """In float64 the first k whose cumulative probability exceeds u, wherever u is not within rounding of an edge."""
    rng = np.random.default_rng(2)
    policy, obs = policy_for(space, 3.0), rng.normal(size=(2, ROWS, 5)).astype(np.float32)
    parts = masks(space, "any", rng)
    with torch.no_grad():
        dist: Any = policy.act(torch.from_numpy(obs[0]), (), padded(space, parts))[0]
        logits = dist.logits.double()
    logits = logits.reshape(ROWS, len(parts), -1).numpy()
    for _ in range(20):
        u = rng.random((ROWS, len(parts)), np.float32)
        action, _ = drawn(policy, obs, padded(space, parts), u)
        for part, legal in enumerate(parts):
            p = np.exp(logits[:, part] - logits[:, part].max(-1, keepdims=True))
            edges = (p / p.sum(-1, keepdims=True)).cumsum(-1)
            expected = (edges <= u[:, part, None]).sum(-1)
            clear = (np.abs(edges - u[:, part, None]) > 1e-5).all(-1)
            assert clear.mean() > 0.9
            assert (action[:, part] == expected)[clear].all()
            assert legal[np.arange(ROWS), action[:, part]].all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("extreme", ["0", "largest"])
def test_the_definition_draws_no_forbidden_choice_either(
    dtype: torch.dtype, extreme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bits = {torch.float32: 24, torch.float64: 53, torch.bfloat16: 8, torch.float16: 11}[dtype]
    u = 0.0 if extreme == "0" else 1 - 2.0**-bits
    monkeypatch.setattr(torch, "rand", lambda shape, **kw: torch.full(shape, u, dtype=kw["dtype"]))
    generator = Generator().manual_seed(0)
    for k in (2, 3, 18, 200):
        for scale in (0.01, 1.0, 20.0):
            logits = (scale * torch.randn(4000, k, generator=generator)).to(dtype)
            legal = torch.rand_like(logits.float()) < 0.3
            legal |= torch.arange(k) == torch.randint(k, (4000, 1), generator=generator)
            action = Categorical(logits.masked_fill(~legal, -6e4)).sample()
            assert legal.gather(1, action[:, None]).all(), (k, scale)


def test_what_an_accelerator_s_sums_would_let_through_is_replaced() -> None:
    p = torch.tensor([[0.2, 0.0, 0.8], [0.7, 0.3, 0.0], [1.0, 0.0, 0.0]])
    assert possible(torch.tensor([1, 2, 1]), p).tolist() == [2, 0, 0]
    assert possible(torch.tensor([0, 1, 0]), p).tolist() == [0, 1, 0]

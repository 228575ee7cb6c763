"""Spaces, policies over them and rows that these decide, all drawn from a seed."""

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, OneOf, Tuple
from torch import Generator, Tensor

from clipper.data.steps import Steps, Targets
from clipper.data.trees import each, total
from clipper.distributions import Composite
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.heads import HeadOptions
from clipper.networks.make_policy import make_policy
from clipper.networks.policy_options import EncoderOptions, PolicyOptions

DEPTH = 3


def observation_space(rng: np.random.Generator, depth: int = DEPTH) -> gymnasium.Space:
    """A leaf, or a Dict or Tuple of one to three."""
    if depth and rng.random() < 0.7:
        return joined(rng, [observation_space(rng, depth - 1) for _ in range(rng.integers(1, 4))])
    kind = rng.choice(["box", "discrete", "discrete", "several", "bits", "integers"])
    if kind == "box":
        return Box(
            -3, 3, tuple(rng.integers(1, 4, rng.integers(0, 3)).tolist()), (np.float32, np.float64)[rng.integers(2)]
        )
    if kind == "discrete":
        return Discrete(int(rng.integers(1, 9)), start=int(rng.integers(-3, 4)))
    if kind == "several":
        return MultiDiscrete(rng.integers(1, 5, rng.integers(1, 4)))
    return MultiBinary(int(rng.integers(1, 4))) if kind == "bits" else Box(-9, 9, (2,), np.int32)


def action_space(rng: np.random.Generator, depth: int = DEPTH) -> gymnasium.Space:
    """A leaf, or a Dict, Tuple or OneOf of one to three."""
    if depth and rng.random() < 0.75:
        parts = [action_space(rng, depth - 1) for _ in range(rng.integers(1, 4))]
        return OneOf(parts) if rng.random() < 0.5 else joined(rng, parts)
    kind = rng.choice(["box", "discrete", "several", "bits"])
    if kind == "box":
        return Box(-2, 3, tuple(rng.integers(1, 3, rng.integers(1, 3)).tolist()))
    if kind == "discrete":
        return Discrete(int(rng.integers(1, 6)), start=int(rng.integers(-3, 4)))
    return MultiDiscrete(rng.integers(1, 5, rng.integers(1, 4))) if kind == "several" else MultiBinary(2)


def joined(rng: np.random.Generator, parts: list[Any]) -> gymnasium.Space:
    """A Tuple of the parts, or a Dict in an order that is not the alphabet's."""
    if rng.random() < 0.4:
        return Tuple(parts)
    return Dict(dict(zip(rng.permutation(list("abc")).tolist(), parts, strict=False)), sort_keys=False)


def options(rng: np.random.Generator, space: gymnasium.Space, head: HeadOptions | None = None) -> PolicyOptions:
    """Small networks of every form."""
    shared, keys = bool(rng.random() < 0.4), list(space) if isinstance(space, Dict) else []
    hidden = [(), (9,), (8, 5)]
    critic_only = keys[:1] if len(keys) > 1 and not shared and rng.random() < 0.5 else []
    return PolicyOptions(
        hidden=hidden[rng.integers(3)],
        critic_hidden=None if shared or rng.random() < 0.5 else hidden[rng.integers(3)],
        activation=rng.choice(["tanh", "relu", "elu", "silu"]),
        layer_norm=bool(rng.random() < 0.4),
        shared=shared,
        normalise_obs=bool(rng.random() < 0.5),
        normalise_returns=bool(rng.random() < 0.5),
        encoder=EncoderOptions(embedding=int(rng.choice([0, 0, 3])), critic_only=tuple(critic_only)),
        head=head or HeadOptions(),
    )


@torch.no_grad()
def policy_over(rng: np.random.Generator, seen: gymnasium.Space, done: gymnasium.Space, **head: Any) -> ActorCritic:
    """A policy whose parameters all differ, and which has seen some observations."""
    generator = Generator().manual_seed(int(rng.integers(2**31)))
    policy = make_policy(seen, done, options(rng, seen, HeadOptions(**head)), generator)
    shake(policy, 0.1, generator)
    policy.absorb(observations(seen, 50, 1), 1 + 2 * torch.randn(50, generator=generator))
    return policy


@torch.no_grad()
def shake(policy: ActorCritic, by: float, generator: Generator) -> None:
    """Move every parameter a little."""
    for p in policy.parameters():
        p.add_(by * torch.randn(p.shape, generator=generator))


def observations(space: gymnasium.Space, count: int, seed: int) -> Any:
    """So many observations, side by side as a learner reads them."""
    space.seed(seed)
    return each(lambda *x: as_read(np.stack(x)), *[space.sample() for _ in range(count)])


def as_read(x: np.ndarray) -> Tensor:
    """Floating-point numbers as float32, all else as it is."""
    return torch.from_numpy(x.astype(np.float32) if x.dtype.kind == "f" else x)


def masks(space: gymnasium.Space, rows: int, rng: np.random.Generator) -> Any:
    """``[rows, …]`` of each part, as ``clipper.spaces.action_masks`` lays them out; something is legal everywhere."""
    if isinstance(space, Box):
        whole = np.stack([space.low.reshape(-1), space.high.reshape(-1)])
        return torch.from_numpy(np.sort(rng.uniform(whole[0], whole[1], (rows, *whole.shape)), 1).astype(np.float32))
    if isinstance(space, Dict):
        return {key: masks(part, rows, rng) for key, part in space.items()}
    if isinstance(space, Tuple):
        return tuple(masks(part, rows, rng) for part in space)
    if isinstance(space, OneOf):
        return legal([len(space.spaces)], rows, rng)[:, 0], tuple(masks(part, rows, rng) for part in space.spaces)
    if isinstance(space, Discrete):
        return legal([int(space.n)], rows, rng)[:, 0]
    assert isinstance(space, MultiDiscrete | MultiBinary)
    return legal(
        space.nvec.tolist() if isinstance(space, MultiDiscrete) else [2] * int(np.prod(space.shape)), rows, rng
    )


def legal(sizes: list[int], rows: int, rng: np.random.Generator) -> Tensor:
    """``[rows, D, K]``, padded to the longest."""
    found = np.zeros((rows, len(sizes), max(sizes)), bool)
    for k, size in enumerate(sizes):
        found[:, k, :size] = rng.random((rows, size)) < 0.6
        found[np.arange(rows), k, rng.integers(size, size=rows)] = True
    return torch.from_numpy(found)


@torch.no_grad()
def targets_for(
    policy: ActorCritic, seen: gymnasium.Space, rows: int, rng: np.random.Generator, masked: bool = True
) -> Targets:
    """``[rows, 4]`` decisions of a policy near this one, with noise for what a loss fits."""
    generator = Generator().manual_seed(int(rng.integers(2**31)))
    count = rows * 4
    obs = observations(seen, count, int(rng.integers(2**31)))
    legal = masks(policy.action_space, count, rng) if masked and policy.action_space is not None else ()
    dist, value = policy(obs, (), legal)
    action = dist.sample(generator)
    log_probs: Any = dist.log_probs(action) if isinstance(dist, Composite) else ()
    log_probs = each(lambda x: x + x.ne(0) * 0.2 * torch.randn(x.shape, generator=generator), log_probs)
    log_prob = policy(obs, (), legal)[0].log_prob(action) + 0.2 * torch.randn(count, generator=generator)
    log_prob = total(log_probs) if log_probs else log_prob
    advantage, target, old = torch.randn(3, count, generator=generator) + torch.tensor([[0.5], [1.0], [0.0]])
    flags = torch.rand(3, count, generator=generator)
    done, mask = flags[0] < 0.1, flags[2] < 0.8
    steps = Steps(
        obs, action, log_prob, advantage, done & mask & (flags[1] < 0.5), done & mask, mask, (), legal, log_probs
    )
    batch = Targets(steps, advantage, target + value.mean, value.mean + 0.3 * old)
    return each(lambda x: x.reshape(rows, 4, *x.shape[1:]), batch)

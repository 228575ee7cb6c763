"""A learner on kernels beside the definition's in float64, and decisions for both, with the same noise."""

import copy
import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import pytest
import torch
from gymnasium.spaces import Box, Discrete, OneOf
from torch import Generator, Tensor, nn

import clipper
from clipper.data.steps import Steps
from clipper.data.trees import Tree, each
from clipper.engines.cpu.from_replay import CPUFromReplay
from clipper.learning.learner import Learner
from clipper.networks.make_policy import make_policy

NUMBERS = Box(-9, 9, (5,))
TREE = gymnasium.spaces.Dict(
    {"at": Box(-9, 9, (2,)), "kind": Discrete(3, start=1), "on": gymnasium.spaces.MultiBinary(2)}
)
SIZES = 2, 0, 1, 3
BRANCHES = OneOf([Box(-1, 1, (size,)) if size else Discrete(1) for size in SIZES])
RANDN = torch.randn


@dataclasses.dataclass
class Pair:
    """The same learner twice."""

    algorithm: Any
    engine: CPUFromReplay
    exact: Learner
    """In float64."""

    @property
    def learner(self) -> Learner:
        """The one on kernels."""
        return self.engine.learner


def wide(x: Tensor) -> Tensor:
    return x.double() if x.is_floating_point() else x


@contextmanager
def narrow_noise() -> Iterator[None]:
    """Noise of float64 tensors is drawn in float32: other numbers would come else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "randn", lambda *a, dtype=None, **k: RANDN(*a, dtype=torch.float32, **k).to(dtype))
        yield


def action_space(algorithm: Any) -> gymnasium.Space:
    if isinstance(algorithm, clipper.PDQN | clipper.PADDPG):
        return BRANCHES
    return Discrete(4) if isinstance(algorithm, clipper.DQN) else Box(-1, 1, (2,))


def make_pair(algorithm: Any, options: clipper.PolicyOptions, space: gymnasium.Space = NUMBERS) -> Pair:
    """Lagged copies are not what they are copies of; numbers that inverted gradients bound lie beyond them, too."""
    options = algorithm.policy_options(options)
    policy: Any = make_policy(space, action_space(algorithm), options, Generator().manual_seed(0))
    if isinstance(algorithm, clipper.PDQN | clipper.PADDPG):
        for own in getattr(policy.head, "arguments", policy.head).modules():
            own.weight.data.mul_(4) if isinstance(own, nn.Linear) else None
    learner = algorithm.init(policy, seed=1)
    exact = algorithm.init(copy.deepcopy(policy).double(), seed=1)
    g = Generator().manual_seed(2)
    for name, module in learner.modules.items():
        for p, q in zip(parameters(module), parameters(exact.modules[name]), strict=True):
            p.data.add_(0.1 * RANDN(p.shape, generator=g) if name.startswith("lagged") else 0)
            q.data.copy_(p.data)
    return Pair(algorithm, CPUFromReplay(learner, algorithm), exact)


def parameters(module: Any) -> list[nn.Parameter]:
    return list(module.parameters()) if isinstance(module, nn.Module) else []


def seen(space: gymnasium.Space, rows: int, columns: int, g: Generator) -> Tree:
    if space is NUMBERS:
        return RANDN(rows, columns, 5, generator=g)
    kind, on = (
        torch.randint(a, b, size, generator=g) for a, b, size in ((1, 4, (rows, columns)), (0, 2, (rows, columns, 2)))
    )
    return {"at": RANDN(rows, columns, 2, generator=g), "kind": kind, "on": on.to(torch.int8)}


def decisions(
    algorithm: Any, rows: int = 60, columns: int = 3, seed: int = 3, space: gymnasium.Space = NUMBERS,
    masked: bool = False,
) -> tuple[Steps, Tree]:  # fmt: skip
    """Episodes of some ten decisions, half of them cut off; the row after each end is no decision."""
    g = Generator().manual_seed(seed)
    obs, shape = seen(space, rows + 1, columns, g), (rows, columns)
    done, mask = torch.rand(shape, generator=g) < 0.1, torch.ones(shape, dtype=torch.bool)
    mask[1:] = ~done[:-1]
    done &= mask
    terminated = done & (torch.rand(shape, generator=g) < 0.5)
    action, masks = drawn(algorithm, shape, g), isinstance(algorithm, clipper.PDQN | clipper.PADDPG)
    reward, nothing = RANDN(shape, generator=g), torch.zeros(shape)
    legal = torch.rand(*shape, 4, generator=g) < 0.6
    legal[..., 0] |= mask
    steps = Steps(each(lambda x: x[:rows], obs), action, nothing, reward, terminated, done, mask)
    legal = (legal, tuple(torch.ones(*shape, 2, size) for size in SIZES)) if masks else legal
    return steps._replace(action_mask=legal if masked else ()), each(lambda x: x[rows], obs)


def drawn(algorithm: Any, shape: tuple[int, int], g: Generator) -> Tree:
    """Actions as they were sampled."""
    if isinstance(algorithm, clipper.PDQN):
        nothing = torch.zeros(shape, dtype=torch.int64)
        numbers = [2 * torch.rand(*shape, size, generator=g) - 1 for size in SIZES]
        arguments = tuple(x if x.shape[-1] else nothing for x in numbers)
        return torch.randint(len(SIZES), shape, generator=g), arguments
    if isinstance(algorithm, clipper.PADDPG):
        return 2 * torch.rand(*shape, len(SIZES) + sum(SIZES), generator=g) - 1
    return torch.randint(4, shape, generator=g) if isinstance(algorithm, clipper.DQN) else RANDN(*shape, 2, generator=g)


def update_both(pair: Pair, steps: Steps, last: Tree) -> tuple[dict[str, float], dict[str, float]]:
    """What is watched of an update of each."""
    told = pair.engine.update(steps, last)
    exact = steps._replace(**{name: each(wide, getattr(steps, name)) for name in ("obs", "action", "reward")})
    with narrow_noise():
        expected = pair.algorithm.update(pair.exact, exact, each(wide, last))
    assert torch.equal(pair.learner.generator.get_state(), pair.exact.generator.get_state())
    assert list(told) == list(expected)
    return {k: float(x) for k, x in told.items()}, {k: float(x) for k, x in expected.items()}


def error(x: Tensor, exact: Tensor) -> float:
    """Relative to all of it."""
    return float((x.detach().double() - exact.detach()).norm() / exact.detach().norm().clamp(min=1e-12))


def error_of_movement(x: Tensor, exact: Tensor, start: Tensor) -> float:
    """Relative to how far it has come, beyond twice the rounding of float32 itself."""
    apart, rounding = (x.detach().double() - exact.detach()).norm(), 2**-23 * exact.detach().norm()
    return float((apart - rounding).clamp(min=0) / (exact.detach() - start).norm().clamp(min=1e-12))


def flat(module: Any) -> Tensor:
    return torch.cat([p.detach().flatten() for p in parameters(module)])


def due(algorithm: Any, steps: int, rows: Steps) -> Any:
    """The algorithm with so many gradient steps due after these rows."""
    return dataclasses.replace(algorithm, learning_starts=1, update_ratio=(steps + 0.5) / (int(rows.mask.sum()) - 1))

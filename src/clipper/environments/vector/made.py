"""Environments as their factories make them: all, or none."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack

import gymnasium
import numpy as np
from gymnasium.wrappers import OrderEnforcing

from clipper.environments.closing import close


def unguarded(env: gymnasium.Env) -> gymnasium.Env:
    """Without Gymnasium's guard against a step before the first reset: ``Serial`` takes none, and it costs 4 %."""
    outer, inner = None, env
    while isinstance(inner, gymnasium.Wrapper):
        if type(inner) is OrderEnforcing:
            if outer is None:
                return inner.env
            outer.env = inner.env
            return env
        outer, inner = inner, inner.env
    return env


def made(factories: Sequence[Callable[[], gymnasium.Env]]) -> list[gymnasium.Env]:
    """The environments; where one cannot be made, those before it are closed."""
    with ExitStack() as stack:
        envs: list[gymnasium.Env] = []
        for factory in factories:
            envs.append(unguarded(factory()))
            stack.callback(close, envs[-1], f"environment {len(envs) - 1}")
        stack.pop_all()
    return envs


def anew(seed: int | None, row: int) -> int | None:
    """The seed of an environment that is made anew in some row: the same in every run, and none that was used."""
    return None if seed is None else int(np.random.SeedSequence([seed, row]).generate_state(1)[0])

"""The state of a native vector environment is saved and restored as any other's, arrays and JSON."""

from typing import Any

import numpy as np

from clipper.environments import make
from clipper.environments.state import get_states, set_states


def test_states_of_a_native_environment_bring_another_one_to_the_same_run() -> None:
    first: Any = make("clipper/Platform-v0", 5)
    first.reset(seed=1)
    actions = np.full(5, 2), (np.full((5, 1), 20.0), np.full((5, 1), 300.0), np.full((5, 1), 250.0))
    for _ in range(7):
        first.step(actions)
    states = get_states(first)
    assert states is not None
    second: Any = make("clipper/Platform-v0", 5)
    set_states(second, states)
    for _ in range(20):
        for mine, other in zip(first.step(actions)[:4], second.step(actions)[:4], strict=True):
            np.testing.assert_array_equal(mine, other)

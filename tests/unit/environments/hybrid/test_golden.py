"""Our environments do what the originals do: recorded decisions of theirs, replayed from the same random numbers."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from environments.hybrid.make_golden import NAMES, our_action

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.npz"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p.stem)
def test_observations_rewards_and_ends_are_the_originals(path: Path) -> None:
    replay(path, gymnasium.make(NAMES[path.stem]), partial(our_action, path.stem))


def test_hard_moves_published_actions_are_the_originals_as_they_are() -> None:
    path = Path(__file__).parent / "golden" / "hardmove.npz"
    replay(path, gymnasium.make(NAMES["hardmove"], actions="published"), lambda size, choice, argument: (
        choice, argument[:size].astype(np.float32)
    ))  # fmt: skip


def replay(path: Path, env: gymnasium.Env, our_action: Callable[[int, int, np.ndarray], object]) -> None:
    """Every recorded decision, taken in ``env``, is what it was there."""
    golden = np.load(path)
    sizes = golden["sizes"]
    columns = (golden[name] for name in ("choice", "argument", "obs", "reward", "terminated", "begins"))
    rows = zip(*columns, strict=True)
    for t, (choice, argument, obs, reward, terminated, begins) in enumerate(rows):
        if begins:
            ours, _ = env.reset(seed=int(golden["seed"])) if t == 0 else env.reset()
        else:
            action = our_action(sizes[choice], choice, argument)
            ours, our_reward, our_end, _, _ = env.step(action)
            assert our_reward == pytest.approx(reward, abs=1e-9), t
            assert our_end == terminated, t
        np.testing.assert_allclose(ours[: len(obs)], obs, rtol=2e-7, atol=1e-9, err_msg=f"decision {t}")

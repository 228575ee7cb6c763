"""Record what the ORIGINAL environments do, for ``test_golden.py``; needs a checkout of them.

    python tests/unit/environments/hybrid/make_golden.py TASK CHECKOUT [--steps 500]

CHECKOUT is the folder of github.com/thomashirtz/gym-hybrid (moving, sliding), github.com/cycraig/gym-platform
(platform), github.com/cycraig/gym-goal (goal), or RL_with_Action_Representation/HyAR in
github.com/TJU-DRL-LAB/self-supervised-rl (catchingpoint, hardmove). Old Gym is replaced by a stand-in of a few lines;
its random numbers come from Gymnasium's generator, which ours draws from too. ``--compare`` plays that many decisions
in both instead of recording, and prints the largest differences.
"""

import argparse
import importlib
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.utils import seeding

import clipper  # noqa: F401 (registers the environments)

FOLDER = Path(__file__).parent / "golden"
NAMES = {
    "moving": "clipper/Moving-v0",
    "sliding": "clipper/Sliding-v0",
    "platform": "clipper/Platform-v0",
    "goal": "clipper/Goal-v0",
    "catchingpoint": "clipper/CatchingPoint-v0",
    "hardmove": "clipper/HardMove-v0",
}


def our_action(task: str, size: int, choice: int, argument: np.ndarray) -> Any:
    """The recorded action as our environment takes it; ``size`` is how many arguments that choice has."""
    values = argument[:size].astype(np.float32)
    if task == "hardmove":
        return np.array([choice >> i & 1 for i in (3, 2, 1, 0)], np.int8), values
    return choice, values if size else 0


class Row(NamedTuple):
    """One decision: what was done, and what came of it. Episodes begin with ``begins`` and their first observation."""

    choice: int
    argument: np.ndarray
    obs: np.ndarray
    reward: float
    terminated: bool
    begins: bool


class Original(NamedTuple):
    """An original environment behind two functions."""

    reset: Callable[[], Any]
    step: Callable[[int, np.ndarray], tuple[Any, float, bool]]
    sizes: tuple[int, ...]
    low: tuple[tuple[float, ...], ...]
    high: tuple[tuple[float, ...], ...]
    limit: int
    """Decisions after which we reset it."""


def stand_in_for_gym(generator: np.random.Generator) -> None:
    """Modules ``gym`` and ``pygame`` with the few names that the originals import."""

    def anything(*args: Any, **options: Any) -> Any:
        return None

    class Legacy:
        """A generator with the old name of ``random``."""

        def __getattr__(self, name: str) -> Any:
            return getattr(generator, {"random_sample": "random"}.get(name, name))

    def module(name: str, **names: Any) -> Any:
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(names)
        return sys.modules[name]

    seeding_module = module("gym.utils.seeding", np_random=lambda seed=None: (Legacy(), seed))
    module(
        "gym",
        Env=object,
        Space=object,
        error=module("gym.error"),
        logger=types.SimpleNamespace(set_level=anything),
        spaces=module("gym.spaces", Tuple=anything, Box=anything, Discrete=anything, prng=None),
        utils=module("gym.utils", seeding=seeding_module),
    )
    module("gym.envs")
    module("gym.envs.registration", register=anything, EnvSpec=None)
    sys.modules["pygame"] = types.ModuleType("pygame")


def make_hyar(task: str, generator: np.random.Generator) -> Original:
    """HyAR's scenarios, with the ends of episodes that its training scripts set."""
    np.random.uniform = generator.uniform  # pyright: ignore[reportAttributeAccessIssue] (what its resets draw from)
    name = {"catchingpoint": "simple_catch", "hardmove": "simple_move_4_direction_v1"}[task]
    scenario = importlib.import_module(f"multiagent.scenarios.{name}").Scenario()
    make = importlib.import_module("multiagent.environment").MultiAgentEnv
    env = make(scenario.make_world(), scenario.reset_world, scenario.reward, scenario.observation)

    def step(choice: int, argument: np.ndarray) -> tuple[Any, float, bool]:
        if task == "catchingpoint":
            action = [1, float(argument[0]) * np.pi, 1, 0] if choice == 0 else [1, 0.0, 0, 1]
        else:
            action = [8, choice, 4, [float(argument[0])] * 16]
        (obs,), (reward,), _, _ = env.step([np.array(action, dtype=object)])
        return obs, reward, reward > 4 or (task == "catchingpoint" and reward == 0)

    def reset() -> Any:
        return env.reset()[0]

    if task == "catchingpoint":
        return Original(reset, step, (1, 0), ((-1,), ()), ((1,), ()), 25)
    return Original(reset, step, (1,) * 16, ((-1,),) * 16, ((1,),) * 16, 30)


def make_original(task: str, generator: np.random.Generator) -> Original:
    if task in ("catchingpoint", "hardmove"):
        return make_hyar(task, generator)
    if task in ("moving", "sliding"):
        module = importlib.import_module("gym_hybrid.environments")
        env = {"moving": module.MovingEnv, "sliding": module.SlidingEnv}[task]()

        def step(choice: int, argument: np.ndarray) -> tuple[Any, float, bool]:
            obs, reward, done, _ = env.step((choice, [float(argument[0])] if len(argument) else [0.0]))
            return obs, reward, done

        return Original(env.reset, step, (1, 1, 0), ((0,), (-1,), ()), ((1,), (1,), ()), 10**9)
    env = (
        importlib.import_module("gym_platform.envs.platform_env").PlatformEnv()
        if task == "platform"
        else importlib.import_module("gym_goal.envs.goal_env").GoalEnv()
    )
    env.np_random = sys.modules["gym.utils.seeding"].np_random()[0]

    def step_tuple(choice: int, argument: np.ndarray) -> tuple[Any, float, bool]:
        (obs, _), reward, done, _ = env.step((choice, {choice: argument.astype(np.float64)}))
        return obs, reward, done

    def reset() -> Any:
        return env.reset()[0]

    if task == "platform":
        return Original(reset, step_tuple, (1, 1, 1), ((0,), (0,), (0,)), ((30,), (720,), (430,)), 200)
    return Original(reset, step_tuple, (2, 1, 1), ((0, -15), (-7.01,), (-7.01,)), ((40, 15), (7.01,), (7.01,)), 10**9)


def play(original: Original, actions: np.random.Generator, steps: int) -> Iterator[Row]:
    """Random decisions, with one choice kept for a while so that its limits are met too."""
    obs, begins, count = original.reset(), True, 0
    width = max(original.sizes)
    favourite = 0
    for t in range(steps):
        if begins:
            yield Row(-1, np.full(width, np.nan), np.array(obs, np.float64), 0.0, False, True)
        if t % 7 == 0:
            favourite = int(actions.integers(len(original.sizes)))
        choice = favourite if actions.random() < 0.6 else int(actions.integers(len(original.sizes)))
        low, high = np.array(original.low[choice]), np.array(original.high[choice])
        margin = 0.1 * (high - low)  # some lie outside, and are clipped
        argument = actions.uniform(low - margin, high + margin).astype(np.float32)
        obs, reward, done = original.step(choice, argument)
        count += 1
        padded = np.full(width, np.nan)
        padded[: len(argument)] = argument
        yield Row(choice, padded, np.array(obs, np.float64), float(reward), bool(done), False)
        begins = done or count == original.limit
        if begins:
            obs, count = original.reset(), 0


def differences(task: str, seed: int, rows: Iterator[Row], sizes: tuple[int, ...]) -> tuple[float, float, int]:
    """The largest differences of observations (beyond float32's) and rewards from ours, and how many ends differ."""
    env = gymnasium.make(NAMES[task])
    started = False
    worst_obs, worst_reward, ends = 0.0, 0.0, 0
    for row in rows:
        if row.begins:
            obs, _ = env.reset() if started else env.reset(seed=seed)
            reward, terminated, started = 0.0, False, True
        else:
            action = our_action(task, sizes[row.choice], row.choice, row.argument)
            obs, reward, terminated, _, _ = env.step(action)
        rounding = np.spacing(np.abs(row.obs.astype(np.float32)))
        worst_obs = max(worst_obs, float((np.abs(obs[: len(row.obs)] - row.obs) - rounding).max()))
        worst_reward = max(worst_reward, abs(float(reward) - row.reward))
        ends += terminated != row.terminated
    return worst_obs, worst_reward, ends


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=sorted(NAMES))
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compare", action="store_true")
    options = parser.parse_args()
    sys.path.insert(0, str(options.checkout))
    generator = seeding.np_random(options.seed)[0]
    stand_in_for_gym(generator)
    original = make_original(options.task, generator)
    generator.bit_generator.state = seeding.np_random(options.seed)[0].bit_generator.state  # as if nothing was drawn
    rows = play(original, np.random.default_rng(options.seed + 1), options.steps)
    if options.compare:
        obs, reward, ends = differences(options.task, options.seed, rows, original.sizes)
        print(f"{options.task}: obs {obs:.1e} beyond float32's rounding, reward {reward:.1e}, {ends} ends differ")
        return
    FOLDER.mkdir(exist_ok=True)
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    arrays = dict(zip(Row._fields, columns, strict=True))
    np.savez_compressed(
        FOLDER / f"{options.task}.npz",
        seed=options.seed,
        sizes=original.sizes,
        **arrays,  # pyright: ignore
    )


if __name__ == "__main__":
    main()

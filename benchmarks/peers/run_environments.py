"""The environments alone, with random actions drawn beforehand: no library can be faster in one process."""

import importlib
import time
from typing import Any

import gymnasium
import numpy as np
from measure import begin, report

ROWS = 8192  # at most


def main() -> None:
    """Step them, and report."""
    work = begin()
    if work["native"] or work["game"]:
        step_native(work)
    else:
        step_singly(work)


def step_native(work: dict[str, Any]) -> None:
    """A vector environment that resets its parts itself, in a step that is no decision."""
    env: Any = game(work) if work["game"] else gymnasium.make_vec(
        work["env"], num_envs=work["num_envs"], vectorization_mode="vector_entry_point"
    )  # fmt: skip
    env.reset(seed=work["seed"])
    env.action_space.seed(work["seed"])
    actions = [env.action_space.sample() for _ in range(64)]
    rows = min(work["iterations"] * work["horizon"], ROWS)
    total, returns, resetting, decisions = np.zeros(work["num_envs"]), [], 0, 0
    began = time.perf_counter()
    for t in range(rows):
        _, reward, terminated, truncated, _ = env.step(actions[t % len(actions)])
        decisions += work["num_envs"] - resetting
        total += reward
        ended = terminated | truncated
        resetting = np.count_nonzero(ended)
        returns += total[ended].tolist()
        total[ended] = 0.0
    report(int(decisions), time.perf_counter() - began, returns)


def game(work: dict[str, Any]) -> Any:
    """The emulator's own vector environment, in one thread."""
    vector = importlib.import_module("ale_py.vector_env")
    name = work["env"].partition("/")[2].partition("-")[0].lower()
    return vector.AtariVectorEnv(name, num_envs=work["num_envs"], num_threads=1, episodic_life=True)


def step_singly(work: dict[str, Any]) -> None:
    """Each environment in turn, reset where its episode ends."""
    envs = [gymnasium.make(work["env"], disable_env_checker=True) for _ in range(work["num_envs"])]
    for i, env in enumerate(envs):
        env.reset(seed=work["seed"] + i)
        env.action_space.seed(work["seed"] + i)
    actions = [[env.action_space.sample() for env in envs] for _ in range(1024)]
    rows = min(work["iterations"] * work["horizon"], ROWS)
    returns, total = [], [0.0] * len(envs)
    began = time.perf_counter()
    for t in range(rows):
        row = actions[t % len(actions)]
        for i, env in enumerate(envs):
            _, reward, terminated, truncated, _ = env.step(row[i])
            total[i] += float(reward)
            if terminated or truncated:
                env.reset()
                returns.append(total[i])
                total[i] = 0.0
    report(rows * len(envs), time.perf_counter() - began, returns)


if __name__ == "__main__":
    main()

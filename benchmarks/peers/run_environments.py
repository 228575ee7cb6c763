"""The environments alone, with random actions drawn beforehand: no library can be faster in one process."""

import time

import gymnasium
from measure import begin, report


def main() -> None:
    """Step each environment in turn, reset it where its episode ends, and report."""
    work = begin()
    envs = [gymnasium.make(work["env"], disable_env_checker=True) for _ in range(work["num_envs"])]
    for i, env in enumerate(envs):
        env.reset(seed=work["seed"] + i)
        env.action_space.seed(work["seed"] + i)
    actions = [[env.action_space.sample() for env in envs] for _ in range(1024)]
    rows = min(work["iterations"] * work["horizon"], 8192)
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

"""Who makes environments closes them, whatever happens in between; and what is a run's own nobody else plays in."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import SyncVectorEnv

import clipper
from clipper.environments.vector.serial import Serial
from clipper.environments.vector.workers import Workers
from clipper.errors import ConfigError

QUICK: Any = {"algorithm": clipper.PPO(horizon=8, epochs=1, minibatches=2), "total_steps": 32, "num_envs": 2}


class Counted(gymnasium.Env):
    """Notes in a file when it is opened and closed."""

    observation_space, action_space = Box(-1, 1, (3,), np.float32), Discrete(2)

    def __init__(self, log: str, fails: str = "") -> None:
        self.log, self.fails, self.time, self.level = log, fails, 0, 1
        self.note("open")

    def note(self, word: str) -> None:
        with Path(self.log).open("a") as file:
            file.write(word + "\n")

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.time = 0
        if self.fails == "reset":
            raise RuntimeError("no")
        return np.zeros(3, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.time += 1
        if self.fails == "step" and self.time == 3:
            raise RuntimeError("no")
        return np.zeros(3, np.float32), 1.0, False, self.time == 5, {}

    def close(self) -> None:
        self.note("close")

    def scaled(self, x: int) -> int:
        return x * self.level


def counts(log: Path) -> tuple[int, int]:
    words = log.read_text().split()
    return words.count("open"), words.count("close")


@pytest.mark.parametrize("vector", ["serial", "workers"])
@pytest.mark.parametrize("fails", ["", "callback", "step", "reset", "policy", "save"])
def test_what_a_run_makes_is_closed(vector: Any, fails: str, tmp_path: Path) -> None:
    log, given = tmp_path / "log", dict(QUICK)
    if fails == "callback":
        given["callback"] = lambda run: 1 / 0
    if fails == "policy":
        given |= {"algorithm": clipper.TRPO(horizon=8), "policy": clipper.PolicyOptions(shared=True)}
    if fails == "save":
        (tmp_path / "file").write_text("")
        given["run_dir"] = tmp_path / "file" / "run"
    try:
        clipper.train(lambda: Counted(str(log), fails), vector=vector, **given)
    except Exception:
        assert fails
    else:
        assert not fails
    opened, closed = counts(log)
    assert opened == closed > 0


def test_evaluations_close_theirs_and_a_run_can_be_closed_by_hand(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with clipper.train(lambda: Counted(str(log)), eval_every=16, eval_episodes=2, **QUICK) as run:
        run.evaluate(3)
    run.close()
    opened, closed = counts(log)
    assert opened == closed > 4


def test_environments_that_were_given_ready_stay_open(tmp_path: Path) -> None:
    log = tmp_path / "log"
    envs = SyncVectorEnv([lambda: Counted(str(log))] * 2)
    run = clipper.train(envs, QUICK["algorithm"], total_steps=32)
    run.close()
    assert counts(log)[1] == 0
    assert len(run.evaluate(2).returns) == 2
    assert counts(log)[1] == 0
    envs.close()


@pytest.mark.parametrize("how", ["run.evaluate", "evaluate(run)", "evaluate(policy, envs)"])
def test_no_evaluation_plays_in_the_environments_that_train(how: str, tmp_path: Path) -> None:
    envs = SyncVectorEnv([lambda: Counted(str(tmp_path / "log"))] * 2)

    def look(run: clipper.Run) -> None:
        if how == "run.evaluate":
            run.evaluate(2)
        elif how == "evaluate(run)":
            clipper.evaluate(run, episodes=2)
        else:
            clipper.evaluate(run.policy, envs, episodes=2)

    with pytest.raises(ConfigError, match="a run trains in these environments"):
        clipper.train(envs, QUICK["algorithm"], total_steps=32, callback=look)
    clipper.evaluate(clipper.train(envs, QUICK["algorithm"], total_steps=32), episodes=2)  # afterwards it may


@pytest.mark.parametrize("kind", ["serial", "workers"])
def test_methods_and_attributes_are_reached_as_in_gymnasium(kind: str, tmp_path: Path) -> None:
    factories = [lambda: Counted(str(tmp_path / "log"))] * 3
    theirs = SyncVectorEnv(factories)
    ours: Any = Serial(factories) if kind == "serial" else Workers(factories, 2)
    ours.reset(seed=0)
    rollouts = clipper.VectorRollouts(ours)
    for env in (theirs, rollouts):
        env.set_attr("level", [2, 3, 4])
        assert env.get_attr("level") == (2, 3, 4)
        assert env.call("scaled", 10) == (20, 30, 40)
        env.set_attr("level", 7)
        assert env.call("level") == (7, 7, 7)
    with pytest.raises(ConfigError, match="2 values for 3 environments"):
        rollouts.set_attr("level", [1, 2])
    ours.close()
    theirs.close()


LEFT = """
import gc, os, sys, threading
import numpy as np
import gymnasium
import clipper
from pathlib import Path

def left():
    gc.collect()
    shared = len(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else 0
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return len(os.listdir("/proc/self/fd")), threading.active_count(), len(children), shared

def go(i):
    run = clipper.train("CartPole-v1", clipper.PPO(horizon=8, epochs=1, minibatches=2), total_steps=16, num_envs=2,
                        seed=i, run_dir=f"{sys.argv[1]}/{i}", vector="workers" if i % 30 == 7 else "serial")
    for k in range(EVALUATIONS // RUNS + 1):
        clipper.evaluate(run.policy, "CartPole-v1", episodes=1, seed=k)

RUNS, EVALUATIONS = int(sys.argv[2]), int(sys.argv[3])
for i in range(3):
    go(10**6 + 30 * i + 7)
    go(2 * 10**6 + i)
before = left()
for i in range(RUNS):
    go(i)
after = left()
print(before, after)
sys.exit(before != after)
"""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts what Linux tells of a process")
@pytest.mark.parametrize(
    ("runs", "evaluations"), [(15, 15), pytest.param(300, 200, marks=[pytest.mark.long, pytest.mark.limit(900)])]
)
def test_runs_and_evaluations_leave_nothing_open(runs: int, evaluations: int, tmp_path: Path) -> None:
    """No file, thread, child process or shared memory."""
    command = [sys.executable, "-W", "ignore", "-c", LEFT, str(tmp_path), str(runs), str(evaluations)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

"""Environments in processes of their own: what comes out is what one process gives, and every death is told."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from environments.failing import Choosing, Failing, Telling
from gymnasium import spaces
from torch import Generator

from clipper.data.steps import Steps
from clipper.environments.checks import RESTARTED
from clipper.environments.make import make_single
from clipper.environments.processes import lifeline
from clipper.environments.state import get_states, set_states
from clipper.environments.vector.serial import Serial
from clipper.environments.vector.workers import Workers, merged
from clipper.errors import ConfigError, EnvironmentContractError, EnvWorkerError
from clipper.networks.make_policy import make_policy
from clipper.networks.policy_options import PolicyOptions
from clipper.rollout.vector_rollouts import VectorRollouts


@pytest.fixture(autouse=True)
def _limit() -> Iterator[None]:
    """Each test may take this long and no longer, however busy the machine."""

    def stop(*_: object) -> None:
        raise TimeoutError("the test's own limit")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def assert_same_rows(a: Any, b: Any, actions: list) -> None:
    for action in actions:
        ours, theirs = a.step(action), b.step(action)
        for x, y in zip(ours[:4], theirs[:4], strict=True):
            np.testing.assert_array_equal(x, y)
            assert x.dtype == y.dtype


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "several choices"])
def test_the_same_trajectories_as_in_one_process_and_states_that_either_takes(name: str) -> None:
    factories = [partial(Choosing, i) if name == "several choices" else partial(make_single, name) for i in range(5)]
    serial, workers = Serial(factories), Workers(factories, 2)
    try:
        np.testing.assert_array_equal(serial.reset(seed=4)[0], workers.reset(seed=4)[0])
        space = serial.single_action_space
        space.seed(1)
        actions = [np.stack([space.sample() for _ in range(5)]) for _ in range(260)]
        assert_same_rows(serial, workers, actions[:130])
        here, there = get_states(serial), get_states(workers)
        assert here is not None
        assert there is not None
        assert [s.values for s in here] == [s.values for s in there]
        assert_same_rows(serial, workers, actions[130:])
        set_states(serial, there)
        set_states(workers, here)
        assert_same_rows(serial, workers, actions[130:])
    finally:
        workers.close()


def test_trees_of_actions_are_cut_as_in_one_process() -> None:
    class Odd(gymnasium.Env):
        observation_space = spaces.Box(0, 9, (1,))
        action_space = spaces.Tuple(
            [spaces.Discrete(9), spaces.OneOf([spaces.Discrete(3), spaces.Dict(x=spaces.Box(0, 1, ()))])]
        )

        def reset(self, *, seed: int | None = None, options: Any = None):
            return np.zeros(1, np.float32), {}

        def step(self, action):
            number, (k, argument) = action
            return np.array([number], np.float32), float(argument["x"] if k else -argument), False, False, {}

    actions = (np.arange(3), (np.array([0, 1, 1]), (np.array([2, 0, 0]), {"x": np.array([0.0, 0.25, 0.5])})))
    workers = Workers([Odd] * 3, 2)
    try:
        for env in (workers, Serial([Odd] * 3)):
            env.reset(seed=0)
            obs, reward, *_ = env.step(actions)
            assert obs[:, 0].tolist() == [0, 1, 2]
            assert reward.tolist() == [-2, 0.25, 0.5]
    finally:
        workers.close()


def test_what_workers_tell_is_put_together_by_environment() -> None:
    info = merged({}, {RESTARTED: np.array([False, True])}, slice(0, 2), 5)
    info = merged(info, {RESTARTED: np.array([True]), "mask": [{"a": 1}]}, slice(3, 4), 5)
    assert info[RESTARTED].tolist() == [False, True, False, True, False]
    assert info["mask"] == [None, None, None, {"a": 1}, None]


def failing(folder: Path, how: str, plan: dict[int, int], **options: Any) -> Workers:
    """Four in two processes, of which number 2 fails."""
    factories = [partial(Failing, i, folder, plan if i == 2 else None, how) for i in range(4)]
    return Workers(factories, 2, **options)


def run(env: Workers, horizon: int) -> tuple[Steps, VectorRollouts]:
    policy = make_policy(env.single_observation_space, env.single_action_space, PolicyOptions(), Generator())
    state = VectorRollouts(env, 0)
    return state.collect(policy, horizon=horizon)[0], state


def processes(env: Workers) -> list[int]:
    return [worker.process.pid for worker in env.workers]


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] if sys.platform == "linux" else ""
    return state == "Z"  # ended, and its parent, which is not us, has not looked


TOLD = {
    "raise": r"environment 2 of Failing failed in step 3: RuntimeError\('worn out'\)",
    "kill": "environment 2 of Workers: its process was ended by SIGKILL .* in step 3",
    "segfault": "environment 2 of Workers: its process was ended by SIGSEGV in step 3",
    "exit": "environment 2 of Workers: its process exited with status 7 in step 3",
    "hang": "environment 2 of Workers: its process did not answer within 0.5 s .env_timeout. in step 3",
}


@pytest.mark.parametrize("how", TOLD)
def test_an_environment_that_dies_is_named_and_no_process_stays(how: str, tmp_path: Path) -> None:
    env = failing(tmp_path, how, {0: 3}, env_timeout=0.5 if how == "hang" else 0.0)
    started = processes(env)
    with pytest.raises(EnvWorkerError, match=TOLD[how]):
        run(env, 6)
    assert all(gone(pid) for pid in started)
    env.close()  # once more does no harm


@pytest.mark.filterwarnings("ignore:environment 2 of Workers")
@pytest.mark.parametrize("how", TOLD)
def test_it_is_made_anew_where_that_was_asked_for(how: str, tmp_path: Path) -> None:
    env = failing(tmp_path, how, {0: 3, 1: 2}, env_timeout=0.5 if how == "hang" else 0.0, max_restarts=2)
    try:
        steps, state = run(env, 9)
        life, mask, done = steps.obs[:, 2, 1].int().tolist(), steps.mask[:, 2].tolist(), steps.done[:, 2].tolist()
        # Its third step is not known to have happened: the row before ends the fragment; so again in the second life.
        assert mask == [True, True, False, True, False, True, True, True, True]
        assert done == [False, True, False, True, False, False, False, False, False]
        assert life == [0, 0, 0, 1, 1, 2, 2, 2, 2]
        assert not steps.terminated.any()
        assert env.restarts == 2
        # The environment that shares its process is made anew as well, unless only a step raised.
        with_it = steps.mask[:, 3].tolist()
        assert with_it == ([t != 5 for t in range(9)] if how == "raise" else mask)
        assert steps.mask[:, :2].tolist() == [[t != 5] * 2 for t in range(9)]
        assert state.steps == int(steps.mask.sum())
        assert steps.reward.isfinite().all()
    finally:
        env.close()


@pytest.mark.filterwarnings("ignore:environment 2 of Workers")
def test_failing_again_and_again_is_an_error(tmp_path: Path) -> None:
    env = failing(tmp_path, "kill", dict.fromkeys(range(9), 2), max_restarts=2)
    with pytest.raises(EnvWorkerError, match=r"SIGKILL.* in step \d+; 2 restarts were tried"):
        run(env, 20)


def test_one_that_dies_while_it_is_made_or_reset_is_not_tried_again(tmp_path: Path) -> None:
    with pytest.raises(EnvWorkerError, match=r"environments 2 to 3 was ended by SIGKILL.*while they were made"):
        failing(tmp_path, "construction", {}, max_restarts=5)
    env = failing(tmp_path, "reset", {0: 0, 1: 0}, max_restarts=5)
    started = processes(env)
    with pytest.raises(EnvWorkerError, match=r"environment 2 of Workers: its process was ended by SIGKILL.*to reset"):
        env.reset(seed=0)
    assert all(gone(pid) for pid in started)


def test_what_cannot_be_made_says_why() -> None:
    class Broken(gymnasium.Env):
        def __init__(self) -> None:
            raise OSError("no such game")

    with pytest.raises(OSError, match="no such game"):
        Workers([Broken] * 2, 2)
    spaces_differ = [partial(make_single, name) for name in ("CartPole-v1", "Pendulum-v1")]
    with pytest.raises(EnvironmentContractError, match="environment 1 has other spaces"):
        Workers(spaces_differ, 2)
    lock: Any = threading.Lock()
    with pytest.raises(ConfigError, match="cannot be sent to another process"):
        Workers([lambda: lock] * 2, 2)


@pytest.mark.parametrize(
    ("module", "name"),
    [("", ""), ("clipper", "PPO"), ("clipper.rollout.evaluation", "Evaluation"), ("clipper.runs.train", "train")],
)
def test_an_environment_may_import_from_clipper_and_torch_is_loaded_only_then(module: str, name: str) -> None:
    workers = Workers([partial(Telling, module, name), partial(Telling, module, name)], 1)
    try:
        obs, _ = workers.reset(seed=0)
        np.testing.assert_array_equal(obs, [[0, 1], [bool(module), 1]])
    finally:
        workers.close()


def test_closing_ends_even_what_hangs(tmp_path: Path) -> None:
    env = failing(tmp_path, "hang", {0: 1})
    env.reset(seed=0)
    started = processes(env)
    env.hand_out(np.zeros(4, np.int64))
    env.close()
    assert all(gone(pid) for pid in started)


PARENT = """
import os, signal, sys, time
from functools import partial
from pathlib import Path
import numpy as np
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
sys.path[:0] = [{tests!r}]
from environments.failing import Choosing, Failing, Telling
from clipper.environments.vector.workers import Workers, merged
env = Workers([partial(Failing, i, Path({folder!r}), {{0: 3}} if i else None, "hang") for i in range(3)], 3)
env.reset(seed=0)
for _ in range(2):
    env.step(np.zeros(3, np.int64))
print(*(worker.process.pid for worker in env.workers), flush=True)
env.step(np.zeros(3, np.int64))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_no_orphan_is_left_where_the_trainer_is_killed(number: signal.Signals, tmp_path: Path) -> None:
    program = PARENT.format(tests=str(Path(__file__).parents[1]), folder=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 3
        time.sleep(0.2)
        parent.send_signal(number)
    while not all(gone(pid) for pid in pids):  # one waits for an action, two hang in their step
        time.sleep(0.05)


def test_no_worker_is_left_that_was_started_when_the_trainer_was_gone() -> None:
    """Its lifeline was closed before it could ask the kernel to watch it."""
    starter, held = lifeline()
    os.close(held)
    words = "import os, sys; from clipper.environments.processes import die_with; die_with(int(sys.argv[1])); print(1)"
    done = subprocess.run(
        [sys.executable, "-c", words, str(starter)],
        pass_fds=(starter,), start_new_session=True, capture_output=True, check=False,
    )  # fmt: skip
    os.close(starter)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, b"")


def test_standard_streams_may_be_closed() -> None:
    """The first file that is opened then bears the number of one, which a new process gets replaced."""
    kept = [os.dup(stream) for stream in range(3)]
    try:
        for stream in range(3):
            os.close(stream)
        env = Workers([partial(Choosing, i) for i in range(2)], 2)
    finally:
        for stream, copy in enumerate(kept):
            os.dup2(copy, stream)
            os.close(copy)
    try:
        assert env.reset(seed=0)[0].shape == (2, 2, 2)
        assert env.step(np.zeros((2, 2), np.int64))[1].tolist() == [0.0, 0.0]
    finally:
        env.close()


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_fork_of_the_trainer_owns_no_worker() -> None:
    """It can neither step nor end them, and does not keep them alive."""
    env = Workers([partial(Choosing, i) for i in range(2)], 2)
    try:
        env.reset(seed=0)
        held = [worker.held for worker in env.workers]
        child = os.fork()
        if not child:
            status = 1
            try:
                env.step(np.zeros((2, 2), np.int64))
            except EnvWorkerError as error:
                env.close()
                open_still = [os.path.exists(f"/proc/self/fd/{descriptor}") for descriptor in held]
                status = 0 if "forked from" in str(error) and not any(open_still) else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert env.step(np.zeros((2, 2), np.int64))[1].tolist() == [0.0, 0.0]
    finally:
        env.close()


class Sleeps(Choosing):
    def __init__(self, number: int) -> None:
        time.sleep(3600)


def test_an_environment_that_hangs_while_it_is_made_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("worker", "workers"):
        monkeypatch.setattr(f"clipper.environments.vector.{module}.PATIENCE", 4.0)
    factories = [partial(Sleeps if i == 2 else Choosing, i) for i in range(4)]
    with pytest.raises(EnvWorkerError, match="environments 2 to 3 did not answer within 4 s while they were made"):
        Workers(factories, 2, env_timeout=0.5)  # more than that is allowed, since to make one takes longer than a step


class Starts(Choosing):
    """Has a process of its own, in a session of its own, and hangs."""

    def step(self, action):
        child = subprocess.Popen(["sleep", "3600"], start_new_session=True)
        Path(os.environ["CLIPPER_TEST_FILE"]).write_text(str(child.pid))
        time.sleep(3600)
        return super().step(action)


def test_what_an_environment_has_started_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "pid"
    monkeypatch.setenv("CLIPPER_TEST_FILE", str(file))
    env = Workers([partial(Starts, 0)], 1, env_timeout=1.0)
    env.reset(seed=0)
    with pytest.raises(EnvWorkerError, match="did not answer within 1 s"):
        env.step(np.zeros((1, 2), np.int64))
    assert gone(int(file.read_text()))

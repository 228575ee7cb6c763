"""Odd command lines, drawn from kept seeds: each ends in one line with a status of its own, and none in a traceback."""

import random
import resource
import shlex
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import clipper
from clipper.__main__ import prepare_streams
from clipper.cli.commands import run_command

ODD_PATHS = (
    "",
    ".",
    "..",
    "/",
    "nowhere",
    "no/such/folder",
    "a file",
    "a file/below",
    "/dev/null",
    "/dev/null/x",
    "/proc/x",
    "x" * 300,
    "empty",
    "locked",
    "locked/x",
    "with space",
    "[bold]x[/]",
    "第一次",
    "-dash",
    "run/config.json",
    "~nobody",
    "run",
    "run2",
    "run/checkpoint.safetensors",
    "broken",
    "\udcff",
    "a\nb",
    "run/../run",
    "loop",
)
ODD_NUMBERS = (
    "",
    "0",
    "-1",
    "1",
    "1.5",
    "nan",
    "inf",
    "-inf",
    "1e9",
    "1" + "0" * 22,
    "many",
    "0x10",
    "True",
    "None",
    "１",
    " ",
)
ODD_NAMES = (
    "",
    " ",
    "CartPole-v1",
    "CartPole-v0",
    "CartPole",
    "CartPol-v1",
    "cartpole",
    "Pendulum-v1",
    "a:b:c",
    ":",
    "..:X",
    "os:getcwd",
    "os:nothing",
    "os:path",
    "nowhere:X",
    "math:pi",
    "sys:exit",
    "own:Raises",
    "own:Exits",
    "own:Nothing",
    "own:Needs",
    "own:Looks",
    "own:Short",
    "own:Many",
    "own:CartPole",
    "own:Spaceless",
    "own:Old",
    "unfinished:X",
    "leaves:X",
    "CartPole-v1,",
    "CartPole-v1,x",
    "CartPole-v1,x=1",
    "CartPole-v1,sutton_barto_reward=3",
    "own:Raises,x=1",
    "[/]",
    "\udcff",
    "-v1",
    "CartPole-v1\n",
    "clipper/Nothing-v0",
    "ALE/Nothing-v5",
)
ODD_ALGORITHMS = (
    "",
    "pppo",
    "ppo",
    "own:Raises",
    "own:Exits",
    "own:Needs",
    "nowhere:X",
    "os:nothing",
    ":",
    "a:b:c",
    "own:Raises(1)",
)
ODD_ENDS = (
    "x.png",
    "x.foo",
    "x",
    "no/such/x.png",
    "a file/x.png",
    "/proc/x.png",
    "x" * 300 + ".png",
    ".png",
    "x.PNG",
    "x.pgf",
    "x.svg",
    "/dev/null",
    "",
)
OWN = """
import sys
import gymnasium
from gymnasium.spaces import Box, Discrete

class Raises(gymnasium.Env):
    def __init__(self): raise RuntimeError("Cannot connect to display")

class Exits(gymnasium.Env):
    def __init__(self): sys.exit("no licence")

def Nothing(): return None

class Needs(gymnasium.Env):
    def __init__(self, size): pass

class Looks:
    observation_space, action_space = Box(-1, 1, (2,)), Discrete(2)
    def reset(self, seed=None, options=None): return self.observation_space.sample(), {}
    def step(self, action): return self.observation_space.sample(), 0.0, True, False, {}

class Short(gymnasium.Env):
    observation_space, action_space = Box(-1, 1, (2,)), Discrete(2)
    def reset(self, *, seed=None, options=None): return self.observation_space.sample(), {}
    def step(self, action): return self.observation_space.sample(), 0.0, True, {}

class Many(Short):
    action_space = Discrete(10**6)

class CartPole(Short):
    def step(self, action): return self.observation_space.sample(), 7.0, True, False, {}

class Spaceless(gymnasium.Env):
    pass

class Old(Short):
    def reset(self): return self.observation_space.sample()
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with two runs, what is none, and code of one's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    for folder, seed in (("run", 1), ("run2", 2)):
        clipper.train(
            "CartPole-v1", clipper.PPO(horizon=16, epochs=1), num_envs=2, total_steps=64, run_dir=folder, seed=seed
        )
    Path("a file").write_text("text")
    for folder in ("empty", "locked", "broken"):
        Path(folder).mkdir()
    for name in ("config.json", "metrics.jsonl", "checkpoint.safetensors"):
        Path("broken", name).write_text("{")
    Path("locked").chmod(0o555)
    Path("loop").symlink_to("loop")
    Path("own.py").write_text(OWN)
    Path("unfinished.py").write_text("def f(:")
    Path("leaves.py").write_text("raise SystemExit(3)")
    yield tmp_path
    for name in ("own", "unfinished", "leaves"):
        sys.modules.pop(name, None)


def odd_line(chance: random.Random) -> list[str]:
    """One command with what a hurried hand may write."""
    path, number, name, end = (
        lambda odd=odd: chance.choice(odd) for odd in (ODD_PATHS, ODD_NUMBERS, ODD_NAMES, ODD_ENDS)
    )
    short = ["--total-steps", "64", "--num-envs", "2", "--engine", "torch", "--vector", "serial"]
    flags: dict[str, list[Callable[[], list[str]]]] = {
        "train": [
            lambda: ["--run-dir", path()],
            lambda: [f"--seed={number()}"],
            lambda: [f"--horizon={number()}"],
            lambda: [f"--learning-rate={number()}"],
            lambda: ["--hidden", number()],
            lambda: [f"--minibatches={number()}"],
            lambda: ["--device", chance.choice(("meta", "cuda:9", "", "gpu", "cpu"))],
            lambda: ["--env", name()],
            lambda: ["--algorithm", chance.choice(ODD_ALGORITHMS)],
            lambda: ["--preset", name()],
            lambda: [f"--target-kl={number()}"],
            lambda: ["--objective", name()],
            lambda: ["--no-such-flag"],
            lambda: [f"--threads={number()}"],
            lambda: ["--eval-every", number()],
        ],
        "resume": [
            lambda: ["--env", name()],
            lambda: ["--total-steps", chance.choice(("64", "65", "0", "-1", "x"))],
            lambda: ["--algorithm", chance.choice(ODD_ALGORITHMS)],
        ],
        "evaluate": [
            lambda: ["--env", chance.choice(("", "CartPol-v1", "own:Raises", "own:Looks"))],
            lambda: ["--episodes", chance.choice(("0", "-1", "1", "x", "1.5"))],
            lambda: [f"--seed={number()}"],
            lambda: ["--best"],
            lambda: ["--stochastic"],
        ],
        "play": [
            lambda: ["--video", chance.choice(("x.txt", "", "x", "/proc/x.gif", "a file/x.gif"))],
            lambda: ["--env", name()],
        ],
        "plot": [lambda: ["--output", end()], lambda: ["--suite"], lambda: ["--diagnostics"], lambda: [path()]],
        "compare": [lambda: ["--output", end()], lambda: [path()]],
        "export": [lambda: ["--onnx", chance.choice(("/proc/x.onnx", "a file/x"))], lambda: ["--best"]],
        "unroll": [lambda: ["--output", end()]],
        "check-exercise": [lambda: [path()], lambda: ["--start"], lambda: ["--language", name()]],
    }
    command = chance.choice([*flags, "train", "train", "train", "plot"])
    first: Callable[[], list[str]] = {
        "train": lambda: [name(), *chance.choice(([], [], ["ppo"], ["reinforce"], [name()]))],
        "unroll": lambda: [name()],
        "check-exercise": lambda: [chance.choice(("reward-to-go", name()))],
        "export": lambda: [path() if path() not in ("run", "run2") else "nowhere"],
    }.get(command, lambda: [path()])
    words = [command, *first()]
    for flag in chance.sample(flags[command], chance.randint(0, min(2, len(flags[command])))):
        words += flag()
    words = [word for word in words if chance.random() > 0.03]  # one may be forgotten
    return words + short if command == "train" else words


def ended(words: list[str]) -> tuple[int, str]:
    """How a command line ends: its status, or the error that came out of it."""
    prepare_streams()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return run_command(words), ""
        except SystemExit as stopped:
            return int(stopped.code or 0), ""
        except BaseException as error:  # noqa: BLE001, RUF100 (whatever it is)
            return -1, f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("drawn", [30, pytest.param(400, marks=pytest.mark.long)])
def test_odd_command_lines_end_in_a_line(
    drawn: int, home: Path, capsys: pytest.CaptureFixture[str], figures: Callable[..., None]
) -> None:
    bare, refused, slowest, before = list[str](), 0, 0.0, memory()
    for seed in range(drawn):
        words, began = odd_line(random.Random(seed)), time.process_time()
        status, error = ended(words)
        slowest = max(slowest, time.process_time() - began)
        told = capsys.readouterr().err
        refused += status != 0
        silent = status not in (0, 1) and not told.strip()
        if error or silent or "Traceback (most recent call last)" in told:
            bare.append(f"{seed}: clipper {shlex.join(words)!r} ends with {status} {error} {told[-300:]}")
    grown = memory() - before
    assert not bare, "\n".join(bare)
    assert grown < 300
    if drawn > 30:
        figures("F58", lines=drawn, refused=refused, bare=len(bare), slowest=round(slowest, 1), megabytes=round(grown))


def memory() -> float:
    """The most that this process has held so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)

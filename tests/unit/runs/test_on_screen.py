"""``train`` in a terminal shows the run, and Ctrl-C ends it; elsewhere it is silent unless it is asked to show it."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Timer

import pytest

import clipper

PROGRAM = """
import signal, sys, clipper
signal.signal(signal.SIGINT, signal.default_int_handler)  # which is ignored where the tests run in the background
def told(run):
    if run.iteration == 2:
        print("two iterations", flush=True)
steps, options = int(sys.argv[1]), {"progress": False} if sys.argv[3:] else {}
run = clipper.train(
    "CartPole-v1", clipper.PPO(horizon=32, epochs=1), total_steps=steps, engine="torch", run_dir=sys.argv[2],
    callback=told, **options,
)
print("ended at", run.steps)
"""


def in_terminal(*arguments: str, interrupt: int = 0) -> str:
    """What a terminal of 100 columns shows of the program, which is interrupted so often."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": "100", "TERM": "xterm", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROGRAM, *arguments]
    shown = b""
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        limit = Timer(60, process.kill)
        limit.start()
        os.close(theirs)
        while True:
            try:
                read = os.read(ours, 65536)
            except OSError:  # it has closed its end
                break
            shown += read
            if interrupt and b"two iterations" in shown:
                interrupt -= 1
                process.send_signal(signal.SIGINT)
                time.sleep(0.5)
        limit.cancel()
    os.close(ours)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())


def test_a_terminal_shows_what_runs_and_how_far_it_is(tmp_path: Path) -> None:
    shown = in_terminal("2000", str(tmp_path / "run"))
    assert "PPO on CartPole-v1: 8 environments" in shown
    assert "return" in shown
    assert "100%" in shown
    assert in_terminal("600", str(tmp_path / "other"), "silent").splitlines()[0] == "two iterations"


def test_ctrl_c_ends_the_run_and_the_program_goes_on(tmp_path: Path) -> None:
    shown = in_terminal("50000000", str(tmp_path / "run"), interrupt=1)
    steps = int(re.search(r"ended at (\d+)", shown)[1])  # type: ignore[index]
    assert f"ended by Ctrl-C after {steps:,} steps; clipper.train(resume='{tmp_path / 'run'}') goes on" in shown
    resumed = clipper.train(resume=tmp_path / "run", total_steps=steps + 100)
    assert resumed.steps >= steps + 100


def test_nothing_is_shown_elsewhere_unless_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    plan = {"total_steps": 300, "engine": "torch"}
    clipper.train("CartPole-v1", clipper.PPO(horizon=32, epochs=1), **plan)  # pyright: ignore[reportArgumentType]
    assert capsys.readouterr().out == ""
    before = signal.getsignal(signal.SIGINT)
    clipper.train("CartPole-v1", clipper.PPO(horizon=32, epochs=1), progress=True, **plan)  # pyright: ignore[reportArgumentType]
    shown = capsys.readouterr().out
    assert shown.startswith("PPO on CartPole-v1")
    assert "steps" in shown
    assert signal.getsignal(signal.SIGINT) is before

"""A reader who follows one iteration of a run with a folder meets few functions of ours (SB3 53, Tianshou 94)."""

import os
import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest

LIMITS = {"plain": 54, "memory": 67, "hybrid": 91}

# In a process of its own: shape checking, on in the tests, would wrap every function in others.
PROGRAM = """
import os
import sys
import clipper

home = os.path.join(os.path.dirname(clipper.__file__), "")
entered, noting = set(), False

def trace(frame, event, argument):
    code = frame.f_code
    if noting and event == "call" and code.co_filename.startswith(home) and not code.co_name.startswith("<"):
        entered.add((code.co_filename.removeprefix(home), code.co_qualname))

def iteration(run):
    global noting
    noting = run.iteration == 2
    return run.iteration < 3

case, folder = sys.argv[1:]
policy = clipper.PolicyOptions(memory="lstm" if case == "memory" else None)
env = "clipper/Platform-v0" if case == "hybrid" else "CartPole-v1"
sys.setprofile(trace)
clipper.train(
    env, clipper.PPO(horizon=64, epochs=1), policy=policy, total_steps=100_000, num_envs=4, engine="torch",
    vector="serial", run_dir=folder, callback=iteration,
)
sys.setprofile(None)
print("\\n".join(f"{file}:{name}" for file, name in sorted(entered)))
"""


@pytest.mark.parametrize("case", LIMITS)
def test_few_functions_are_entered(case: str, tmp_path: Path) -> None:
    """Other packages count for nothing, also where they lie in a folder named as ours, as in a clone's .venv."""
    source, others = Path(__file__).parents[2] / "src", tmp_path / "clipper"
    others.mkdir()
    (others / "gymnasium").symlink_to(Path(gymnasium.__file__).parent)
    environment = os.environ | {"PYTHONPATH": f"{source}{os.pathsep}{others}"}
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, case, str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=120)
    entered = done.stdout.splitlines()
    assert any(line.startswith(f"algorithms{os.sep}ppo.py:") for line in entered)
    assert any(line.startswith(f"rollout{os.sep}vector_rollouts.py:") for line in entered)
    assert len(entered) <= LIMITS[case], "\n" + done.stdout

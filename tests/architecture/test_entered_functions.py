"""A reader who follows one iteration meets few functions of ours (SB3 53, Tianshou 94, TorchRL 251)."""

import os
import subprocess
import sys
from pathlib import Path

import gymnasium

LIMIT = 35  # of which five let an update be two steps, a gradient come in pieces and a batch be shared

# In a process of its own: shape checking, on in the tests, would wrap every function in others.
PROGRAM = """
import os
import sys
import gymnasium
import clipper
from torch import Generator

home = os.path.join(os.path.dirname(clipper.__file__), "")
entered = set()

def trace(frame, event, argument):
    code = frame.f_code
    if event == "call" and code.co_filename.startswith(home) and not code.co_name.startswith("<"):
        entered.add((code.co_filename.removeprefix(home), code.co_qualname))

env = clipper.environments.make("CartPole-v1", 2)
algorithm = clipper.PPO(horizon=64, epochs=1)
policy = clipper.make_policy(
    env.single_observation_space, env.single_action_space, clipper.PolicyOptions(), Generator().manual_seed(0)
)
learner = algorithm.init(policy)
state = clipper.start(env, seed=0)
sys.setprofile(trace)
steps, state = clipper.collect(env, policy, state, horizon=64)
algorithm.update(learner, steps, state.obs)
sys.setprofile(None)
print("\\n".join(f"{file}:{name}" for file, name in sorted(entered)))
"""


def test_few_functions_are_entered(tmp_path: Path) -> None:
    """Other packages count for nothing, also where they lie in a folder named as ours, as in a clone's .venv."""
    source, others = Path(__file__).parents[2] / "src", tmp_path / "clipper"
    others.mkdir()
    (others / "gymnasium").symlink_to(Path(gymnasium.__file__).parent)
    environment = os.environ | {"PYTHONPATH": f"{source}{os.pathsep}{others}"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env=environment, timeout=120
    )
    entered = done.stdout.splitlines()
    assert any(line.startswith(f"algorithms{os.sep}ppo.py:") for line in entered)
    assert any(line.startswith("rollout/collect.py:") for line in entered)
    assert len(entered) <= LIMIT, "\n" + done.stdout

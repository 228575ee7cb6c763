"""A reader who follows one iteration meets few functions of ours (SB3 53, Tianshou 94, TorchRL 251)."""

import os
import subprocess
import sys
from pathlib import Path

LIMIT = 30

# In a process of its own: shape checking, on in the tests, would wrap every function in others.
PROGRAM = """
import sys
import gymnasium
import clipper
from torch import Generator

entered = set()

def trace(frame, event, argument):
    code = frame.f_code
    if event == "call" and "clipper" in code.co_filename and not code.co_name.startswith("<"):
        entered.add((code.co_filename.rpartition("clipper")[2], code.co_qualname))

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


def test_at_most_thirty_functions_are_entered() -> None:
    source = Path(__file__).parents[2] / "src"
    environment = os.environ | {"PYTHONPATH": str(source)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env=environment, timeout=120
    )
    entered = done.stdout.split()
    assert any("ppo.py" in line for line in entered)
    assert any("rollout.py" in line for line in entered)
    assert len(entered) <= LIMIT, "\n" + done.stdout

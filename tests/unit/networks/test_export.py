"""ONNX files act as the policies they come from; run apart, since shapes that are checked cannot be traced."""

import subprocess
import sys
from pathlib import Path

EXPORT = """
import sys
import warnings
import gymnasium
import numpy as np
import onnxruntime
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, OneOf, Tuple
from pathlib import Path
from clipper.networks.export import export_onnx
from clipper.networks.critics import Scalar
from clipper.networks.heads import Binned, Deterministic, HeadOptions, TanhGaussian
from clipper.networks.policy_options import PolicyOptions
from clipper.networks.make_policy import make_policy
from clipper.cli.commands import run_command
from clipper.networks.policy_options import EncoderOptions

obs_space = Box(-1, 1, (2, 3))
tree = Dict({"gear": Discrete(3, start=-1), "aim": Tuple((Box(-2, 2, ()), OneOf((Box(0, 1, (2,)), Discrete(4)))))})


def policy_for(space, obs_space=obs_space, memory=None, critic=Scalar(), **head):
    options = PolicyOptions(hidden=(8,), critic=critic, normalise_obs=True, head=HeadOptions(**head), memory=memory)
    policy = make_policy(obs_space, space, options, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for weights in policy.parameters():
            weights += 0.5 * torch.randn(weights.shape, generator=torch.Generator().manual_seed(1))
    if isinstance(obs_space, Box):
        policy.absorb(torch.randn(64, 2, 3, generator=torch.Generator().manual_seed(2)) + 1, torch.zeros(64))
    return policy


def session(policy, **options):
    names = export_onnx(policy, Path("policy.onnx"), **options)
    return onnxruntime.InferenceSession("policy.onnx", providers=["CPUExecutionProvider"]), names


obs = np.random.default_rng(0).normal(size=(9, 2, 3)).astype(np.float32)
squashed = policy_for(Box(np.array([-1, 0]), np.array([2, 5])), distribution=TanhGaussian())
run, names = session(squashed)
assert names == (["obs"], ["action"])
np.testing.assert_allclose(run.run(None, {"obs": obs})[0], squashed.predict(obs), rtol=1e-5, atol=1e-5)
without_v = policy_for(Box(np.array([-1, 0]), np.array([2, 5])), critic=None, distribution=Deterministic())
export_onnx(without_v, Path("policy.onnx"))  # which compares it with predict

branching = policy_for(tree)
run, (_, outputs) = session(branching)
found, wanted = dict(zip(outputs, run.run(None, {"obs": obs}))), branching.predict(obs)
np.testing.assert_array_equal(found["action.gear"], wanted["gear"])
np.testing.assert_allclose(found["action.aim.0"], wanted["aim"][0], rtol=1e-5, atol=1e-5)
np.testing.assert_array_equal(found["action.aim.1.0"], wanted["aim"][1][0])
np.testing.assert_allclose(found["action.aim.1.1.0"], wanted["aim"][1][1][0], rtol=1e-5, atol=1e-5)

masked = policy_for(MultiDiscrete([3, 2]))
run, (inputs, _) = session(masked, masked=True)
assert inputs == ["obs", "action_mask"]
mask = np.array([[[0, 0, 1], [1, 0, 0]]] * 9, dtype=bool)  # one choice each; the third of a pair does not exist
np.testing.assert_array_equal(run.run(None, {"obs": obs, "action_mask": mask})[0], [[2, 0]] * 9)

ordered = policy_for(Tuple((Discrete(3), Box(-2, 2, (2,)), Discrete(2))), autoregressive=True)
run, _ = session(ordered)
found, wanted = run.run(None, {"obs": obs}), ordered.predict(obs)
for x, y in zip(found, wanted, strict=True):
    np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5)

for space in (Box(-2, 2, (2,)), Box(0, 9, (2, 2), np.int16)):
    binned = policy_for(space, distribution=Binned(5))
    run, _ = session(binned)
    np.testing.assert_allclose(run.run(None, {"obs": obs})[0], binned.predict(obs), atol=1e-6)

seen = Dict({
    "map": Box(0, 255, (9, 9, 3), np.uint8), "kind": Discrete(4, start=2), "action_mask": Box(0, 1, (3,), np.int8),
    "inner": Tuple([MultiDiscrete([2, 3]), MultiBinary(3), Box(-1, 1, (2,))]), "state": Box(-1, 1, (3,)),
})
encoder = EncoderOptions(cnn="impala", cnn_features=8, bfloat16=True, embedding=2, critic_only=("state",))
looking = make_policy(seen, Discrete(3), PolicyOptions(hidden=(8,), encoder=encoder), torch.Generator().manual_seed(0))
inputs, outputs = export_onnx(looking, Path("policy.onnx"), masked=True)  # which compares it with predict
assert inputs == ["obs.inner.0", "obs.inner.1", "obs.inner.2", "obs.kind", "obs.map", "action_mask"]
assert outputs == ["action"]

for kind in ("lstm", "gru", "transformer"):
    remembering = policy_for(Box(-9, 9, (2,)), memory=kind)
    run, (inputs, outputs) = session(remembering)
    kinds = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
    state = [np.zeros([9, *x.shape[1:]], kinds[x.type]) for x in run.get_inputs()[1:]]
    assert [f"next_{name}" for name in inputs[1:]] == outputs[1:]
    memory = ()
    for step in range(3):
        action, memory = remembering.predict(obs + step, memory=memory)
        found, *state = run.run(None, {"obs": obs + step} | dict(zip(inputs[1:], state)))
        np.testing.assert_allclose(found, action, rtol=1e-4, atol=1e-4)

quick = ["--num-envs", "2", "--horizon", "32", "--total-steps", "64", "--run-dir", "run"]
assert run_command(["train", "CartPole-v1", "ppo", *quick]) == 0
assert run_command(["export", "run", "--masked"]) == 0
assert run_command(["export", "run"]) == 0
assert all(Path(f"run/{name}.onnx").stat().st_size > 1000 for name in ("policy", "policy_masked"))
assert run_command(["export", "nowhere"]) != 0
"""


def test_the_file_acts_as_the_policy_does(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", EXPORT], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "obs, action_mask → action; compared with the policy in onnxruntime" in done.stdout
    assert "obs → action; compared with the policy in onnxruntime" in done.stdout
    program = done.stdout.rpartition("without Clipper:\n\n")[2]
    again = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout.startswith("{'action': array([")

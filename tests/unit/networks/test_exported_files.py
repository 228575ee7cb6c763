"""Exported files say what they are, and the program that is printed for one runs it; run apart, as test_export is."""

import json
import subprocess
import sys
from pathlib import Path

WRITE = """
import json, sys, warnings
warnings.simplefilter("ignore")
import numpy as np
import onnxruntime
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, OneOf
from pathlib import Path
from clipper.networks.export import export_onnx
from clipper.networks.heads import Binned, HeadOptions
from clipper.networks.make_policy import make_policy
from clipper.networks.onnx_program import program
from clipper.networks.policy_options import PolicyOptions

seen = Dict({"kind": Discrete(4, start=2), "it's": MultiDiscrete([2, 3], start=[1, 5]), "size": Box(-1, 1, (3,))})
done = Dict({
    "gear": Discrete(3, start=-1), "one": Discrete(1), "pick": OneOf((Box(0, 1, (2,)), Discrete(4))),
    "push": Box(np.float32([-1, -np.inf]), np.float32([2, np.inf])),
})


def policy_of(seen, done, **options):
    return make_policy(seen, done, PolicyOptions(hidden=(8,), **options), torch.Generator().manual_seed(0))


many = policy_of(seen, done, memory="gru")
export_onnx(many, Path("many.onnx"), masked=True)
export_onnx(policy_of(Box(-1, 1, (2,)), Box(-1e6, 1e6, (2,))), Path("wide.onnx"))  # which compares it with predict
export_onnx(policy_of(Box(-1, 1, (2,)), Box(-8, 8, (2,), np.float16)), Path("coarse.onnx"))
binned = policy_of(Box(-1, 1, (2,)), Box(0, 9, (2,), np.int16), head=HeadOptions(distribution=Binned(5)))
binned.masked = True
export_onnx(binned, Path("one.onnx"))
export_onnx(binned, Path("bounded.onnx"), masked=True)

row = {"kind": np.int64([2]), "it's": np.int64([[1, 5]]), "size": np.zeros((1, 3), np.float32)}
first, memory = many.predict(row, memory=())
second, _ = many.predict(row, memory=memory)
plain = lambda x: json.loads(json.dumps(x, default=lambda x: np.asarray(x).tolist()))
print(json.dumps({
    "programs": {name: program(Path(name)) for name in ("many.onnx", "one.onnx")},
    "actions": {"many.onnx": plain([first, second]), "one.onnx": plain(binned.predict(np.zeros((1, 2), np.float32)))},
}))

options = onnxruntime.SessionOptions()
options.log_severity_level = 3
bounded = onnxruntime.InferenceSession("bounded.onnx", options)
obs = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)
bounds = np.array([[[2, 3], [4, 3]]] * 7, np.int16)  # the first component from 2 to 4, the second exactly 3
without, within = bounded.run(None, {"obs": obs})[0], bounded.run(None, {"obs": obs, "action_mask": bounds})[0]
np.testing.assert_array_equal(without, binned.predict(obs))
assert ((within >= [2, 3]) & (within <= [4, 3])).all()
np.testing.assert_array_equal(within, binned.predict(obs, action_mask=list(bounds)))
"""

SAY = """
import json, onnxruntime
onnxruntime.set_default_logger_severity(3)
found = {}
for name in ("many.onnx", "one.onnx", "bounded.onnx"):
    session = onnxruntime.InferenceSession(name)
    names = lambda values: [value.name for value in values]
    found[name] = {
        "facts": session.get_modelmeta().custom_metadata_map, "needed": names(session.get_inputs()),
        "optional": names(session.get_overridable_initializers()), "outputs": names(session.get_outputs()),
    }
print(json.dumps(found))
"""


def python(program: str, folder: Path) -> str:
    """What a program prints; nothing may stand on standard error."""
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_file_says_what_it_is_and_its_program_runs_it(tmp_path: Path) -> None:
    told = json.loads(python(WRITE, tmp_path))
    files = json.loads(python(SAY, tmp_path))  # without Clipper
    for name, file in files.items():
        inputs = file["needed"] + file["optional"]
        assert {*inputs, *file["outputs"]} == set(file["facts"]) - {"masks", "observation_space", "action_space"}, name

    many = files["many.onnx"]
    assert many["optional"] == ["action_mask.one", "action_mask.pick.1.0", "action_mask.push"]
    assert "action_mask.gear" in many["needed"]
    facts = many["facts"]
    assert facts["obs.kind"] == "int64 [batch], Discrete(4, start=2), as the environment gives it"
    assert facts["action.push"].startswith("float32 [batch, 2], Box([ -1. -inf], [ 2. inf], (2,), float32)")
    assert facts["action.pick.1.1"].endswith("counts where branch 1 is chosen")
    assert facts["action_mask.gear"] == "bool [batch, 3], True where action -1 + k is allowed; at least one"
    assert all(facts[mask].endswith("may be left out") for mask in many["optional"])
    assert json.loads(facts["observation_space"])["keys"] == ["it's", "kind", "size"]
    assert (facts["masks"], files["one.onnx"]["facts"]["masks"]) == (
        "taken, as action_mask inputs",
        "none taken: the policy learned with some, and may choose what is illegal",
    )

    printed = {name: python(program, tmp_path) for name, program in told["programs"].items()}
    assert len(told["programs"]["one.onnx"].splitlines()) <= 10
    assert printed["one.onnx"].startswith(f"{{'action': array({told['actions']['one.onnx']}")
    for line, action in zip(printed["many.onnx"].splitlines(), told["actions"]["many.onnx"], strict=True):
        gear, branch = action["gear"][0], action["pick"][0][0]
        assert f"'action.gear': array([{gear}]" in line
        assert f"'action.pick.0': array([{branch}]" in line

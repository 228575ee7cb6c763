"""Files that mean harm: hostile.py FOLDER. Each is read in a fresh child, which prints what came of it as JSON.

Files that cannot be what they say they are, and files whose checksum is right but whose contents are not: whoever can
write into a run's folder can compute a checksum.
"""

import io
import json
import os
import pickle
import resource
import shutil
import struct
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import clipper
from clipper.errors import ClipperError
from clipper.runs.config_file import read_config
from clipper.storage import checkpoint

MEGABYTE = 1_000_000
Change = Callable[[dict[str, Any], dict[str, Any]], None]


class Payload:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.mark),))


def header(text: dict[str, Any] | str, data: bytes = b"", size: int | None = None) -> bytes:
    """A safetensors file with the given header, whose length may lie."""
    raw = (text if isinstance(text, str) else json.dumps(text)).encode()
    return struct.pack("<Q", len(raw) if size is None else size) + raw + data


def tensor(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def raw_files(mark: Path) -> dict[str, bytes]:
    """What may stand where a checkpoint is expected."""
    archive, bomb, torchs = io.BytesIO(), io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("../../escaped", "x")
        file.writestr("/tmp/escaped", "x")
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros", bytes(50 * MEGABYTE))
    torch.save({"policy": Payload(mark)}, torchs)
    f32 = tensor("F32", [2], 0, 8)
    return {
        "empty": b"",
        "eight bytes": struct.pack("<Q", 2),
        "header beyond the file": header({}, size=10**6),
        "header of 2^63 bytes": header({}, size=2**63),
        "header of 90 MB that is not there": header({}, size=90 * MEGABYTE),
        "header that is no JSON": header("{'a': 1}"),
        "header that is a list": header("[1, 2]"),
        "header nested ten thousand deep": header('{"a":' * 10_000 + "1" + "}" * 10_000),
        "overlapping tensors": header({"a": f32, "b": tensor("F32", [2], 4, 12)}, bytes(12)),
        "a hole between tensors": header({"a": f32, "b": tensor("F32", [2], 16, 24)}, bytes(24)),
        "tensor beyond the file": header({"a": tensor("F32", [2], 0, 8)}, bytes(4)),
        "negative shape": header({"a": tensor("F32", [-2], 0, 8)}, bytes(8)),
        "negative offsets": header({"a": tensor("F32", [2], -8, 0)}, bytes(8)),
        "shape whose product overflows": header({"a": tensor("F32", [2**40, 2**40], 0, 8)}, bytes(8)),
        "dtype wider than its bytes": header({"a": tensor("F64", [2], 0, 8)}, bytes(8)),
        "dtype unknown": header({"a": tensor("OBJECT", [2], 0, 8)}, bytes(8)),
        "dtype exotic": header({"a": tensor("F8_E5M2", [8], 0, 8)}, bytes(8)),
        "one name twice": header(f'{{"a": {json.dumps(f32)}, "a": {json.dumps(f32)}}}', bytes(8)),
        "metadata of numbers": header({"__metadata__": {"format": 1}, "a": f32}, bytes(8)),
        "names that climb out": header({"../../escaped": f32, "/etc/passwd": tensor("U8", [0], 8, 8)}, bytes(8)),
        "pickle": pickle.dumps(Payload(mark)),
        "pickle, protocol 0": pickle.dumps(Payload(mark), protocol=0),
        "torch.save": torchs.getvalue(),
        "zip that climbs out": archive.getvalue(),
        "zip bomb": bomb.getvalue(),
        "gzip bomb": __import__("gzip").compress(bytes(50 * MEGABYTE)),
        "ELF": b"\x7fELF" + bytes(100),
        "a terabyte of text": b"9" * 1000,
    }


def deep(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


def assign(*path: Any, value: Any) -> Change:
    """Set one entry of a checkpoint's values."""

    def change(tensors: dict[str, Any], values: dict[str, Any]) -> None:
        place: Any = values
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


def replace(name: str, x: torch.Tensor) -> Change:
    def change(tensors: dict[str, Any], values: dict[str, Any]) -> None:
        assert name in tensors
        tensors[name] = x

    return change


def turned(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Change:
    """A tensor of the right form whose numbers cannot be."""

    def turn(tensors: dict[str, Any], values: dict[str, Any]) -> None:
        tensors[name] = change(tensors[name])

    return turn


def drop(name: str) -> Change:
    return lambda tensors, values: values.pop(name, None) or tensors.pop(name, None)


SIGNED: dict[str, Change] = {
    "a network of 40 GB": assign("config", "policy", "hidden", value=[100_000, 100_000]),
    "a critic of 40 GB": assign("config", "policy", "critic_hidden", value=[100_000, 100_000]),
    "bins by the thousand million": assign(
        "config", "policy", "critic", value={"type": "TwoHot", "bins": 10**9 + 1, "limit": 20.0}
    ),
    "a memory of 4 GB": assign("config", "policy", "memory", value={"type": "LSTM", "size": 16_000, "burn_in": 0}),
    "a window of a petabyte": assign(
        "config",
        "policy",
        "memory",
        value={"type": "Transformer", "size": 16_384, "window": 16_384, "heads": 1, "layers": 16_384, "burn_in": 0},
    ),
    "a thousand million actions": assign("spaces", "action", "n", value=10**9),
    "actions by the million": assign("spaces", "action", "n", value=9_999_999),
    "an observation of a petabyte": assign("spaces", "observation", "shape", value=[10**15]),
    "a space that is code": assign("spaces", "action", value={"type": "__import__('os').mkdir('hacked')"}),
    "a space of NaN": assign("spaces", "observation", "low", value="nan"),
    "a space that is missing": drop("spaces"),
    "settings that are a list": assign("config", value=[1, 2]),
    "settings that are code": assign("config", "algorithm", value={"type": "os.system", "command": "mkdir hacked"}),
    "settings of another type": assign("config", "algorithm", "horizon", value="128"),
    "nesting": assign("config", value=deep(900)),
    "moments of one number": replace("learner.adam.exp_avg", torch.zeros(1)),
    "moments of bytes": replace("learner.adam.exp_avg_sq", torch.zeros(3, dtype=torch.uint8)),
    "weights of another shape": replace("learner.policy.actor.0.weight", torch.zeros(1, 1)),
    "weights that are missing": drop("learner.policy.actor.0.weight"),
    "a generator of noise": replace("learner.generator", torch.full((5056,), 255, dtype=torch.uint8)),
    "a generator that is short": replace("rollouts.generator", torch.zeros(3, dtype=torch.uint8)),
    "observations of another shape": replace("rollouts.obs.0", torch.zeros(2, 99)),
    "ends that are numbers": replace("rollouts.done", torch.zeros(2)),
    "returns for one environment": replace("rollouts.running_total", torch.zeros(1, dtype=torch.float64)),
    "recent returns in a matrix": replace("recent", torch.zeros(4, 4, dtype=torch.float64)),
    "a counter that is text": assign("iteration", value="1; import os"),
    "a flag that is text": assign("exact", value="false"),
    "steps that are a float": assign("steps", value=1.5),
    "environments that are a number": assign("rollouts", "environments", value=7),
    "environments of another class": assign("rollouts", "environments", 0, "layers", 0, "class", value="os.system"),
    "environments without a state": assign("rollouts", "environments", 0, value={}),
    "one environment too few": lambda tensors, values: values["rollouts"]["environments"].pop(),
    "squares below 0": turned("learner.adam.exp_avg_sq", lambda x: -x - 1),
    "moments that are not finite": turned("learner.adam.exp_avg", lambda x: x * float("nan")),
    "one moment of two": drop("learner.adam.exp_avg_sq"),
    "a count of steps below 0": turned("learner.adam.step", lambda x: -x - 1),
    "decisions below 0": lambda tensors, values: (values.update(steps=-64), values["rollouts"].update(steps=-64))[0],
    "iterations below 0": assign("iteration", value=-1),
    "iterations beyond counting": assign("iteration", value=10**30),
    "seconds without end": assign("seconds", value=float("inf")),
    "checkpoints without end": assign("next_checkpoint", value=float("-inf")),
    "evaluations without end": assign("next_evaluation", value=float("-inf")),
    "progress that is no number": turned("learner.progress", lambda x: x * float("nan")),
    "skipped steps below 0": turned("learner.skipped", lambda x: x - 1),
    "returns that are not finite": turned("recent", lambda x: x * float("nan")),
    "more returns than are kept": replace("recent", torch.zeros(10**6, dtype=torch.float64)),
    "episodes of a length below 0": turned("rollouts.running_length", lambda x: -x - 1),
    "episodes that returned NaN": turned("rollouts.running_total", lambda x: x * float("nan")),
    "an observation that is not finite": turned("rollouts.obs.0", lambda x: x * float("nan")),
    "a tensor of the learner's that nothing reads": lambda tensors, values: tensors.update(
        {"learner.x": torch.zeros(2)}
    ),
    "a tensor that nothing reads": lambda tensors, values: tensors.update(x=torch.zeros(2)),
    "a hundred thousand tensors": lambda tensors, values: tensors.update(
        {f"learner.policy.{i}": torch.zeros(0) for i in range(100_000)}
    ),
    "two hundred thousand layers": assign("config", "policy", "hidden", value=[1] * 200_000),
    "nine hundred layers": assign("config", "policy", "critic_hidden", value=[1] * 900),
    "an environment's state that is deep": assign("rollouts", "environments", 0, "layers", value=deep(900)),
}
"""Changes to a whole checkpoint, after which it gets a right checksum again."""

TEXTS: dict[str, str] = {
    "empty": "",
    "not JSON": "{'env': 1}",
    "nested": "[" * 100_000,
    "NaN": '{"type": "Config", "env": NaN}',
    "one key twice": '{"type": "Config", "env": "CartPole-v1", "env": "Pendulum-v1"}',
    "a number of 10,000 digits": '{"type": "Config", "env": "CartPole-v1", "seed": ' + "9" * 10_000 + "}",
    "a number beyond floats": '{"type": "Config", "env": "X", "algorithm": {"type": "PPO", "gamma": 1'
    + "0" * 400
    + "}}",
    "bytes": '"\udcff\udcfe"',
    "a field that is not there": '{"type": "Config", "env": "CartPole-v1", "__class__": "os"}',
    "no environment": '{"type": "Config"}',
    "a hundred thousand threads": '{"type": "Config", "env": "CartPole-v1", "threads": 100000}',
    "an environment of a module": '{"type": "Config", "env": "hacked:Own-v0"}',
    "a long text": '"' + "x" * 40 * MEGABYTE + '"',
}
"""What may stand in config.json."""


def cases(folder: Path) -> dict[str, Callable[[], Any]]:
    """Name → what reads the file."""
    whole, mark = folder / "whole", folder / "mark"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clipper.train(
            "CartPole-v1", clipper.PPO(horizon=16, epochs=1), policy=clipper.PolicyOptions(hidden=(4,)), num_envs=2,
            total_steps=64, run_dir=whole, keep_checkpoints=1,
        )  # fmt: skip
    found: dict[str, Callable[[], Any]] = {}
    for name, data in raw_files(mark).items():
        path = folder / f"{len(found)}.safetensors"
        path.write_bytes(data)
        found[f"file: {name}"] = lambda path=path: clipper.load(path)
    for name, change in SIGNED.items():
        copy = folder / f"{len(found)}"
        shutil.copytree(whole, copy)
        tensors, values = checkpoint.load(whole / "checkpoint.safetensors")
        change(tensors, values)
        checkpoint.save(copy / "checkpoint.safetensors", tensors, values)
        if name in LOADED:
            found[f"policy: {name}"] = lambda copy=copy: clipper.load(copy)
        else:
            found[f"run: {name}"] = lambda copy=copy: clipper.train(resume=copy, total_steps=96)
    settings = json.loads((whole / "config.json").read_text())
    large = {
        "num_envs": 10**7, "policy": settings["policy"] | {"hidden": [100_000, 100_000]}, "eval_episodes": 10**9,
        "algorithm": settings["algorithm"] | {"epochs": 10**9},
    }  # fmt: skip
    segment = {"segment": settings["algorithm"] | {"horizon": 10**10}}
    texts = TEXTS | {f"{name} beyond all": json.dumps(settings | {name: x}) for name, x in large.items()}
    texts |= {f"{name} beyond all": json.dumps(settings | {"algorithm": x}) for name, x in segment.items()}
    for name, text in texts.items():
        copy = folder / f"{len(found)}"
        shutil.copytree(whole, copy)
        (copy / "config.json").write_bytes(text.encode(errors="surrogateescape"))
        found[f"config: {name}"] = lambda copy=copy: clipper.train(resume=copy)
    for name, target in (("a device", "/dev/zero"), ("a folder", str(whole))):
        link = folder / f"{len(found)}.safetensors"
        link.symlink_to(target)
        found[f"link to {name}"] = lambda link=link: clipper.load(link) if link.is_file() else checkpoint.load(link)
    found["config: a link to a device"] = lambda: read_config(linked(folder / "linked"))
    return found


LOADED = {"a network of 40 GB", "a thousand million actions", "actions by the million", "an observation of a petabyte",
          "a space that is code", "settings that are code", "settings that are a list", "weights that are missing",
          "weights of another shape", "settings of another type", "nesting", "a memory of 4 GB", "a critic of 40 GB",
          "bins by the thousand million",
          "a window of a petabyte", "a hundred thousand tensors", "two hundred thousand layers",
          "nine hundred layers"}  # fmt: skip
"""Of these, those that a policy is loaded with; the others are met where a run is resumed."""


def linked(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").symlink_to("/dev/zero")
    return folder


def outcome(read: Callable[[], Any]) -> tuple[str, str, float]:
    """The error, its text, and by how many MB memory grew at its peak: in a child of its own, so that it is that."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        torch.set_num_threads(1)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            read()
            told = ("nothing", "")
        except ClipperError as error:
            told = ("ClipperError", str(error))
        except BaseException as error:
            told = (type(error).__name__, str(error))
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000
        os.write(writer, json.dumps([told[0], told[1][:200], grown]).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        text = answer.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return tuple(json.loads(text)) if text else ("died", f"status {status}", 0.0)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    os.chdir(folder)
    (folder / "hacked.py").write_text("import os\nos.mkdir('mark')\n")
    sys.path.insert(0, str(folder))
    results = {name: outcome(read) for name, read in cases(folder).items()}
    print(
        json.dumps({"results": results, "marks": [str(p) for p in (folder / "mark", folder / "hacked") if p.exists()]})
    )

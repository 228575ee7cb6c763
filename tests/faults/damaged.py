"""Damaged run folders, drawn from a seed: damaged.py FOLDER SEED COUNT. What came of reading each is printed as JSON.

Each is a whole run in which one to three things were changed, by accident or on purpose, and is read in a fresh child.
"""

import json
import os
import random
import resource
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hostile import outcome

import clipper
from clipper.pictures.compare import comparison_of
from clipper.pictures.diagnostics import plot_diagnostics
from clipper.runs.curve import plot_runs
from clipper.storage import checkpoint

ODD: list[Any] = [
    None, True, "", "x" * 5000, "\x1b[2J", "\udcff", "os:system", -1, 0, 2**31, 2**63, 10**30, -(10**400), 1e308,
    -1e-300, float("inf"), float("-inf"), [], {}, [[]], [1] * 3000, {"type": "PPO"},
    {"type": "Linear", "start": 1e308, "end": -1}, "CartPole-v1,render_mode=human", "Ant-v5,xml_file=/dev/zero",
    "cuda:7", "compile", "<own>",
]  # fmt: skip
FILES = ("checkpoint.safetensors", "checkpoint.previous.safetensors", "config.json", "metrics.jsonl")
SECONDS = 5
Damage = Callable[[Path, random.Random], str]


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in JSON."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [(*path, key) for key, _ in items] + [p for key, x in items for p in places(x, (*path, key))]


def odd_json(tree: Any, draw: random.Random) -> str:
    """Replace, remove or add an entry."""
    path = draw.choice(places(tree))
    inner = tree
    for key in path[:-1]:
        inner = inner[key]
    how = draw.random()
    if how < 0.7:
        inner[path[-1]] = draw.choice(ODD)
    elif how < 0.85:
        del inner[path[-1]]
    elif isinstance(inner, dict):
        inner[draw.choice(("type", "x", "\x1b]0;x\x07"))] = draw.choice(ODD)
    return f"{'.'.join(map(str, path))} {inner.get(path[-1], 'gone') if isinstance(inner, dict) else inner!r}"[:80]


def bytes_of(folder: Path, draw: random.Random) -> str:
    """Flip, cut, insert or repeat bytes of a file."""
    path = folder / draw.choice(FILES)
    data = bytearray(path.read_bytes() if path.is_file() else b"")
    at, size = draw.randrange(len(data) + 1), draw.choice((1, 8, 1000))
    how = draw.choice(("flip", "cut", "insert", "repeat", "zero"))
    if how == "flip" and at < len(data):
        data[at] ^= 1 << draw.randrange(8)
    else:
        data[at : at + (0 if how == "insert" else size)] = {
            "insert": draw.randbytes(size), "repeat": data[at : at + size] * 3, "zero": bytes(size)
        }.get(how, b"")  # fmt: skip
    data = data[:at] if how == "cut" and draw.random() < 0.5 else data
    path.write_bytes(data)
    return f"bytes: {how} at {at} of {path.name}"


def file_of(folder: Path, draw: random.Random) -> str:
    """Something else in a file's place."""
    path = folder / draw.choice(FILES)
    how = draw.choice(("gone", "empty", "folder", "device", "sparse", "other"))
    path.unlink(missing_ok=True)
    if how == "folder":
        path.mkdir()
    elif how == "device":
        path.symlink_to("/dev/zero")
    elif how == "other":
        shutil.copyfile(folder / draw.choice([name for name in FILES if (folder / name).is_file()]), path)
    elif how != "gone":
        path.touch()
        os.truncate(path, 2**33 if how == "sparse" else 0)
    return f"file: {how} for {path.name}"


def settings_of(folder: Path, draw: random.Random) -> str:
    """Another entry in config.json."""
    if not (folder / "config.json").is_file():
        return ""
    try:
        settings = json.loads((folder / "config.json").read_text())
        told = odd_json(settings, draw)
    except (ValueError, IndexError, TypeError):
        return ""  # damaged already
    (folder / "config.json").write_text(json.dumps(settings))
    return f"settings: {told}"


def values_of(folder: Path, draw: random.Random) -> str:
    """Another entry in what the checkpoint says, under a right checksum."""
    tensors, values = whole(folder)
    told = odd_json(values, draw)
    checkpoint.save(folder / FILES[0], tensors, values)
    return f"values: {told}"


def tensors_of(folder: Path, draw: random.Random) -> str:
    """Another tensor in the checkpoint, under a right checksum."""
    tensors, values = whole(folder)
    name = draw.choice(sorted(tensors))
    x, how = tensors[name], draw.choice(("gone", "nan", "minus", "shape", "dtype", "long", "huge", "more", "many"))
    changed = {
        "nan": lambda: x * float("nan"), "minus": lambda: -x.double().to(x.dtype) - 1,
        "shape": lambda: x.reshape(-1, 1), "dtype": lambda: x.to(torch.int16),
        "long": lambda: torch.cat([x.reshape(-1)] * 3), "huge": lambda: torch.zeros(4_000_000, dtype=x.dtype),
    }  # fmt: skip
    if how in changed:
        tensors[name] = changed[how]()
    elif how == "gone":
        del tensors[name]
    else:
        more = {f"{name}.{i}": torch.zeros(0) for i in range(1 if how == "more" else 60_000)}
        tensors |= more
    checkpoint.save(folder / FILES[0], tensors, values)
    return f"tensors: {how} {name}"


def rows_of(folder: Path, draw: random.Random) -> str:
    """Lines among the metrics that no run writes."""
    lines = [
        "{}", "[" * 10_000, '{"iteration": 1, "steps": -1}', '{"iteration": 1e400, "steps": 2}', "\x00" * 200_000,
        "NaN", '{"iteration": 99, "steps": ' + "9" * 4000 + "}",
        '{"iteration": 98, "steps": 9, "loss/policy": ' + "9" * 400 + "}",
        '{"iteration": 97, "steps": 9, "episode/recent_return": Infinity, "\x1b[2J": 1}',
    ]  # fmt: skip
    line, times = draw.choice(lines), draw.choice((1, 1, 3000))
    if (folder / FILES[3]).is_file():
        with (folder / FILES[3]).open("a") as file:
            file.write((line + "\n") * (times if len(line) < 1000 else 1))
    return f"rows: {times} times {line[:40]!r}"


def whole(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The run as it was."""
    return checkpoint.load(folder.parent / "whole" / FILES[0])


DAMAGES: tuple[Damage, ...] = (bytes_of, file_of, settings_of, values_of, tensors_of, rows_of)


def weights(policy: torch.nn.Module) -> list[float]:
    """What tells whether it is the one that was saved."""
    return [float(x.detach().double().sum()) for x in policy.parameters()]


def read(folder: Path, way: str) -> list[float]:
    """One way to use a run's folder; the weights that were used, where there are any."""
    picture = folder.parent / "picture.png"
    if way == "load":
        return weights(clipper.load(folder))
    if way == "evaluate":
        clipper.evaluate(folder, episodes=1, num_envs=1)
    elif way == "resume":
        return weights(clipper.train(resume=folder, total_steps=96).policy)
    elif way == "plot":
        plot_runs([folder], picture)
    elif way == "diagnose":
        plot_diagnostics(folder, picture)
    else:
        comparison_of([folder.parent / "whole", folder])
    return []


WAYS = ("load", "evaluate", "resume", "plot", "diagnose", "compare")


def told(folder: Path, way: str, kept: Path) -> None:
    """Read it within ``SECONDS``, and note its weights and whether there was a warning."""
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))  # of the processor's time, however busy the machine is
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        found = read(folder, way)
    kept.write_text(json.dumps([found, len(given)]))


def main(folder: Path, seed: int, count: int) -> list[dict[str, Any]]:
    """All cases."""
    draw, results = random.Random(seed), list[dict[str, Any]]()
    algorithm = clipper.PPO(horizon=16, epochs=1)
    options = clipper.PolicyOptions(hidden=(4,))
    clipper.train(
        "CartPole-v1",
        algorithm,
        policy=options,
        num_envs=2,
        total_steps=64,
        checkpoint_every=32,
        run_dir=folder / "whole",
    )
    shutil.copytree(folder / "whole", folder / "again")
    right = {"load": read(folder / "whole", "load"), "resume": read(folder / "again", "resume")}
    plot_runs([folder / "whole"], folder / "picture.png")  # loads what pictures need
    for case in range(count):
        place, kept = folder / f"case{case}", folder / "told.json"
        shutil.copytree(folder / "whole", place)
        what = [draw.choice(DAMAGES)(place, draw) for _ in range(draw.choice((1, 1, 1, 2)))]
        way = draw.choice(WAYS)
        kept.unlink(missing_ok=True)
        kind, text, grown = outcome(lambda place=place, way=way, kept=kept: told(place, way, kept))
        found, warned = json.loads(kept.read_text()) if kept.exists() else ([], 0)
        accident = all(word.startswith("bytes") and "safetensors" in word for word in what)
        silent = accident and kind == "nothing" and not warned and way in right and found != right[way]
        results.append({"what": what, "way": way, "kind": kind, "text": text, "megabytes": grown, "silent": silent})
        shutil.rmtree(place)
    return results


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    os.chdir(sys.argv[1])
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))

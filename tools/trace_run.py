"""The part of ``traces.py`` that runs inside one checkout: make the runs of the cases that it is asked for.

Requests come as lines of JSON on standard input, answers go as lines of JSON to standard output. It uses only public
names of the library, and looks fields up by introspection, so that it runs in checkouts whose files lie elsewhere.
"""

import ast
import contextlib
import dataclasses
import hashlib
import importlib
import inspect
import json
import os
import shutil
import sys
import types
import typing
from pathlib import Path
from typing import Any

import gymnasium
import safetensors
import safetensors.torch
import torch
import trace_environments
from trace_difference import END, SETTINGS, flat

import clipper

try:
    from clipper.settings import old as former
except ImportError:  # a checkout from before there was such a module
    former = None
LARGE = 2**15  # numbers in a tensor, from which on its SHA-256 is kept instead
ENGINE = "engine"


class InexpressibleError(Exception):
    """A class or field that the checkout does not have."""


def classes_in(hint: Any) -> list[type]:
    """The classes that an annotation allows, unions opened."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [found for option in typing.get_args(hint) for found in classes_in(option)]
    return [hint] if isinstance(hint, type) else []


def find_class(names: str, hint: Any = None) -> type:
    """The first of ``names`` (``"a|b"``) among what the annotation allows, in ``clipper``, or anywhere in its files."""
    for name in names.split("|"):
        allowed = [found for found in classes_in(hint) if found.__name__ == name]
        if allowed:
            return allowed[0]
        if hasattr(clipper, name):
            return getattr(clipper, name)
    root = Path(clipper.__file__).parent
    for path in sorted(root.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.name in names.split("|"):
                module = ".".join(("clipper", *path.relative_to(root).with_suffix("").parts))
                return getattr(importlib.import_module(module.removesuffix(".__init__")), node.name)
    raise InexpressibleError(f"there is no {names}")


def fields_of(kind: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Fields of a dataclass by the names that it has for them, their values built."""
    known, hints = {f.name for f in dataclasses.fields(kind)}, typing.get_type_hints(kind)
    made = {}
    for names, value in given.items():
        name = next((n for n in names.split("|") if n in known), None)
        if name is None:
            raise InexpressibleError(f"{kind.__name__} has no field {names}")
        made[name] = build(value, hints[name])
    return made


def build(value: Any, hint: Any = None) -> Any:
    """What an entry of the battery describes: an instance of the library's, or a plain value."""
    if isinstance(value, dict):
        kind: Any = find_class(value.get("value") or value["type"], hint)
        others = {k: x for k, x in value.items() if k not in ("value", "type", "arguments", "fields")}
        fields = renewed(kind, value.get("fields", {})) | others
        return kind(*map(build, value.get("arguments", ())), **fields_of(kind, fields))
    return tuple(map(build, value)) if isinstance(value, list) else value


def renewed(kind: type, fields: dict[str, Any]) -> dict[str, Any]:
    """Fields of an entry as the checkout has them, where it has gathered some into values since."""
    renew = getattr(former, "as_now", None)
    if renew is None or len(inspect.signature(renew).parameters) != 1:
        return fields
    return {k: x for k, x in renew({"type": kind.__name__} | fields).items() if k != "type"}


def put_schedules(algorithm: Any) -> tuple[Any, list[str]]:
    """The algorithm with a ``Linear`` on every field that takes one, from its value or 0.01 to half of that."""
    kind, names, changes = find_class("Linear"), [], {}
    hints = typing.get_type_hints(type(algorithm))
    for field in dataclasses.fields(algorithm):
        now = getattr(algorithm, field.name)
        if kind in classes_in(hints[field.name]):
            names.append(field.name)
            if isinstance(now, int | float) or now is None:
                changes[field.name] = kind(now or 0.01, (now or 0.01) / 2)
    return dataclasses.replace(algorithm, **changes), names


class Made(typing.NamedTuple):
    """What ``clipper.train`` is called with."""

    positional: tuple[Any, ...]
    keywords: dict[str, Any]
    source: Any
    """What makes the environment where a folder does not say it: a factory, or None."""
    scheduled: list[str]


def make(case: dict[str, Any], engine: str) -> Made:
    """A case's arguments for ``clipper.train``."""
    config = find_class("Config")
    settings = case["settings"] | {ENGINE: engine, "seed": 3, "checkpoint_every": 1, "keep_checkpoints": 1}
    settings = fields_of(config, settings)
    if case["recipe"]:
        recipe = clipper.recipes.RECIPES.get(case["recipe"])
        if recipe is None:
            raise InexpressibleError(f"there is no recipe {case['recipe']}")
        made: Any = recipe()
        changes = fields_of(type(made.algorithm), renewed(type(made.algorithm), case["algorithm"]))
        changes = {name: min(x, getattr(made.algorithm, name)) for name, x in changes.items()}
        return Made((made,), settings | {"algorithm": dataclasses.replace(made.algorithm, **changes)}, None, [])
    own = case["env"].partition("own:")[2]
    source = getattr(trace_environments, own) if own else None
    algorithm, scheduled = build(case["algorithm"]), []
    if case["scheduled"]:
        algorithm, scheduled = put_schedules(algorithm)
    options: Any = find_class("PolicyOptions")
    keywords = settings | {"policy": options(**fields_of(options, case["policy"]))}
    return Made((source or case["env"], algorithm), keywords, source, scheduled)


Entries = dict[int, dict[str, Any]]


class Trace:
    """By iteration and name: rows of metrics, and all that the checkpoints hold."""

    def __init__(self, folder: Path, iterations: int, keep: int = 0, kept: Path | None = None) -> None:
        self.folder, self.iterations, self.keep, self.kept = folder, iterations, keep, kept
        self.numbers: Entries = {}
        self.tensors: dict[str, torch.Tensor] = {}
        self.last: dict[str, Any] = {}
        self.first = -1

    def __call__(self, run: Any) -> bool:
        """After each iteration: what was saved after the one before it."""
        self.first = run.iteration if self.first < 0 else self.first
        self.snapshot()
        if self.kept is not None and run.iteration == self.keep + 1:
            shutil.copytree(self.folder, self.kept)
        return run.iteration < self.iterations

    def tensor(self, iteration: int, name: str, x: torch.Tensor) -> None:
        """Keep a tensor, or of a large one its digest."""
        x = x.detach().cpu().contiguous()
        if x.numel() <= LARGE:
            self.tensors[f"{iteration}/{name}"] = x.clone()
        else:
            data = x.reshape(-1).view(torch.uint8).numpy()
            described = f"{x.dtype} {list(x.shape)} {hashlib.sha256(data.data).hexdigest()}"
            self.numbers.setdefault(iteration, {})[f"SHA-256 of {name}"] = described

    def file(self, path: Path, iteration: int, prefix: str) -> dict[str, Any]:
        """Keep the tensors of a checkpoint; returns its JSON values."""
        with safetensors.safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (it is no dict)
                self.tensor(iteration, f"{prefix}{as_now(name)}", file.get_tensor(name))
            return json.loads((file.metadata() or {}).get("values", "{}"))

    def snapshot(self) -> None:
        """Keep what the checkpoint holds now; the settings only once, since they stay."""
        path = self.folder / "checkpoint.safetensors"
        with safetensors.safe_open(path, framework="pt") as file:
            iteration = json.loads(file.metadata()["values"])["iteration"]
        saved = self.file(path, iteration, "")
        values = flat({k: v for k, v in saved.items() if k != "config"}) | {SETTINGS: saved.get("config", {})}
        self.last = {SETTINGS: values.pop(SETTINGS, {})}
        own = {k: v for k, v in values.items() if not k.startswith((SETTINGS, "seconds", "time"))}
        own = {k.removeprefix("rollouts."): v for k, v in own.items()}
        self.numbers.setdefault(iteration, {}).update({f"values: {k}": v for k, v in own.items()})

    def finish(self, run: Any, scheduled: list[str], out: Path) -> None:
        """Add the end of the run, and write all to ``out``."""
        self.snapshot()
        for row in run.history:
            if row["iteration"] >= self.first:
                own = {k: v for k, v in row.items() if not k.startswith("time/")}
                entries = self.numbers.get(row["iteration"], {})
                self.numbers[row["iteration"]] = {f"metrics: {k}": v for k, v in own.items()} | entries
        for name, x in run.policy.state_dict().items():
            self.tensor(END, f"policy: {name}", x)
        if (self.folder / "best.safetensors").exists():
            self.file(self.folder / "best.safetensors", END, "best: ")
        self.numbers.setdefault(END, {}).update(self.last | {"scheduled fields": " ".join(sorted(scheduled))})
        safetensors.torch.save_file(self.tensors, out, {"numbers": json.dumps(self.numbers)})


def as_now(name: str) -> str:
    """A tensor's name: what rollouts keep was once the run's own."""
    for old, new in {"collect.": "rollouts.", "env.": "rollouts.env."}.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def engine_of(run: Any) -> str:
    """The engine that computed."""
    named = getattr(getattr(run, ENGINE, None), "name", None)
    return named or getattr(run.config, ENGINE)


def record(request: dict[str, Any], made: Made, folder: Path) -> str:
    """The whole run, of which a copy as it was after some iterations is kept; returns the engine that it had."""
    kept = Path(request["kept"]) if request["kept"] else None
    trace = Trace(folder, request["iterations"], request["keep"], kept)
    try:
        run = clipper.train(*made.positional, **made.keywords, run_dir=folder, callback=trace)
    except clipper.ClipperError as error:
        if request[ENGINE] == "cpu" and trace.first < 0:
            raise RefusedError(str(error)) from error
        raise
    trace.finish(run, made.scheduled, Path(request["out"]))
    return engine_of(run)


def resume(request: dict[str, Any], made: Made, folder: Path) -> str:
    """Load, evaluate and resume what the other checkout (or this one) saved; returns the engine that it had."""
    shutil.copytree(request["kept"], folder)
    trace = Trace(folder, request["iterations"])
    policy = clipper.load(folder)
    for name, x in policy.state_dict().items():
        trace.tensor(0, f"loaded: {name}", x)
    if request["case"]["evaluate"]:
        played = clipper.evaluate(folder, made.source, episodes=2, seed=7, num_envs=2)
        results = {"returns": played.returns.tolist(), "lengths": played.lengths.tolist()}
        trace.numbers[0] = flat({"evaluation": results})
    run = clipper.train(made.source, resume=folder, callback=trace, engine=request[ENGINE])
    trace.finish(run, made.scheduled, Path(request["out"]))
    return engine_of(run)


class RefusedError(Exception):
    """The engine does not run this."""


def is_missing(error: BaseException | None) -> bool:
    """Whether an error comes from a package that is not installed."""
    while error is not None:
        if isinstance(error, ImportError | gymnasium.error.DependencyNotInstalled):
            return True
        error = error.__cause__ or error.__context__
    return False


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """What became of a request: a status, the engine, a reason."""
    if request["phase"] == "recipes":
        return {"status": "done", "recipes": sorted(clipper.recipes.RECIPES), "file": clipper.__file__}
    folder = Path(request["out"]).with_suffix(".run")
    try:
        made = make(request["case"], request[ENGINE])
        run = {"record": record, "resume": resume}[request["phase"]]
        return {"status": "done", ENGINE: run(request, made, folder)}
    except InexpressibleError as error:
        return {"status": "inexpressible", "reason": str(error)}
    except RefusedError as error:
        return {"status": "refused", "reason": str(error)}
    except Exception as error:  # whatever a checkout raises is told, and the others of its cases are run
        status = "missing" if request["case"]["recipe"] and is_missing(error) else "failed"
        return {"status": status, "reason": f"{type(error).__name__}: {error}".partition("\n")[0]}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Answer requests until there are no more; what else is printed goes to standard error."""
    for name in ("matplotlib", "tensorboard"):
        sys.modules[name] = None  # pyright: ignore[reportArgumentType] (pictures would cost more than the runs)
    torch.set_num_threads(1)  # several would wait for each other where other processes are at work
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with contextlib.suppress(BrokenPipeError):
        for line in sys.stdin:
            answers.write(json.dumps(answer(json.loads(line))) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()

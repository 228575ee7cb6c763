"""Rightly signed checkpoints whose values cannot be: each is refused by name, also before a run is built for it."""

from pathlib import Path
from typing import Any

import pytest

import clipper
from clipper.errors import ClipperError
from clipper.storage import checkpoint

WRONG = (None, "x", -1, {}, 10**400)
GONE = object()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("run")
    clipper.train("CartPole-v1", clipper.PPO(horizon=16), num_envs=2, total_steps=64, engine="torch", run_dir=made)
    return made


def refusals(folder: Path, values: dict[str, Any], tensors: dict[str, Any]) -> list[str]:
    """What comes of resuming, as it is planned and for longer; bare errors go through."""
    file, found = folder / "checkpoint.safetensors", []
    checkpoint.save(file, tensors, values)
    settings = (folder / "config.json").read_bytes()
    longer: tuple[Any, ...] = ({}, {"total_steps": 96})
    for total in longer:
        try:
            clipper.train(resume=folder, **total, callback=lambda run: False)
            found.append("")
        except ClipperError as error:
            found.append(str(error))
        (folder / "config.json").write_bytes(settings)
        checkpoint.save(file, tensors, values)
    return found


@pytest.mark.parametrize("of_rollouts", [False, True], ids=["run", "rollouts"])
def test_a_value_that_cannot_be_ends_no_run_bare(folder: Path, of_rollouts: bool) -> None:
    tensors, whole = checkpoint.load(folder / "checkpoint.safetensors")
    own: Any = whole["rollouts"] if of_rollouts else whole
    for name in own:
        for wrong in (*WRONG, GONE):
            changed = {key: x for key, x in own.items() if key != name} | ({} if wrong is GONE else {name: wrong})
            refusals(folder, whole | {"rollouts": changed} if of_rollouts else changed, tensors)


@pytest.mark.parametrize("wrong", [None, "x", 1.5, -1, GONE])
def test_its_steps_are_named(folder: Path, wrong: object) -> None:
    tensors, whole = checkpoint.load(folder / "checkpoint.safetensors")
    values = {key: x for key, x in whole.items() if key != "steps"} | ({} if wrong is GONE else {"steps": wrong})
    assert all("steps" in text for text in refusals(folder, values, tensors))

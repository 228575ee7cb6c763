"""A replay beside its run's checkpoints: a save writes new rows only, and what is read back is what was there."""

import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

import clipper
from clipper.errors import CorruptCheckpointError
from clipper.runs.replay_files import parts

SMALL = clipper.PolicyOptions(hidden=(8,), activation="relu", orthogonal=False)


def trained(folder: Path | None, steps: int, every: int = 20, keep: int = 2, **more: Any) -> clipper.Run:
    algorithm = clipper.DDPG(batch_size=8, capacity=100, learning_starts=16)
    plan: Any = {"total_steps": 300, "num_envs": 2, "seed": 3, "vector": "serial", "policy": SMALL}
    return clipper.train(
        "Pendulum-v1", algorithm, run_dir=folder, checkpoint_every=every, keep_checkpoints=keep,
        callback=lambda run: run.learned < steps, **plan | more,
    )  # fmt: skip


def ends(folder: Path) -> list[tuple[int, int]]:
    return [(first, end) for _, first, end in parts(folder)]


def same(run: clipper.Run, other: clipper.Run) -> None:
    ours, theirs = run.learner.state_dict(), other.learner.state_dict()
    assert ours.keys() == theirs.keys()
    for name, x in ours.items():
        assert torch.equal(x, theirs[name]), name


def test_each_save_writes_what_is_new_and_old_parts_go(tmp_path: Path) -> None:
    """100 decisions are 50 rows; at 240 the two latest checkpoints need rows from 70 on."""
    trained(tmp_path, 60)
    assert ends(tmp_path) == [(0, 10), (9, 20), (19, 30)]
    sizes = {path.name: path.stat().st_size for path, _, _ in parts(tmp_path)}
    checkpoint = (tmp_path / "checkpoint.safetensors").stat().st_size
    clipper.train(resume=tmp_path, total_steps=300, callback=lambda run: run.learned < 240)
    found = ends(tmp_path)
    assert found[-1] == (109, 120)
    assert 70 < found[0][1] <= 80
    assert all(second[0] == first[1] - 1 for first, second in pairwise(found))
    assert (tmp_path / "checkpoint.safetensors").stat().st_size < checkpoint + 2_000  # however many rows there are
    assert all((tmp_path / name).stat().st_size == size for name, size in sizes.items() if (tmp_path / name).exists())


@pytest.mark.parametrize("stop", [46, 130, 260])
def test_a_run_goes_on_bit_for_bit_also_where_the_ring_has_been_written_over(stop: int, tmp_path: Path) -> None:
    whole = trained(None, 300)
    trained(tmp_path, stop)
    run = clipper.train(resume=tmp_path, callback=lambda run: run.learned < stop + 20)
    run = clipper.train(resume=tmp_path)
    assert run.exact
    same(run, whole)


def test_an_earlier_checkpoint_finds_its_rows_and_those_after_it_are_forgotten(tmp_path: Path) -> None:
    whole = trained(None, 300)
    trained(tmp_path, 100)
    latest = tmp_path / "checkpoint.safetensors"
    latest.write_bytes(latest.read_bytes()[:-100])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = clipper.train(resume=tmp_path, total_steps=300)
    same(run, whole)


def test_without_its_rows_a_run_is_not_exact_and_begins_with_uniform_decisions(tmp_path: Path) -> None:
    trained(tmp_path, 60, save_replay=False)
    assert not ends(tmp_path)
    run = clipper.train(resume=tmp_path, total_steps=300, callback=lambda run: run.learned < 70)
    assert not run.exact
    assert (int(run.learner.extra["decisions"]), int(run.learner.extra["gradient_steps"])) == (10, 0)
    assert run.learner.modules["replay"].decisions == 10
    assert run.rollouts.steps == 70


def test_parts_that_are_gone_or_damaged_are_named(tmp_path: Path) -> None:
    trained(tmp_path, 80)
    found = [path for path, _, _ in parts(tmp_path)]
    kept = found[1].read_bytes()
    found[1].write_bytes(kept[:-10])
    with pytest.raises(CorruptCheckpointError, match=found[1].name):
        clipper.train(resume=tmp_path)
    found[1].unlink()
    with pytest.raises(CorruptCheckpointError, match="or delete them all"):
        clipper.train(resume=tmp_path)
    for path in found:
        path.unlink(missing_ok=True)
    run = clipper.train(resume=tmp_path, total_steps=300, callback=lambda run: run.learned < 90)
    assert not run.exact

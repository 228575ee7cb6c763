"""What TensorBoard itself reads from a run's folder."""

import importlib
from pathlib import Path
from typing import Any

import pytest

import clipper
from clipper.networks.heads import LinearStd
from clipper.runs.logs import Log
from clipper.runs.run import Row


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    name = "tensorboard.backend.event_processing.event_accumulator"
    reader: Any = importlib.import_module(name).EventAccumulator(str(folder / "tensorboard"))
    reader.Reload()
    return {tag: [(e.step, e.value) for e in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


def write(folder: Path, keep: list[Row], rows: list[Row]) -> None:
    log = Log(folder, keep)
    for row in rows:
        log.write(row)
    log.close()


def test_tensorboard_reads_every_number_that_has_a_group(tmp_path: Path) -> None:
    rows: list[Row] = [{"steps": 8 * i, "loss/policy": 0.5 * i, "episode/return": None, "odd": 1.0} for i in (1, 2, 3)]
    write(tmp_path, [], rows)
    assert curves(tmp_path) == {"loss/policy": [(8, 0.5), (16, 1.0), (24, 1.5)]}


def test_a_resumed_run_hides_the_rows_that_were_lost(tmp_path: Path) -> None:
    rows: list[Row] = [{"steps": i, "loss/policy": float(i)} for i in (1, 2, 3)]
    write(tmp_path, [], rows)
    write(tmp_path, rows[:1], [{"steps": 2, "loss/policy": 20.0}])
    assert curves(tmp_path) == {"loss/policy": [(1, 1.0), (2, 20.0)]}


def test_tensorboard_shows_the_settings_and_the_schedules(tmp_path: Path) -> None:
    algorithm = clipper.PPO(horizon=16, epochs=1, learning_rate=clipper.schedules.Linear(1e-2), clip=0.3)
    head = clipper.HeadOptions(std=LinearStd(0.5))
    policy = clipper.PolicyOptions(hidden=(4,), head=head)
    clipper.train("Pendulum-v1", algorithm, policy=policy, num_envs=2, total_steps=128, run_dir=tmp_path)
    found = curves(tmp_path)
    progress = [0, 0.25, 0.5, 0.75]
    assert [x for _, x in found["setting/learning_rate"]] == pytest.approx([1e-2 * (1 - p) for p in progress], rel=1e-5)
    assert [x for _, x in found["setting/std"]] == pytest.approx([1 - 0.5 * p for p in progress], rel=1e-5)
    assert [x for _, x in found["setting/clip"]] == pytest.approx([0.3] * 4)
    name = "tensorboard.backend.event_processing.event_accumulator"
    reader: Any = importlib.import_module(name).EventAccumulator(str(tmp_path / "tensorboard"))
    reader.Reload()
    (event,) = reader.Tensors("settings")
    text = event.tensor_proto.string_val[0].decode()
    assert "| algorithm.clip | 0.3 |" in text
    assert "| policy.hidden | 4 |" in text
    assert reader.SummaryMetadata("settings").plugin_data.plugin_name == "text"

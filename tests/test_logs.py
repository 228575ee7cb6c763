"""What TensorBoard itself reads from a run's folder."""

import importlib
from pathlib import Path
from typing import Any

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

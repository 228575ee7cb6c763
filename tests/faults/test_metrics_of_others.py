"""A run's metrics.jsonl may be of any size and hold anything: pictures and resumed runs take what is a row."""

import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import run_folders

import clipper
from clipper.pictures.diagnostics import plot_diagnostics
from clipper.runs import metrics_file
from clipper.runs.curve import plot_runs, read_curve
from clipper.runs.metrics_file import cut_after, read_rows, replace_last
from clipper.settings.config import Config

NINES = "9" * 400  # beyond what a float can hold


def written(folder: Path, lines: list[str]) -> Path:
    run_folders.write(folder, Config(env="CartPole-v1", total_steps=100))
    (folder / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return folder


def row(i: int, **more: Any) -> str:
    return json.dumps({"iteration": i, "steps": 10 * i, "episode/recent_return": 1.0 * i, "policy/entropy": 0.5} | more)


def test_a_file_without_lines_takes_no_memory(tmp_path: Path) -> None:
    folder = written(tmp_path, [row(1), row(2)])
    os.truncate(folder / "metrics.jsonl", 2**33)  # eight GB, of which the disk holds nothing
    tracemalloc.start()
    with pytest.warns(UserWarning, match="no row of metrics from line 3 on; the rest is left out"):
        rows = list(read_rows(folder))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [r["iteration"] for r in rows] == [1, 2]
    assert peak < 2_000_000
    with pytest.warns(UserWarning, match="the rest is left out"):
        assert plot_runs([folder], tmp_path / "picture.png").stat().st_size > 1000


def test_numbers_that_no_float_holds_are_left_out(tmp_path: Path) -> None:
    big = f'{{"iteration": 2, "steps": 20, "episode/recent_return": {NINES}, "policy/entropy": 0.1}}'
    steps = f'{{"iteration": 3, "steps": {NINES}, "episode/recent_return": 1.0}}'
    folder = written(tmp_path, [row(1), big, steps, row(4)])
    with pytest.warns(UserWarning, match=r"line 3 of .* is no row of metrics; it is left out"):
        curve = read_curve(folder)
    assert curve.steps.tolist() == [10, 40]
    with pytest.warns(UserWarning, match="line 3"):
        plot_diagnostics(folder)


def test_rows_go_forward_and_what_is_wrong_is_told_a_few_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_file, "MOST_WRONG", 50)
    folder = written(tmp_path, [row(1), row(2), *[row(2)] * 10, row(3), *["[]"] * 100, row(4)])
    with pytest.warns(UserWarning, match="metrics.jsonl") as told:
        found = [r["iteration"] for r in read_rows(folder)]
    assert found == [1, 2, 3]
    assert len(told) == 4
    assert "line 3 of" in str(told[0].message)
    assert "is of no later iteration than the one before" in str(told[0].message)
    assert "47 more lines" in str(told[-1].message)
    assert "all that come after" in str(told[-1].message)


def test_pictures_of_long_runs_are_of_evenly_spaced_rows_and_all_evaluations(tmp_path: Path) -> None:
    lines = [row(i, **({"eval/return": 5.0} if i in (7, 500) else {})) for i in range(1, 1002)]
    folder = written(tmp_path, lines)
    found = [r["iteration"] for r in read_rows(folder, most=100)]
    assert set(found) >= {7, 11, 22, 500, 1001}
    assert len(found) <= 100 + 3
    assert [r["iteration"] for r in read_rows(folder)] == list(range(1, 1002))


def test_a_resumed_run_keeps_the_file_and_remembers_the_latest_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_file, "MOST_ROWS", 3)
    algorithm = clipper.PPO(horizon=8, epochs=1, minibatches=1)
    plan: dict[str, Any] = {"num_envs": 2, "run_dir": tmp_path}
    clipper.train("CartPole-v1", algorithm, total_steps=96, **plan)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(row(99) + "\n")  # of an iteration that no checkpoint knows
    run = clipper.train(resume=tmp_path, total_steps=128)
    rows = list(read_rows(tmp_path))
    assert [r["iteration"] for r in rows] == list(range(1, run.iteration + 1))
    assert run.history == rows[-len(run.history) :]
    assert len(run.history) < len(rows)


def test_what_is_left_is_whole_or_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = written(tmp_path, [row(i) for i in range(1, 9)])
    before = (folder / "metrics.jsonl").read_bytes()

    def full(_: int) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(metrics_file.os, "fsync", full)
        with pytest.raises(OSError, match="full"):
            cut_after(folder, 5)
    assert (folder / "metrics.jsonl").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "metrics.jsonl"]
    assert [r["iteration"] for r in cut_after(folder, 5)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("count", [1, 2])
def test_the_last_row_is_replaced_and_no_other(tmp_path: Path, count: int) -> None:
    folder = written(tmp_path, [row(i) for i in range(1, count + 1)])
    replace_last(folder, json.loads(row(count)) | {"eval/return": 5.0, "eval/std": float("nan")})
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert lines[:-1] == [row(i) for i in range(1, count)]
    assert json.loads(lines[-1]) == json.loads(row(count)) | {"eval/return": 5.0, "eval/std": None}

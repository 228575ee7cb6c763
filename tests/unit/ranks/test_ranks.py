"""Several processes train one run: their number changes nothing, and what fails in one ends all, named."""

import json
import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from launch import HERE, ended, found, start

from clipper.errors import ConfigError
from clipper.ranks.columns import share
from clipper.ranks.group import joined
from clipper.ranks.packing import packed, unpacked
from clipper.rollout.state import Columns
from clipper.rollout.vector_rollouts import quota
from clipper.runs.together import columns_of

FEW, MORE_OF_THEM = ("cartpole", "platform", "episodes"), ("pendulum", "masked", "lunarlander")


def of_one(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What all ranks have learned, by case: they must agree."""
    by_case: dict[str, set[str]] = {}
    for row in rows:
        by_case.setdefault(row["case"], set()).add(json.dumps({k: x for k, x in row.items() if k != "rank"}))
    assert all(len(told) == 1 for told in by_case.values()), by_case
    return {case: told.pop() for case, told in by_case.items()}


LONG = [pytest.param((2, 3, 4), cases, marks=pytest.mark.long) for cases in (FEW, MORE_OF_THEM)]


@pytest.mark.parametrize(("sizes", "cases"), [((2,), FEW), *LONG])
def test_the_number_of_processes_changes_no_bit(sizes: tuple[int, ...], cases: tuple[str, ...], tmp_path: Path) -> None:
    """Parameters, normalisers, the KL's stop and finished episodes; 5 environments divide unevenly."""
    alone = of_one(found(1, tmp_path / "alone", *cases))
    assert all(of_one(found(size, tmp_path / str(size), *cases)) == alone for size in sizes)


def test_all_learn_the_same_where_each_draws_its_own(tmp_path: Path) -> None:
    rows = found(2, tmp_path, "memory")
    assert len(rows) == 2
    assert len({row["learned"] for row in rows}) == 1


def test_a_run_that_some_have_saved_goes_on_in_others(tmp_path: Path) -> None:
    whole = of_one(found(1, tmp_path / "whole", "cartpole:12"))
    found(3, tmp_path / "parts", "cartpole:5")
    found(1, tmp_path / "parts", "cartpole:8")
    assert of_one(found(2, tmp_path / "parts", "cartpole:12")) == whole


def children_of(process: subprocess.Popen[str]) -> list[int]:
    """The processes that it has started."""
    command = ["ps", "-o", "pid=", "--ppid", str(process.pid)]
    return [int(word) for word in subprocess.run(command, check=False, capture_output=True, text=True).stdout.split()]


def kill_one(process: subprocess.Popen[str], rng: random.Random) -> bool:
    """Kill one of the processes of torchrun; were there any?"""
    children = children_of(process)
    if children:
        os.kill(rng.choice(children), signal.SIGKILL)
    return bool(children)


@pytest.mark.long
@pytest.mark.parametrize("times", [1, 10])
def test_a_killed_process_costs_nothing_where_torchrun_starts_all_anew(times: int, tmp_path: Path) -> None:
    whole, rng, killed = of_one(found(1, tmp_path / "whole", "cartpole=50000")), random.Random(0), 0
    for i in range(times):
        process = start(2, HERE / "cases.py", tmp_path / str(i), "cartpole=50000", restarts=3)
        while not (tmp_path / str(i) / "checkpoint.previous.safetensors").exists():  # it trains
            time.sleep(0.1)
            assert process.poll() is None
        time.sleep(rng.uniform(0, 2))
        killed += kill_one(process, rng)
        status, out, errors = ended(process)
        assert status == 0, errors
        assert of_one([json.loads(line) for line in out.replace("}{", "}\n{").splitlines()]) == whole
    assert killed


FAILURES = {
    "raise": (r"rank 0: RankError: rank 1 has ended: EnvWorkerError: .*simulator is gone", 3),
    "weights": (r"rank 0: RankError: the learner of rank 1 differs from rank 0's", 3),
    "stop": (r"rank 0: ended at iteration 5", 0),
}
MORE = {
    "sleep": (r"rank 0: RankError: rank 1 did not answer within 4 s", 3),
    "few": (r"rank 0: ConfigError: 2 ranks cannot divide an environment: .* not 1", 3),
    "environments": (r"rank 0: RankError: a setting of rank 1 differs from rank 0's", 3),
    "evaluations": (r"rank 0: RankError: a setting of rank 1 differs from rank 0's", 3),
    "nan": (
        r"rank 0: RankError: rank 1 has ended: NonFiniteError: observation nan from .* of CartPole-v1 in rank 1",
        3,
    ),
    "seed": (r"rank 0: RankError: a setting of rank 1 differs from rank 0's", 3),
    "ready": (r"rank 0: ConfigError: training in several processes divides the environments", 3),
}


@pytest.mark.parametrize("way", [*FAILURES, *(pytest.param(way, marks=pytest.mark.long) for way in MORE)])
def test_what_fails_in_one_ends_all_and_is_named(way: str, tmp_path: Path) -> None:
    said, expected = (FAILURES | MORE)[way]
    status, out, errors = ended(start(2, HERE / "failing.py", way, tmp_path / "run"))
    assert (status != 0) == (expected != 0), errors
    assert re.search(said, out), out
    if way not in ("few", "ready", "seed", "environments", "evaluations"):
        assert (tmp_path / "run" / "checkpoint.safetensors").is_file()


def test_the_command_line_shows_one_of_them_and_a_signal_to_one_stops_all(tmp_path: Path) -> None:
    process = start(
        2, "-m", "clipper", "train", "CartPole-v1", "--num-envs", "4", "--total-steps", "10000000", "--engine", "torch",
        "--vector", "serial", "--run-dir", tmp_path / "run", "--checkpoint-every", "500",
    )  # fmt: skip
    while not (tmp_path / "run" / "checkpoint.previous.safetensors").exists():
        time.sleep(0.1)
        assert process.poll() is None
    os.kill(children_of(process)[-1], signal.SIGTERM)
    _, out, _ = ended(process)
    assert out.count("PPO on CartPole-v1: 4 environments divided among 2 ranks") == 1
    assert out.count("2 ranks send what their environments did: each draws its own actions") == 1
    assert out.count("stopped by SIGTERM") == 1


@pytest.mark.parametrize(("num_envs", "size"), [(8, 2), (5, 2), (7, 3), (4, 4), (1, 1)])
def test_columns_are_divided_once(num_envs: int, size: int) -> None:
    parts = [columns_of(rank, size, num_envs) for rank in range(size)]
    owned = [i for (first, total), count in parts for i in range(first, first + count)]
    assert owned == list(range(num_envs))
    assert all(total == num_envs for (_, total), _ in parts)
    assert max(count for _, count in parts) - min(count for _, count in parts) <= 1


def test_more_processes_than_environments_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"3 ranks cannot divide an environment: .* not 2"):
        columns_of(0, 3, 2)


@pytest.mark.parametrize(("episodes", "n"), [(7, 5), (3, 5), (20, 4)])
def test_each_column_has_its_episodes_whoever_collects_it(episodes: int, n: int) -> None:
    whole = [1 + (episodes - 1 - i) // n if i < episodes else 0 for i in range(n)]  # dealt one by one
    parts = [share(episodes, Columns(0, n), 2), share(episodes, Columns(2, n), n - 2)]
    assert np.concatenate(parts).tolist() == whole == quota(episodes, n).tolist()


def test_what_is_packed_is_read_back() -> None:
    tensors = [
        torch.randn(3, 2), torch.tensor([[True, False]]), torch.zeros(0, 4), torch.arange(5, dtype=torch.uint8),
        torch.tensor(1.5, dtype=torch.float64), torch.randn(4, 3).T,
    ]  # fmt: skip
    read, values = unpacked(packed(tensors, {"a": [1, None, "é"]}))
    assert values == {"a": [1, None, "é"]}
    assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(read, tensors, strict=True))


def test_nothing_of_it_is_made_for_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where torchrun starts one alone: no group is joined."""
    assert joined() is None
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert joined() is None
    assert not torch.distributed.is_initialized()

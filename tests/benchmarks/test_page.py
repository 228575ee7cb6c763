"""The benchmark page: up to date, and its words about a result are what the result says."""

import csv
import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))  # page.py imports the files beside it, as a script does
page = importlib.import_module("page")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_committed_page_is_that_of_the_committed_results(language):
    assert page.PAGES[language].read_text("utf-8") == page.page(language), "run python benchmarks/page.py"


def test_words_follow_the_numbers():
    assert page.verdict(np.array([3.0, 5.0]), 4.0) is True
    assert page.verdict(np.array([1.0, 5.0]), 4.0) is None
    assert page.verdict(np.array([1.0, 2.0]), 4.0) is False


def write(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Two seeds of Hopper in both protocols, and CartPole's time to score."""
    rows = [
        {"entry": "hopper", "env": "Hopper-v5", "algorithm": "PPO", "seed": seed, "evaluation_mean": 9,
         "training_mean": mean, "steps_to_score": steps, "seconds_to_score": seconds}
        for seed, mean, steps, seconds in ((1, 2383, 600_000, 50), (2, 2655, "", ""))
    ]  # fmt: skip
    write(tmp_path / "mujoco.csv", rows)
    curves = {1: (100, 3000, 2500), 2: (100, 2000, 2900, 9999)}
    evaluations = [
        {"entry": "hopper", "seed": seed, "steps": i, "return": value}
        for seed, curve in curves.items()
        for i, value in enumerate(curve)
    ]
    write(tmp_path / "mujoco-evaluations.csv", evaluations)
    monkeypatch.setattr(page, "RESULTS", tmp_path)


def test_the_best_moment_is_common_to_all_seeds(results):
    assert page.values("mujoco", page.rows_of("mujoco"), "best").tolist() == [2500, 2900]


def test_numbers_stand_beside_those_of_the_same_protocol(results):
    lines = [line.split(" | ") for line in page.beside_peers("en") if line.startswith("| Hopper")]
    assert [(line[1], line[2], line[5], line[7].strip(" |")) for line in lines] == [
        ("best", "2700.0", "XuanCe", "0.63"),  # (Φ(156.6/1097.9) + Φ(556.6/1097.9)) / 2 = (0.557 + 0.694) / 2
        ("best", "2700.0", "Tianshou", ""),  # of another version of the task: not like for like
        ("training", "2519.0", "CleanRL", ""),
    ]
    (time,) = [line for line in page.times("en") if line.startswith("| Hopper")]
    assert time == "| Hopper-v5 | 2300 | hopper | 1 of 2 | 600k | 50 |"

"""What the tables say beside the figures: HardMove's ceiling, computed, and rows that say what was known before."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))  # its files import each other, as scripts do
notes = importlib.import_module("notes")
suites = importlib.import_module("suites")


@pytest.mark.parametrize("n", [4, 6, 8, 10])
def test_the_ceiling_is_the_part_of_starts_within_reach(n):
    """Displacements after 30 decisions lie in R·hull(±pushes), R the way of 30 full pushes; the target's disc is added.

    Polygon and disc by their support functions: within the sum is what no direction separates from it.
    """
    speed = way = 0.0
    for _ in range(30):
        speed = 0.75 * speed + 0.1 * 2.0
        way += 0.1 * speed
    angle = 2 * np.pi * np.arange(n) / n
    each = np.round(np.stack([np.cos(angle), np.sin(angle)], 1), 3)
    sums = np.array([[int(digit) for digit in format(k, f"0{n}b")] for k in range(2**n)]) @ each
    sums /= np.linalg.norm(sums, axis=1).max()
    turn = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    sides = np.stack([np.cos(turn), np.sin(turn)], 1)
    hull = way * np.abs(sums @ sides.T).max(0)
    # The difference of two uniform places in [−1, 1]² on a grid, each cell's weight the density ∝ 2 − |d| per axis.
    axis = (np.arange(150) + 0.5) / 75
    weight = 2 - axis
    dx, dy = np.meshgrid(axis, axis)
    inside = (np.stack([dx, dy], -1) @ sides.T - hull).max(-1) <= 0.2
    mass = weight[:, None] * weight
    assert (mass * inside).sum() / mass.sum() == pytest.approx(notes.CEILINGS[n], abs=0.002)


def test_every_note_is_of_an_entry_and_of_both_languages():
    for (suite, name), both in notes.NOTES.items():
        assert name in suites.SUITES[suite]
        assert all(both)


def test_whoever_starts_from_knowledge_says_so():
    for name, entry in suites.HYBRID.items():
        means = entry.config().policy.head.initial_mean
        told = notes.note("hybrid", name, "en")
        assert bool(means) == ("an aim" in told or "starts at 0.5" in told), name


@pytest.mark.parametrize("suite", ["mujoco", "trust_region", "hardmove"])
def test_a_target_is_of_the_same_task(suite):
    for name, entry in suites.SUITES[suite].items():
        if entry.target is not None:
            env = entry.config().env
            assert env in entry.target.source if suite != "hardmove" else env.endswith("actions=published"), name


def test_hyars_actions_are_learned_from_nothing():
    assert not any(entry.config().policy.head.initial_mean for entry in suites.HARDMOVE_PUBLISHED.values())

"""Kernels with bounds checks compiled in: no test of the engine reads or writes outside of an array.

``CLIPPER_BOUNDS_CHECK`` makes such kernels, which fail where they would leave an array. The engine's tests are run with
them once, in a process of their own, where the last tests of this file show that the checks check. To compile these
kernels and to run them takes minutes: ``make test-long``, or this file's long test, after kernels were changed.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batches import ACTIONS, Still, make_steps, small_policy

import clipper
from clipper.engines.cpu import kernel_files
from clipper.engines.cpu.engine import CPU
from clipper.engines.cpu.kernels import numba_options, tiles, views
from clipper.engines.cpu.kernels.tables import Loss, Rows
from clipper.engines.cpu.passes import Fitted, Stepper

HERE = Path(__file__).parent
TESTS = ["test_action_trees.py", "test_bounds.py", "test_draws.py", "test_exact_kl.py", "test_fisher.py",
         "test_gradients.py", "test_layer_norm.py", "test_masked_and_planned.py", "test_memories.py",
         "test_observation_rows.py", "test_replayed_steps.py", "test_steps.py", "test_tiles.py", "test_told_layers.py",
         "test_update.py"]  # fmt: skip
checked = pytest.mark.skipif(
    not numba_options.BOUNDS_CHECKED, reason="these kernels are compiled without bounds checks"
)


@pytest.mark.skipif(numba_options.BOUNDS_CHECKED, reason="this is that run")
@pytest.mark.long
@pytest.mark.limit(1800)
def test_the_engine_stays_within_its_arrays() -> None:
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", "-n", "0", "-m", "not long",
               "-k", "not other_processors and not solved",
               *(str(HERE / name) for name in TESTS)]  # fmt: skip
    done = subprocess.run(
        command, env=os.environ | {"CLIPPER_BOUNDS_CHECK": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def made(kind: Any = "categorical") -> tuple[CPU, np.ndarray]:
    """An engine, and observations of four environments for it."""
    policy, algorithm = small_policy(kind), clipper.PPO()
    return CPU(algorithm.init(policy), algorithm), np.zeros((3, 4, 3), np.float32)


@checked
@pytest.mark.parametrize("wide", [0, 1], ids=["as-wide", "wider"])
def test_a_row_that_is_wider_than_its_storage_is_reported(wide: int) -> None:
    flags = np.zeros((2, 4), bool)
    storage = np.zeros(4, bool), np.ones(4, np.int64), np.zeros((3, 4, 3), np.float32), np.zeros((2, 4)), *[flags] * 3
    seen = np.zeros((4, 3 + wide), np.float32)
    keep = kernel_files.load().keep.bind(*storage, seen, np.zeros(4), np.zeros(4, bool), np.zeros(4, bool), 0)
    if not wide:
        assert keep(1) == 4
        return
    with pytest.raises(RuntimeError, match="kernel keep failed"):
        keep(1)


@checked
@pytest.mark.parametrize("kind", ["categorical", "gaussian", "several"])
@pytest.mark.parametrize("what", ["drawn", "noise"])
def test_storage_that_is_too_short_for_a_draw_is_reported(kind: Any, what: str) -> None:
    engine, obs = made(kind)
    env = Still(obs[0], ACTIONS[kind])
    recorder = engine.recorder(env, clipper.VectorRollouts(env, 0))
    recorder.begin(2)
    recorder.act(1)
    name = {"drawn": ("choice", "action"), "noise": ("uniform", "normal")}[what][kind == "gaussian"]
    short = getattr(recorder, name)[:, :3]
    setattr(recorder, name, short.contiguous() if what == "noise" else np.ascontiguousarray(short))
    recorder.bind()
    with pytest.raises(RuntimeError, match="kernel decide failed"):
        recorder.act(1)


@checked
def test_values_that_do_not_fit_are_reported() -> None:
    engine, obs = made()
    engine.values(obs[0], np.empty(4, np.float32))
    with pytest.raises(RuntimeError, match="kernel values failed"):
        engine.values(obs[0], np.empty(3, np.float32))


def go_over(engine: CPU, rows: Rows, loss: Loss, keep: np.ndarray) -> None:
    """One pass."""
    stepper = Stepper(engine, engine.plan.climb, 0.5, keep)
    stepper.bind(Fitted(rows, loss))
    stepper.epoch()


@checked
@pytest.mark.parametrize("what", ["row", "choice", "gradient"])
def test_an_update_that_leaves_its_arrays_is_reported(what: str) -> None:
    engine, _ = made()
    steps, last = make_steps(engine.learner.policy, 8, 4, seed=0)
    rows = engine.rows(engine.targets(steps, last))
    keep = np.flatnonzero(steps.mask.numpy())
    go_over(engine, rows, engine.loss(rows, keep, steps), keep)
    if what == "row":
        keep[3] = 32
    elif what == "choice":
        rows.choice[keep[3]] = 10**6
    else:
        engine.gradient = engine.gradient[:-5].copy()
    with pytest.raises(RuntimeError, match="kernel epoch failed"):
        go_over(
            engine, rows, engine.loss(rows, keep, steps) if what != "row" else engine.loss(rows, keep[:3], steps), keep
        )


@checked
def test_products_and_sheets_know_the_ends_of_their_arrays() -> None:
    lanes = tiles.LANES
    a, b, c = np.ones(6, np.float32), np.ones(3 * lanes, np.float32), np.zeros(2 * lanes, np.float32)
    tiles.multiply(a, 0, 3, 1, -1, b, 0, c, 0, lanes, 2, 3, lanes, 0)
    assert (c == 3).all()
    for short in ((a[:5], b, c), (a, b[:-1], c), (a, b, c[:-1])):
        a_, b_, c_ = map(np.ascontiguousarray, short)
        with pytest.raises(IndexError):
            tiles.multiply(a_, 0, 3, 1, -1, b_, 0, c_, 0, lanes, 2, 3, lanes, 0)
    tiles.add_product(c, 0, b, 0, lanes, a, 0, 3, 2, 3, lanes)
    with pytest.raises(IndexError):
        tiles.add_product(c, 0, b, 0, lanes, a, 1, 3, 2, 3, lanes)
    with pytest.raises(IndexError):
        views.checked_sheet(a, 1, 2, 3)

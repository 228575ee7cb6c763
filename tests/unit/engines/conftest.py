"""Runs here get the engine that their settings ask for. Where Numba is missing, what needs kernels is left out."""

from importlib.util import find_spec

import pytest
from unwritten import fill_unwritten

if find_spec("numba") is None:
    collect_ignore_glob = [
        "test_action_trees.py", "test_bounds.py", "test_draws.py", "test_exact_kl.py", "test_fisher.py",
        "test_gradients.py", "test_layer_norm.py", "test_masked_and_planned.py", "test_memories.py",
        "test_observation_rows.py", "test_replayed_runs.py", "test_replayed_steps.py", "test_runs.py", "test_steps.py",
        "test_told_layers.py", "test_update.py",
    ]  # fmt: skip


@pytest.fixture(autouse=True)
def as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLIPPER_ENGINE")


@pytest.fixture(autouse=True)
def memory_that_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    fill_unwritten(monkeypatch)

"""``tools/traces.py`` tells what differs: it is what says that a refactor changed nothing."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from trace_difference import END, first_difference, read_trace  # noqa: E402  # pyright: ignore[reportMissingImports]
from traces import judge  # noqa: E402  # pyright: ignore[reportMissingImports]

ROWS = {1: {"metrics: loss": 0.25, "values: fresh": True}, 2: {"metrics: loss": float("nan"), "values: fresh": True}}
TENSORS = {"1/learner.w": torch.tensor([1.0, 2.0]), "2/learner.generator": torch.zeros(4, dtype=torch.uint8)}


def written(path: Path, numbers: dict[int, Any] | None = None, **tensors: torch.Tensor) -> Path:
    """A trace of two iterations on the disk, with some entries replaced."""
    merged = {i: row | (numbers or {}).get(i, {}) for i, row in ROWS.items()}
    named = {name.replace("_", "/", 1).replace("_", "."): x for name, x in tensors.items()}
    safetensors.torch.save_file(TENSORS | named, path, {"numbers": json.dumps(merged)})
    return path


@pytest.mark.parametrize(
    ("numbers", "tensors", "told"),
    [
        ({}, {}, ""),
        ({2: {"metrics: loss": 0.5}}, {}, "iteration 2: metrics: loss differs by nan (nan and 0.5)"),
        ({1: {"metrics: loss": 0.25 + 2**-54}}, {}, "iteration 1: metrics: loss differs by 5.55e-17"),
        ({1: {"values: fresh": 1}}, {}, "iteration 1: values: fresh is 'True' and '1'"),
        ({2: {"values: more": 1}}, {}, "iteration 2: values: more is only in NEW"),
        ({2: {"values: more": 0}}, {}, ""),
        ({}, {"1_learner_w": torch.tensor([1.0, 2.5])}, "learner.w differs in 1 of 2 numbers, by up to 0.5"),
        ({}, {"1_learner_w": torch.tensor([1.0, 2.0]).double()}, "is torch.float32 [2] and torch.float64 [2]"),
        ({}, {"2_learner_generator": torch.ones(4, dtype=torch.uint8)}, "iteration 2: learner.generator differs in 4"),
        ({}, {"1_learner_v": torch.zeros(1)}, "iteration 1: learner.v is only in NEW"),
        (
            {1: {"metrics: loss": 0.0}}, {"1_learner_w": torch.tensor([1.0, 2.5])},
            "iteration 1: metrics: loss differs by 0.25 (0.25 and 0.0), and 1 more there",
        ),
    ],
)  # fmt: skip
def test_any_bit_is_a_difference(numbers: dict, tensors: dict, told: str, tmp_path: Path) -> None:
    old, new = written(tmp_path / "old"), written(tmp_path / "new", numbers, **tensors)
    found = first_difference(read_trace(old), read_trace(new))
    assert told in found
    assert bool(told) == bool(found)


def test_a_zero_s_sign_is_a_difference() -> None:
    old, new = ({1: {"w": torch.tensor([zero])}} for zero in (0.0, -0.0))
    assert first_difference(old, new).startswith("iteration 1: w differs")
    assert first_difference({1: {"x": 0.0}}, {1: {"x": -0.0}}).startswith("iteration 1: x differs")
    assert first_difference({1: {}, END: {"x": 1}}, {1: {}}) == "the end: x is only in OLD"


RUNS = {"status": "done", "engine": "cpu"}
TORCH = {"status": "done", "engine": "torch"}
REFUSED = {"status": "refused", "reason": "kernels know it not"}


@pytest.mark.parametrize(
    ("answers", "judged"),
    [
        ((RUNS, RUNS), ("done", "")),
        ((REFUSED, REFUSED), ("refused", "both refuses (kernels know it not)")),
        ((RUNS, REFUSED), ("", "OLD runs; NEW refuses (kernels know it not)")),
        ((TORCH, TORCH), ("", "engine cpu was asked for; OLD ran torch, NEW torch")),
        ((RUNS, TORCH), ("", "engine cpu was asked for; OLD ran cpu, NEW torch")),
    ],
)
def test_another_engine_than_was_asked_for_is_a_failure(answers: tuple, judged: tuple, tmp_path: Path) -> None:
    assert judge(answers, "cpu", [written(tmp_path / name) for name in ("old", "new")], tmp_path) == judged


@pytest.mark.limit(900)
def test_a_changed_line_of_ppo_is_found(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    [path] = (p for p in (tmp_path / "src").rglob("*.py") if "\nclass PPO:\n" in p.read_text(encoding="utf-8"))
    text = path.read_text(encoding="utf-8")
    assert "gamma: Fraction = 0.99" in text
    path.write_text(text.replace("gamma: Fraction = 0.99", "gamma: Fraction = 0.98"), encoding="utf-8")
    command = [sys.executable, str(ROOT / "tools" / "traces.py"), str(ROOT), str(tmp_path), "--engine", "torch"]
    done = subprocess.run([*command, "--only", "ppo/plain", "a2c/plain"], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "a2c/plain: torch: equal" in done.stdout
    assert "ppo/plain: torch: iteration 1: metrics: " in done.stdout
    assert "2 traces (2 torch): 1 equal, 1 not" in done.stdout

"""However many checkpoints stay, the older name holds the older one."""

from pathlib import Path

import pytest
import torch

from clipper.storage import checkpoint


@pytest.mark.parametrize("keep", [1, 2, 3, 4, 5, 7])
def test_the_oldest_name_holds_the_oldest_content(keep: int, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    for number in range(9):
        checkpoint.save(path, {"x": torch.tensor([float(number)])}, {"number": number}, keep)
        there = min(keep, number + 1)
        found = [checkpoint.load(checkpoint.earlier(path, age)) for age in range(there)]
        assert [values["number"] for _, values in found] == [number - age for age in range(there)]
        assert [tensors["x"].item() for tensors, _ in found] == [number - age for age in range(there)]
        assert len(list(tmp_path.iterdir())) == there

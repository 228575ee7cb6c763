"""Programs give the numbers that Stable-Baselines3 gives, as far as these are not learned."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compat.record_programs import ALL
from compat.sb3_programs import Library

RECORDED = json.loads((Path(__file__).parent / "sb3_programs.json").read_text())


def agree(own: Any, theirs: Any) -> None:
    """Equal, numbers to float32's rounding."""
    if isinstance(theirs, dict):
        assert own.keys() == theirs.keys()
        for name in theirs:
            agree(own[name], theirs[name])
    elif isinstance(theirs, list):
        assert len(own) == len(theirs)
        for mine, other in zip(own, theirs, strict=True):
            agree(mine, other)
    elif isinstance(theirs, int | float):
        np.testing.assert_allclose(own, theirs, rtol=1e-4, atol=1e-5)
    else:
        assert own == theirs


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("program", ALL, ids=lambda program: program.__name__)
def test_numbers_are_as_there(program: Any, tmp_path: Path) -> None:
    theirs = RECORDED[program.__name__]
    if importlib.util.find_spec("sb3_contrib") is not None:
        (tmp_path / "theirs").mkdir()
        theirs = json.loads(json.dumps(program(Library("stable_baselines3"), tmp_path / "theirs"), default=float))
    (tmp_path / "own").mkdir()
    agree(json.loads(json.dumps(program(Library("clipper.compat.sb3"), tmp_path / "own"), default=float)), theirs)

"""The examples of the interface for Stable-Baselines3's programs are such programs: with its own import they run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("stable_baselines3", exc_type=ImportError)
pytest.importorskip("sb3_contrib", exc_type=ImportError)
SCRIPTS = sorted((Path(__file__).parents[3] / "examples" / "from_sb3").glob("*.py"))
CONTRIB = re.compile(r"clipper\.compat\.sb3(?=\.common\.(maskable|wrappers)| import (TRPO|MaskablePPO))")
BOTH = "from clipper.compat.sb3 import PPO, TRPO\n"
APART = "from clipper.compat.sb3 import PPO\nfrom clipper.compat.sb3 import TRPO\n"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
def test_with_its_own_import(script: Path, tmp_path: Path) -> None:
    text = CONTRIB.sub("sb3_contrib", script.read_text().replace(BOTH, APART)).replace(
        "clipper.compat.sb3", "stable_baselines3"
    )
    assert "clipper" not in text
    (tmp_path / script.name).write_text(text)
    done = subprocess.run(
        [sys.executable, script.name, "1024"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr

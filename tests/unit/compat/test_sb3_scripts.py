"""The examples written for Stable-Baselines3 run with only the import changed."""

import re
import runpy
import sys
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[3] / "examples" / "from_sb3").glob("*.py"))
STEPS = {"callbacks": 512, "masks": 512}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
def test_examples_run(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [script.name, str(STEPS.get(script.stem, 256))])
    runpy.run_path(str(script), run_name="__main__")
    assert capsys.readouterr().out


def test_there_are_six_and_only_their_imports_say_clipper() -> None:
    assert len(SCRIPTS) == 6
    for script in SCRIPTS:
        named = [line for line in script.read_text().splitlines() if "clipper" in line]
        assert all(re.match(r"from clipper\.compat\.sb3(\.[\w.]+)? import ", line) for line in named), script

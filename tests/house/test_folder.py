"""The folder that Clipper lies in: what commands leave there changes no verdict, and what is written there holds."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from clipper.errors import PACKAGES, install_command

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINNED_TORCH = next(x for x in (ROOT / "constraints.txt").read_text().splitlines() if x.startswith("torch=="))
UNTIDY = "import os\nimport clipper, runs\n"
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")

# Stands for every Python: makes environments, which hold a copy of itself, and writes down what pip is asked for.
STAND_IN = """#!/bin/sh
case "$1 $2" in
"-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && echo "venv" >>asked ;;
"-m pip") echo "$@" >>asked ;;
"tools/check_environment.py ") test ! -e .venv/moved ;;
esac
"""


def ruff(folder: Path, *words: str) -> int:
    command = [str(Path(sys.executable).with_name("ruff")), *words, "--no-cache", "--quiet", "."]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode


def test_ruff_s_verdict_does_not_depend_on_what_commands_leave(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for folder in ("docs/recipes", "src/clipper"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    assert ruff(tmp_path, "check") == 0
    assert ruff(tmp_path, "format", "--check") == 0
    others = ".venv-parity/lib", ".venv-floors/3.11/lib", "benchmarks/.peers/sb3/lib"
    for folder in ("runs", "build/lib/clipper", "dist/runs", "venv", *others):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "untidy.py").write_text(UNTIDY)
    assert ruff(tmp_path, "check") == 0
    assert ruff(tmp_path, "format", "--check") == 0
    (tmp_path / "src" / "clipper" / "runs").mkdir(exist_ok=True)  # a package of that name is looked at
    (tmp_path / "src" / "clipper" / "runs" / "untidy.py").write_text(UNTIDY)
    assert ruff(tmp_path, "check") == 1


def test_what_optional_parts_need_is_what_the_project_declares() -> None:
    assert {extra: list(packages) for extra, packages in PACKAGES.items()} == PROJECT["optional-dependencies"]
    assert install_command("play") == 'pip install "moviepy>=2" "pygame-ce>=2.5"'


def texts_in(folder: Path) -> Iterator[Path]:
    """The texts in a folder, but for hidden folders in it: other libraries lie there."""
    for path in folder.iterdir():
        if path.is_dir() and not path.name.startswith("."):
            yield from texts_in(path)
        elif path.suffix in {".md", ".py", ".sh", ".toml"}:
            yield path


def test_no_text_asks_an_index_for_clipper() -> None:
    folders = ("benchmarks", "docs", "examples", "src", "tests", "tools")
    texts = [*ROOT.glob("*.md"), *(path for folder in folders for path in texts_in(ROOT / folder))]
    asks = re.compile(rf"{PROJECT['name']}\[|install[^\n]* [\"']?{PROJECT['name']}\b")
    assert len(texts) > 400
    assert [path for path in texts if asks.search(path.read_text(encoding="utf-8"))] == []


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The Makefile and what it reads, in a folder as people have them; stands in for Python."""
    folder = tmp_path / "my work 我的工作" / "clipper"
    (folder / "tools").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    for name in ("benchmarks", "docs", "examples", "src", "tests"):
        (folder / name).mkdir()
    (folder / "python").write_text(STAND_IN)
    (folder / "python").chmod(0o755)
    return folder


def make(clone: Path, *words: str) -> list[str]:
    """What Python was asked for by this call of ``make``."""
    command = ["make", "PYTHON=./python", *words]
    outer = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    subprocess.run(command, cwd=clone, env=outer, capture_output=True, check=True, timeout=60)
    asked = clone / "asked"
    lines = asked.read_text().splitlines() if asked.exists() else []
    asked.unlink(missing_ok=True)
    return lines


@needs_make
def test_installing_comes_once(clone: Path) -> None:
    lines = make(clone, "install")
    assert lines[0] == "venv"
    assert [line.split()[-1] for line in lines[1:]] == [PINNED_TORCH, ".[play]"]
    assert make(clone, "install") == []


@needs_make
@pytest.mark.parametrize("fault", ["no python", "dangling python", "dangling folder", "moved", "python that fails"])
def test_an_environment_that_cannot_be_used_is_made_anew(clone: Path, fault: str) -> None:
    make(clone, "install")
    python = clone / ".venv" / "bin" / "python"
    if fault == "moved":
        (clone / ".venv" / "moved").touch()
    elif fault == "python that fails":
        python.write_text("#!/bin/sh\nexit 1\n")
    elif fault == "dangling folder":
        shutil.rmtree(clone / ".venv")
        (clone / ".venv").symlink_to(clone / "nowhere")
    else:
        python.unlink()
    if fault == "dangling python":
        python.symlink_to(clone / "nowhere")
    assert len(make(clone, "install")) == 3
    assert not (clone / ".venv" / "moved").exists()
    assert make(clone, "install") == []


@needs_make
def test_a_link_to_another_folder_s_environment_goes_and_that_environment_stays(clone: Path) -> None:
    other = clone.parent / "other"
    (other / "bin").mkdir(parents=True)
    (clone / ".venv").symlink_to(other)
    (other / "moved").touch()
    shutil.copy(clone / "python", other / "bin")
    make(clone, "install")
    assert not (clone / ".venv").is_symlink()
    assert sorted(path.name for path in other.iterdir()) == ["bin", "moved"]


@needs_make
def test_clean_leaves_the_runs(clone: Path) -> None:
    gone = (
        ".venv/bin", ".venv-parity/bin", ".venv-floors/3.11/bin", "build/docs", "dist", "src/clipper_rl.egg-info",
        ".pytest_cache", ".ruff_cache", ".hypothesis", ".import_linter_cache", "src/clipper/__pycache__",
        "tests/__pycache__",
    )  # fmt: skip
    stay = "runs/first/__pycache__", "benchmarks/.peers/sb3/__pycache__", "src/clipper"
    for name in (*gone, *stay):
        (clone / name).mkdir(parents=True, exist_ok=True)
        (clone / name / "file").touch()
    make(clone, "clean")
    assert [name for name in gone if (clone / name).exists()] == []
    assert [name for name in stay if not (clone / name / "file").exists()] == []


def environment(folder: Path) -> Path:
    """An environment with as much of pip as the check looks at."""
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    (folder / "bin" / "pip").write_text(f"#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n", encoding="utf-8")
    return python


@pytest.mark.skipif(sys.platform == "win32", reason="the Makefile is for other systems")
def test_an_environment_that_was_moved_is_known(tmp_path: Path) -> None:
    check = ROOT / "tools" / "check_environment.py"
    place = tmp_path / "my work 我的工作"
    python = environment(place / "tmp" / "clipper" / ".venv")
    (modules,) = place.glob("tmp/clipper/.venv/lib/python*/site-packages")
    assert subprocess.run([python, check], check=False).returncode == 1  # no pip
    (modules / "pip.py").touch()
    assert subprocess.run([python, check], check=False).returncode == 0
    (place / "tmp" / "clipper").rename(place / "clipper")  # whose path lies within the one before
    assert subprocess.run([place / "clipper" / ".venv" / "bin" / "python", check], check=False).returncode == 1

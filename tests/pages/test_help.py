"""Help comes from a file that says what the options' dataclasses say, before torch is imported."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import clipper
from clipper.cli import quick_help
from clipper.cli.commands import COMMANDS, run_command
from clipper.cli.completion import SHELLS

ROOT = Path(__file__).parents[2]
SLOW = ("torch", "numba", "gymnasium", "numpy", "tyro", "rich")


def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("help_texts", ROOT / "tools" / "help_texts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_file_says_what_the_sources_say() -> None:
    assert json.loads(quick_help.FILE.read_text(encoding="utf-8")) == json.loads(tool().text()), (
        "python tools/help_texts.py"
    )


def test_the_version_is_the_package_s() -> None:
    package = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert package["version"] == quick_help.VERSION


@pytest.mark.parametrize(
    "words", ["", "CartPole-v1", "CartPole-v1 sac", "cartpole", "platform", "deep_sea", "CartPole-v1 exploring"]
)
@pytest.mark.parametrize("command", ["train", "unroll"])
def test_quick_help_is_the_help_of_what_would_run(command: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With ``--seed 1``, which says nothing new, the command makes the settings first and reads help from them."""
    quick = quick_help.text_for([command, *words.split(), "--help"])
    slow = [command, *words.split(), "--seed", "1", "--help"]
    assert quick_help.text_for(slow) is None
    assert run_command(slow) == 0
    assert capsys.readouterr().out.rstrip("\n") == quick


def run(
    *words: str, code: str = "import clipper", encoding: str = "utf-8", columns: str = "80"
) -> subprocess.CompletedProcess[str]:
    """The command line by its script's name, which is what ``pip`` installs."""
    program = f"import sys; sys.argv = {['clipper', *words]}; {code}"
    own = os.environ | {"PYTHONPATH": str(Path(clipper.__file__).parents[1])}
    own |= {"PYTHONIOENCODING": encoding, "COLUMNS": columns}
    return subprocess.run(
        [sys.executable, "-X", "importtime", "-c", program],
        capture_output=True,
        encoding=encoding,
        env=own,
        check=False,
    )


@pytest.mark.parametrize(
    "line", ["--help", "--version", "train --help", "train platform -h", "evaluate --help", "completion zsh"]
)
def test_nothing_slow_is_imported_for_it(line: str) -> None:
    done = run(*line.split())
    assert done.returncode == 0
    assert done.stdout.strip()
    assert max(map(len, done.stdout.splitlines())) <= 80 or "completion" in line
    imported = {x.rpartition("|")[2].strip().partition(".")[0] for x in done.stderr.splitlines()}
    assert "clipper" in imported
    assert imported.isdisjoint(SLOW)


def test_a_program_of_another_name_is_left_alone() -> None:
    done = run(code="sys.argv[0] = 'mine'; sys.argv[1:] = ['--help']; import clipper; print(clipper.__version__)")
    assert done.stdout.split() == [clipper.__version__]


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("train", "unroll", "train-language")])
@pytest.mark.parametrize("width", ["40", "80"])
def test_every_command_explains_its_options(name: str, width: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", width)
    text = quick_help.text_for([name, "--help"])
    assert text is not None
    assert max(map(len, text.splitlines())) <= int(width)
    command = quick_help.texts()["commands"][name]
    for option in [*command["arguments"], *(f"--{x.replace('_', '-')}" for x in command["options"])]:
        assert re.search(rf"^  {option}\b", text, re.MULTILINE), option


@pytest.mark.parametrize("encoding", ["ascii", "gbk", "cp1252"])
def test_help_is_readable_in_every_encoding(encoding: str) -> None:
    for words in (["train", "--help"], ["evaluate", "--help"], ["--help"]):
        done = run(*words, encoding=encoding)
        assert done.returncode == 0
        assert "--" in done.stdout
        assert "\\" not in done.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_offers_commands_flags_and_names(shell: str, tmp_path: Path) -> None:
    script = quick_help.text_for(["completion", shell])
    assert script is not None
    assert all(
        word in script for word in ("train", "cartpole", "mpdqn", "CartPole-v1", "total-steps", "gamma", "until-solved")
    )
    if shell == "bash":
        lines = [script, "COMP_WORDS=(clipper train --total-st); COMP_CWORD=2; _clipper; echo ${COMPREPLY[@]}"]
        lines += ["COMP_WORDS=(clipper ev); COMP_CWORD=1; _clipper; echo ${COMPREPLY[@]}"]
        lines += ["COMP_WORDS=(clipper train cartp); COMP_CWORD=2; _clipper; echo ${COMPREPLY[@]}"]
        done = subprocess.run(["bash", "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines() == ["--total-steps", "evaluate", "cartpole cartpole_memory"]

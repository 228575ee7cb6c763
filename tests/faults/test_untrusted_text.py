"""Texts out of files and folders do nothing to a terminal or a picture; they are shown."""

import json
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import run_folders
from matplotlib.text import Text

import clipper
from clipper.cli.commands import one_line, run_command
from clipper.errors import ClipperError, ConfigError, visible
from clipper.runs.terminal import Terminal
from clipper.settings.config import Config
from clipper.storage import checkpoint

HOSTILE = {
    "clipboard": "\x1b]52;c;cm0gLXJmIH4K\x1b\\",
    "screen": "\x1b[2J\x9b2J",
    "markup": "[/] [bold red]x [link=file:///etc/passwd]y",
    "formula": r"$\frac{1}{ $x_{ \$",
    "pictures by name": "module:b:Class :smile:",
    "half a letter": "\udcff",
    "backwards": "\u202emoc",
    "lines": "a\rb\x08\x07\x00",
    "hidden from legends": "_x",
}
ALL = "".join(HOSTILE.values())
NAME = ALL.translate({ord("/"): None, 0: None, 0x9B: None})  # what a folder can be called


def harmless(text: str) -> bool:
    """Is every letter one that only shows itself?"""
    return all(letter.isprintable() or letter == "\n" for letter in text)


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_is_printed_shows_itself(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    text = HOSTILE[name]
    Terminal().print(text, soft_wrap=True)
    Terminal(stderr=True).print(text, soft_wrap=True)
    printed = capfd.readouterr()
    kept = "".join(letter for letter in text if letter not in "\r\x08\x07")  # which rich leaves out
    assert printed.out.strip() == printed.err.strip() == visible(kept).strip()
    assert harmless(printed.out)
    assert harmless(one_line(text))
    assert harmless(str(ClipperError(text)))
    assert visible("π ≤ 0.5\n中文\u3000") == "π ≤ 0.5\n中文\u3000"


def test_an_error_that_python_prints_shows_itself() -> None:
    printed = "".join(traceback.format_exception(ConfigError(HOSTILE["clipboard"])))
    assert harmless(printed)
    assert r"\x1b]52" in printed


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Two runs whose folders and settings hold all of it."""
    found = []
    for seed in (1, 2):
        config = Config(env=ALL, seed=seed, num_envs=seed, total_steps=100)
        folder = run_folders.write(tmp_path / f"{NAME}{seed}", config)
        settings = json.loads((folder / "config.json").read_text())
        settings["algorithm"] = {"type": f"m:{ALL}", ALL: ALL}
        (folder / "config.json").write_text(json.dumps(settings))
        with (folder / "metrics.jsonl").open("a") as file:
            file.write(json.dumps({"iteration": 9, "steps": 99, "policy/entropy": 1.0, ALL: 1.0}) + "\n")
        found.append(folder)
    return found


COMMANDS: dict[str, Callable[[list[str], str], list[str]]] = {
    "plot": lambda runs, picture: ["plot", *runs, "--output", picture],
    "suite": lambda runs, picture: ["plot", *runs, "--suite", "--output", picture],
    "diagnostics": lambda runs, picture: ["plot", runs[0], "--diagnostics", "--output", picture],
    "compare": lambda runs, picture: ["compare", *runs, "--output", picture],
    "evaluate": lambda runs, picture: ["evaluate", runs[0]],
    "resume": lambda runs, picture: ["resume", runs[0]],
    "export": lambda runs, picture: ["export", runs[0]],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_lets_it_through(
    command: str, folders: list[Path], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    set_text = Text.set_text
    monkeypatch.setattr(Text, "set_text", lambda self, s: (drawn.append(str(s)), set_text(self, s))[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        status = run_command(COMMANDS[command](list(map(str, folders)), str(folders[0].parent / "x.png")))
    printed = capfd.readouterr()
    assert harmless(printed.out)
    assert harmless(printed.err)
    assert status == (0 if command in ("plot", "suite", "diagnostics", "compare") else 2), printed.err
    assert all(harmless(text) for text in drawn)


def test_names_in_a_policy_s_spaces_show_themselves(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = clipper.train("CartPole-v1", clipper.PPO(horizon=16, epochs=1), total_steps=32, num_envs=2, run_dir=tmp_path)
    tensors, values = checkpoint.load(tmp_path / "checkpoint.safetensors")
    settings = values["config"]
    assert isinstance(settings, dict)
    settings["env"] = ALL
    checkpoint.save(tmp_path / "checkpoint.safetensors", tensors, values)
    (tmp_path / "config.json").write_text(json.dumps(settings))
    capfd.readouterr()
    assert run_command(["evaluate", str(tmp_path), "--env", "CartPole-v1", "--episodes", "1"]) == 0
    assert run_command(["evaluate", str(tmp_path), "--episodes", "1"]) == 2
    printed = capfd.readouterr()
    assert run.steps >= 32
    assert harmless(printed.out)
    assert harmless(printed.err)

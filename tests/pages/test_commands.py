"""The command lines of the walk and the guides: every flag takes what is given to it, and a page's lines run.

Blocks of ``sh`` run, in order; those of ``shell`` are only parsed, since they would take hours or further packages.
"""

import re
import shlex
import sys
from pathlib import Path

import pytest
from walk import DOCS

from clipper.cli import command_options, commands
from clipper.cli.language import parsed
from clipper.cli.language_options import TrainLanguage

BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ANY = re.compile(r"^```(?:sh|shell)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = [page for folder in ("walk", "guides") for page in sorted((DOCS / "en" / folder).glob("*.md"))]
TEXTS = {page.stem: page.read_text(encoding="utf-8").replace("\\\n", "") for page in PAGES}
LINES = {page: "".join(BLOCK.findall(text)).splitlines() for page, text in TEXTS.items()}
PARSED = {page: "".join(ANY.findall(text)).splitlines() for page, text in TEXTS.items()}
CASES = [pytest.param(line, id=f"{page}-{i}") for page, lines in PARSED.items() for i, line in enumerate(lines)]


def test_there_are_some() -> None:
    assert all(line.startswith("clipper ") for lines in PARSED.values() for line in lines)
    assert len(CASES) > 10


@pytest.mark.parametrize("line", CASES)
def test_it_parses(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(DOCS / "recipes")])
    command, *args = shlex.split(line)[1:]
    kind = commands.COMMANDS[command][1]
    if kind in (command_options.Train, command_options.Unroll):
        config, flags = commands.train_defaults(args)
        command_options.parse(kind, flags, line, kind(config=config))
    elif kind is TrainLanguage:
        parsed(args)
    else:
        command_options.parse(kind, args, line)


@pytest.mark.parametrize("page", [page for page, lines in LINES.items() if lines])
def test_they_run_in_order(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder, with the files that the page tells to save; for fewer steps and episodes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(DOCS / "recipes")])
    for line in LINES[page]:
        shorter = re.sub(r"--(total-steps|eval-every|episodes) \d+", "", line).replace("--seeds 3", "--seeds 2")
        command, *args = shlex.split(shorter)[1:]
        fewer = {
            "train": ["--total-steps", "256"],
            "train-language": shlex.split("--total-steps 1 --responses 8 --minibatches 1 --supervised-steps 1"),
            "evaluate": ["--responses", "4"] if commands.on_prompts(args) else ["--episodes", "2"],
        }
        assert commands.COMMANDS[command][0]([*args, *fewer.get(command, [])]) == 0, line

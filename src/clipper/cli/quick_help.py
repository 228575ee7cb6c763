"""Help, the version and shell completion, at once: from a file of texts, before torch is imported."""

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TypedDict

from clipper.cli import help_lines
from clipper.cli.completion import SHELLS, Offered, script
from clipper.cli.help_lines import NARROWEST, WIDEST, CommandHelp, Default, Fields, flag_of, shortened
from clipper.cli.interrupts import is_command
from clipper.cli.streams import leave, prepare_streams, status_of

FILE = Path(__file__).with_name("help_texts.json")
"""Written by tools/help_texts.py from the options' own docstrings and defaults."""
ASKS = {"-h", "--help"}
VERSION = "0.1.0"


class Case(TypedDict):
    """What ``train`` begins with: the algorithm's classes, and the defaults that differ from those of the classes."""

    algorithm: list[str]
    changed: dict[str, Default]


class Texts(TypedDict):
    """The file's content."""

    commands: dict[str, CommandHelp]
    algorithms: list[str]
    recipes: list[str]
    presets: list[str]
    environments: list[str]
    """Ids that have the same defaults as all."""
    classes: dict[str, Fields]
    cases: dict[str, Case]
    """By the name of a recipe or an algorithm; "" where none is named."""


@cache
def texts() -> Texts:
    """The file's content."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def answer() -> None:
    """Print and end where this process is the command line and asks for help, the version or completion alone."""
    if not is_command() or (text := text_for(sys.argv[1:])) is None:
        return
    prepare_streams()
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except OSError as error:
        leave(status_of(error))
    leave(0)


def text_for(words: Sequence[str]) -> str | None:
    """What the command line answers to these words, where the file knows it."""
    if not words or words[0] in {*ASKS, "help"}:
        known = texts()
        return help_lines.overview(known["commands"], known["recipes"], known["presets"], width(), bold)
    if words[0] == "--version":
        return f"clipper {VERSION}"
    command, rest = words[0], words[1:]
    if command == "completion" and len(rest) == 1 and rest[0] in SHELLS:
        return script(rest[0], offered())
    if not ASKS & set(rest) or any(word.startswith("-") and word not in ASKS for word in rest):
        return None
    named = [word for word in rest if word not in ASKS]
    if command in help_lines.SETTINGS:
        return settings_text(command, named)
    return help_of(command) if command in texts()["commands"] and not named else None


def help_of(command: str) -> str | None:
    """The help of a command other than ``train`` and its like; None where the file has none."""
    about = texts()["commands"][command]
    return help_lines.command_help(command, about, width(), bold) if about["options"] or about["arguments"] else None


def settings_text(command: str, named: Sequence[str]) -> str | None:
    """The help of ``train`` or ``unroll`` for the recipe, environment and algorithm that are named."""
    known, env = texts(), ""
    if named and named[0] in known["environments"]:
        env, named = named[0], named[1:]
    case = named[0] if named else ""
    if len(named) > 1 or case not in known["cases"] or (env and case in known["recipes"]):
        return None
    found = known["cases"][case]
    changed = found["changed"] | ({"env": env} if env else {})
    kinds = [[command], ["Config"], found["algorithm"], ["PolicyOptions"], ["EncoderOptions"], ["HeadOptions"]]
    parts = [with_defaults(part, changed) for part in kinds]
    names = found["algorithm"][0], ", ".join(known["algorithms"])
    return help_lines.settings_help(command, parts, names, width(), bold)


def with_defaults(kinds: Sequence[str], changed: Mapping[str, Default]) -> Fields:
    """The fields of some classes, with other defaults."""
    fields = {name: x for kind in kinds for name, x in texts()["classes"][kind].items()}
    return {name: (changed.get(name, default), about) for name, (default, about) in fields.items()}


def offered() -> dict[str, Offered]:
    """What may follow each command, for a shell: of ``train``, the options of all algorithms."""
    known = texts()
    settings = [x for kind, x in known["classes"].items() if kind not in help_lines.SETTINGS]
    found = dict[str, Offered]()
    for name, command in known["commands"].items():
        parts, names = [command["options"]], list[str]()
        if name in help_lines.SETTINGS:
            parts, names = [known["classes"][name], *settings], [*known["recipes"], *known["environments"]]
            names += known["algorithms"]
        flags = {flag_of(option, x): shortened(about, 60) for part in parts for option, (x, about) in part.items()}
        found[name] = Offered(shortened(command["about"], 60), flags, SHELLS if name == "completion" else names)
    return found


def width() -> int:
    """Columns for help."""
    return max(min(shutil.get_terminal_size().columns, WIDEST), NARROWEST)


def bold(text: str) -> str:
    """The text as a terminal shows it in bold; as it is elsewhere."""
    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
    return text if plain else f"\x1b[1m{text}\x1b[0m"


answer()

"""Help as text: from the names, defaults and words of options to lines; it imports nothing of the package."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypedDict

WIDEST = 100
NARROWEST = 40
"""Columns that text is laid out for at least."""
NAMES = 21
"""Columns of the options' names."""
Default = str | bool | None
Fields = Mapping[str, tuple[Default, str]]
"""By name: the default as the command line takes it, None where none is shown, and what the option means."""
Bold = Callable[[str], str]

GROUPS: Mapping[str, tuple[str, ...]] = {
    "Run": (
        "env", "preset", "total_steps", "num_envs", "seed", "seeds", "run_dir", "resume", "output", "device", "engine",
        "vector", "threads",
    ),
    "Saving and evaluating": (
        "eval_every", "eval_episodes", "until_solved", "checkpoint_every", "keep_checkpoints", "save_replay",
        "log_every", "profile",
    ),
    "Failures, and several processes": (
        "on_env_error", "env_timeout", "max_restarts", "max_skipped_steps", "patience", "rank_mode",
    ),
    "Algorithm": ("target_kl", "scale_rewards", "ratio"),
    "Network": (),
    "Observations": ("normalise_obs", "clip_obs"),
    "Actions": (),
}  # fmt: skip
"""Fields by group; those of the algorithm, the network, its encoder and its head follow in the last four."""
HOMES = ("Run", "Run", "Algorithm", "Network", "Observations", "Actions")
"""Where the other fields of the command, the run, the algorithm, the network, its encoder and its head go."""


class Leading(NamedTuple):
    """What the help of a command begins with."""

    usage: str
    examples: tuple[tuple[str, str], ...]


SETTINGS = {
    "train": Leading(
        "ENVIRONMENT-OR-RECIPE [ALGORITHM] [OPTIONS]",
        (
            ("clipper train CartPole-v1", "with the defaults for it"),
            ("clipper train cartpole --until-solved", "a recipe, until it is solved"),
            ("clipper train my_package:MyEnv-v0 sac --seeds 4", "your environment, SAC, four seeds"),
            ("clipper train CartPole-v1 --run-dir runs/a --resume auto", "go on if it was interrupted"),
        ),
    ),
    "unroll": Leading(
        "RUN | ENVIRONMENT-OR-RECIPE [ALGORITHM] [OPTIONS]",
        (
            ("clipper unroll cartpole", "print the code of a recipe"),
            ("clipper unroll CartPole-v1 sac -o sac.py", "of SAC, into a file"),
            ("clipper unroll runs/mine", "of a run's settings"),
        ),
    ),
}
"""The commands that take a run's settings."""


class CommandHelp(TypedDict):
    """A command: its docstring, its arguments and its options, each with a default and its words."""

    about: str
    arguments: Fields
    options: Fields


def settings_help(command: str, parts: Sequence[Fields], algorithms: tuple[str, str], width: int, bold: Bold) -> str:
    """The options of ``train`` or ``unroll``, a line each.

    ``parts`` are the fields of the command, the run, the algorithm, the network, its encoder and its head;
    ``algorithms`` the class that is shown, and the names of all.
    """
    leading, (shown, names) = SETTINGS[command], algorithms
    lines = [f"{bold(f'clipper {command}')} {leading.usage}", ""]
    shown_examples = [(f"  {example:<58}{note}", f"  {example}") for example, note in leading.examples]
    lines += [full if len(full) <= width else alone for full, alone in shown_examples]
    lines += ["", *textwrap.wrap(f"Algorithms: {names}", width, subsequent_indent="  ")]
    for group, fields in grouped(parts).items():
        lines += ["", bold(f"Algorithm: {shown}" if group == "Algorithm" else group)]
        lines += [line(name, default, about, width) for name, (default, about) in fields.items()]
    return "\n".join(
        [*lines, "", *textwrap.wrap("--help-all prints what each option takes and means, in full.", width)]
    )


def grouped(parts: Sequence[Fields]) -> dict[str, Fields]:
    """The options, by group."""
    found = {name: x for part in parts for name, x in part.items()}
    placed = {name for names in GROUPS.values() for name in names}
    names = {group: [name for name in GROUPS[group] if name in found] for group in GROUPS}
    for home, part in zip(HOMES, parts, strict=True):
        own = [name for name in part if name not in placed]
        names[home] = [*names[home], *own] if home == "Run" else [*own, *names[home]]
    return {group: {name: found[name] for name in all_of} for group, all_of in names.items() if all_of}


def line(name: str, default: Default, about: str, width: int) -> str:
    """One option, with as much of its first sentence as fits."""
    flag, given = flag_of(name, default), shown_default(default)
    room = width - 3 - max(NAMES, len(flag)) - len(given)
    return f"  {flag:<{NAMES}} {shortened(about, room)}{given}"


def flag_of(name: str, default: Default) -> str:
    """How an option is written: what is on is switched off."""
    return f"--{'no-' if default is True else ''}{name.replace('_', '-')}"


def shown_default(default: Default) -> str:
    """The default in brackets, after a space."""
    word = {True: "on", False: "off"}.get(default, default) if isinstance(default, bool) else default
    return "" if word is None else f" [{word}]"


def shortened(text: str, room: int) -> str:
    """The first sentence; what of it fits, up to a semicolon where there is one."""
    end = text.find(". ")
    sentence = text[:end] if end > 0 else text.rstrip(".")
    if len(sentence) <= room:
        return sentence
    whole = sentence[:room].rpartition("; ")[0]
    if len(whole) > room / 2 and whole.count("(") == whole.count(")") and ": " not in whole:
        return whole
    return f"{sentence[: room - 1].rsplit(' ', 1)[0].rstrip(',;:')}…"


def command_help(name: str, command: CommandHelp, width: int, bold: Bold) -> str:
    """A command's arguments and options, with all that is said of them."""
    arguments, options = command["arguments"], command["options"]
    usage = " ".join([*arguments, *["[OPTIONS]"] * bool(options)])
    used = textwrap.wrap(f"clipper {name} {usage}", width, subsequent_indent="  ", break_on_hyphens=False)
    lines = [
        used[0].replace(f"clipper {name}", bold(f"clipper {name}"), 1),
        *used[1:],
        "",
        *textwrap.wrap(command["about"], width),
        "",
    ]
    named = [(name, about, "") for name, (_, about) in arguments.items()]
    named += [(flag_of(name, x), about, shown_default(x)) for name, (x, about) in options.items()]
    for option, about, default in named:
        indent = " " * min(NAMES + 3, width // 3)
        text = textwrap.wrap(about + default, width, initial_indent=indent, subsequent_indent=indent)
        head = f"  {option}"
        if len(head) < len(indent):
            text[0] = head + text[0][len(head) :]
            lines += text
        else:
            lines += [head, *text]
    return "\n".join(lines)


def overview(
    commands: Mapping[str, CommandHelp], recipes: Sequence[str], presets: Sequence[str], width: int, bold: Bold
) -> str:
    """All commands, a line or two each, and what there is by name."""
    lines = [f"{bold('clipper')} COMMAND …   the PPO library", ""]
    for name, command in commands.items():
        first = f"  {name:<15} "
        text = textwrap.wrap(command["about"], width, initial_indent=first, subsequent_indent=" " * len(first))
        lines += [text[0].replace(name, bold(name), 1), *text[1:]]
    for what, names in (("recipes", recipes), ("presets", presets)):
        lines += [
            "",
            *textwrap.wrap(f"{what}: {', '.join(names)}", width, subsequent_indent="  ", break_on_hyphens=False),
        ]
    return "\n".join([*lines, "", *textwrap.wrap("clipper COMMAND --help explains every option.", width)])
